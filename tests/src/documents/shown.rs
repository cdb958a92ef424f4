//! Whether a program printed what a document shows.

/// In a document: anything up to what follows; alone on a line, any number of lines.
const ANYTHING: char = '…';

/// Whether these lines are what was printed, but for what differs each time: numbers, addresses, times and ids, and how
/// wide columns are. `…` stands for anything in a line, and alone in one for any number of lines.
#[must_use]
pub fn shows(lines: &[String], printed: &str) -> bool {
    let wanted: Vec<String> = lines.iter().map(|line| alike(line)).collect();
    let printed: Vec<String> = printed.trim_end().lines().map(alike).collect();
    are(&wanted, &printed)
}

fn are(wanted: &[String], printed: &[String]) -> bool {
    match wanted.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first.chars().eq([ANYTHING]) => {
            (0..=printed.len()).any(|skipped| are(rest, &printed[skipped..]))
        }
        Some((first, rest)) => printed.split_first().is_some_and(|(line, after)| is(first, line) && are(rest, after)),
    }
}

/// Whether a line is what is wanted, with its gaps.
fn is(wanted: &str, line: &str) -> bool {
    let mut parts = wanted.split(ANYTHING).map(str::trim);
    let Some(mut line) = parts.next().and_then(|begin| line.strip_prefix(begin)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(end) = parts.pop() else { return line.is_empty() };
    for part in parts {
        let Some(at) = line.find(part) else { return false };
        line = &line[at + part.len()..];
    }
    line.ends_with(end)
}

/// A line without what differs each time.
fn alike(line: &str) -> String {
    let mut alike = String::new();
    for word in line.split_whitespace() {
        if !alike.is_empty() {
            alike.push(' ');
        }
        let mut rest = word;
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            let (run, after) = rest.split_at(end);
            let is_id = run.len() >= 8 && run.bytes().all(|byte| byte.is_ascii_hexdigit());
            if run.bytes().any(|byte| byte.is_ascii_digit()) || is_id {
                // Of a number with its fraction, an address or a time only one is left.
                let joined = alike.strip_suffix(['.', ':']).filter(|before| before.ends_with('#')).map(str::len);
                match joined {
                    Some(length) => alike.truncate(length),
                    None => alike.push('#'),
                }
            } else {
                alike.push_str(run);
            }
            let next = after.chars().next().map_or(0, char::len_utf8);
            alike.push_str(&after[..next]);
            rest = &after[next..];
        }
    }
    alike
}

#[cfg(test)]
mod tests {
    use super::shows;

    #[test]
    fn what_differs_each_time_need_not_be_the_same() {
        let told = [
            ("page 1, written by web", "page 17, written by web", true),
            ("page 1, written by web", "page 1, written by pod", false),
            ("web  yes  10.213.0.2  0s", "web yes 10.214.13.200   12s", true),
            ("up at 10.1.2.3", "up at 10", true),
            ("e300e39e4ad5b:  2.5 ms (2026-11-28T19:14:44.309Z)", "47ca5f31c812: 12 ms (2027-01-02T03:04:05.1Z)", true),
            ("the run 1a8b6054", "the run abcdefab", true),
            ("the run", "the run 1", false),
            ("a …", "a b c", true),
            ("a … c", "a b c", true),
            ("a … c", "a b d", false),
            ("a … c", "a c", true),
            ("a … c", "b c", false),
            ("… c", "b c", true),
        ];
        for (wanted, printed, is) in told {
            assert_eq!(shows(&[wanted.to_owned()], printed), is, "{wanted:?} {printed:?}");
        }
    }

    #[test]
    fn lines_are_in_order_and_all_there() {
        let is = |wanted: &str, printed: &str| shows(&wanted.lines().map(str::to_owned).collect::<Vec<_>>(), printed);
        assert!(is("a\nb", "a\nb\n") && !is("a\nb", "b\na") && !is("a\nb", "a\nb\nc") && !is("a", ""));
        assert!(is("a\n…\nd", "a\nb\nc\nd") && is("a\n…\nd", "a\nd") && !is("a\n…\nd", "a\nb"));
        assert!(is("…", "") && is("", ""));
    }
}
