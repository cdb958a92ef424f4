//! The error in a runtime's log: JSON lines with `level` and `msg`, or plain text from one that knows no better.

/// How much of it is passed on.
const LIMIT: usize = 4096;

/// The last error in the log, else the last message, else the text as it is; `None` when there is nothing.
pub(crate) fn of_log(text: &str) -> Option<String> {
    let mut fallback = None;
    for line in text.lines().rev().filter(|line| line.starts_with('{')) {
        let Some(message) = string(line, "msg") else { continue };
        if matches!(string(line, "level").as_deref(), Some("error" | "fatal" | "panic")) {
            return Some(cut(&message));
        }
        fallback.get_or_insert(message);
    }
    let plain = || {
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('{')).collect();
        Some(lines.join("\n").trim().to_owned()).filter(|text| !text.is_empty())
    };
    plain().or(fallback).map(|text| cut(&text))
}

fn cut(text: &str) -> String {
    let mut end = LIMIT.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].trim_end().to_owned()
}

/// The value of a string member of a flat JSON object. Runtimes write nothing deeper into their logs.
fn string(line: &str, key: &str) -> Option<String> {
    let mut rest = line;
    let needle = format!("\"{key}\"");
    loop {
        let at = rest.find(&needle)?;
        rest = &rest[at + needle.len()..];
        if let Some(value) = rest.trim_start().strip_prefix(':')
            && let Some(value) = value.trim_start().strip_prefix('"')
        {
            return unescape(value);
        }
    }
}

fn unescape(value: &str) -> Option<String> {
    let mut text = String::new();
    let mut chars = value.chars();
    loop {
        match chars.next()? {
            '"' => return Some(text),
            '\\' => match chars.next()? {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                'r' => text.push('\r'),
                'u' => {
                    let digits: String = chars.by_ref().take(4).collect();
                    let code = u32::from_str_radix(&digits, 16).ok()?;
                    text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                other => text.push(other),
            },
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::of_log;

    #[test]
    fn finds_the_error() {
        for (log, error) in [
            (r#"{"msg":"open \"x\": \u003cno\u003e","level":"error","time":"t"}"#, Some("open \"x\": <no>")),
            ("{\"level\":\"error\",\"msg\":\"first\"}\n{\"level\":\"warning\",\"msg\":\"later\"}", Some("first")),
            ("{\"level\":\"warning\",\"msg\":\"hm\"}", Some("hm")),
            ("{\"level\":\"warning\",\"msg\":\"hm\"}\nplain words\n", Some("plain words")),
            ("", None),
            ("{\"msg\":\"torn", None),
        ] {
            assert_eq!(of_log(log).as_deref(), error, "{log}");
        }
    }

    #[test]
    fn is_bounded() {
        let log = format!("{{\"level\":\"error\",\"msg\":\"{}\"}}", "ä".repeat(5000));
        assert!(of_log(&log).unwrap().len() <= 4096);
    }
}
