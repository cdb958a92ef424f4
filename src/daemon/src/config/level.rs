//! What `log.level` may say: a level, or a list of levels for parts of peapod.

use tracing_subscriber::EnvFilter;

/// What a target of ours begins with; a part is written as `peapod_image` or `peapod_image::fetch`.
const OURS: &str = "peapod";
/// The crates, and `stage`: how long each stage of a pod's or container's way took.
const PARTS: [&str; 11] =
    ["api", "cgroup", "client", "daemon", "image", "network", "pod", "spec", "stage", "store", "sys"];

/// The directives as the filter understands them. By itself it takes every word that it does not know for a target, and
/// then logs nothing else.
pub(super) fn directives(text: &str) -> Result<String, String> {
    let mut known = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        known.push(match part.rsplit_once('=') {
            // With spans and their fields, which have words of their own.
            _ if part.contains('[') => part.to_owned(),
            Some((target, word)) => format!("{}={}", part_of_peapod(target.trim())?, level(word.trim())?),
            None => level(part)?.to_owned(),
        });
    }
    let directives = known.join(",");
    match EnvFilter::try_new(&directives) {
        Ok(_) if !directives.is_empty() => Ok(directives),
        _ => Err(wanted("")),
    }
}

fn level(word: &str) -> Result<&'static str, String> {
    match word.to_ascii_lowercase().as_str() {
        "off" => Ok("off"),
        "error" => Ok("error"),
        "warn" | "warning" => Ok("warn"),
        "info" => Ok("info"),
        "debug" => Ok("debug"),
        "trace" => Ok("trace"),
        _ => Err(wanted(word)),
    }
}

/// Targets of libraries may be named as well; of ours only those that there are.
fn part_of_peapod(target: &str) -> Result<&str, String> {
    let krate = target.split("::").next().unwrap_or(target);
    let known = match krate.strip_prefix(OURS) {
        None => !krate.is_empty(),
        Some("") => true,
        Some(part) => part.strip_prefix('_').is_some_and(|part| PARTS.contains(&part)),
    };
    if known {
        Ok(target)
    } else {
        Err(format!("has {target:?}, but peapod's parts are peapod_{{{}}}", PARTS.join(",")))
    }
}

fn wanted(word: &str) -> String {
    let word = if word.is_empty() { String::new() } else { format!("has {word:?}, which ") };
    format!("{word}is no level (off, error, warn, info, debug, trace) nor a list such as info,peapod_image=debug")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_lists() {
        for (written, means) in [
            ("info", "info"),
            ("warning", "warn"),
            (" WARN ", "warn"),
            ("Off", "off"),
            ("info,peapod_image=debug", "info,peapod_image=debug"),
            ("info,peapod_stage=debug", "info,peapod_stage=debug"),
            ("info, peapod_pod::driver = warning,", "info,peapod_pod::driver=warn"),
            ("error,h2=trace,peapod=info", "error,h2=trace,peapod=info"),
            ("info,peapod_daemon[cri{pod=a}]=debug", "info,peapod_daemon[cri{pod=a}]=debug"),
        ] {
            assert_eq!(directives(written).as_deref(), Ok(means), "{written:?}");
        }
    }

    #[test]
    fn words_that_are_none_are_refused_with_what_is_allowed() {
        for (text, word) in [
            ("verbose", "\"verbose\""),
            ("", "no level"),
            (" , ", "no level"),
            ("5", "\"5\""),
            ("information", "\"information\""),
            ("info,verbose", "\"verbose\""),
            ("peapod_image", "\"peapod_image\""),
            ("info,peapod_image=loud", "\"loud\""),
            ("info,peapod_image=", "no level"),
            ("info,peapod_imagee=debug", "\"peapod_imagee\""),
            ("info,=debug", "\"\""),
        ] {
            let refused = directives(text).unwrap_err();
            assert!(refused.contains(word), "{text:?}: {refused}");
            let allowed = ["off, error, warn, info, debug, trace", "api,cgroup,client"];
            assert!(allowed.iter().any(|words| refused.contains(words)), "{text:?}: {refused}");
        }
    }
}
