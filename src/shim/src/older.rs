//! What masters of protocol 1 and 2 do not say when they create a container: it is looked for in its `config.json`.
//! Gone when [`peapod_shim_protocol::OLDEST_MASTER`] is 3.

use std::path::Path;

use crate::files;

/// The OOM score that the configuration asks for, if that is 0: of others the runtime takes care.
pub(crate) fn oom_score_adj(bundle: &Path) -> Option<i32> {
    asks_for_zero(&files::text(&bundle.join("config.json"))?).then_some(0)
}

/// The path of the group that the configuration asks for: for one whose shim died before it knew more.
pub(crate) fn cgroup(bundle: &Path) -> Option<String> {
    let text = files::text(&bundle.join("config.json"))?;
    let (_, rest) = text.split_once("\"cgroupsPath\":\"")?;
    let (path, _) = rest.split_once('"')?;
    // One with an escape in it is not looked for.
    if path.contains('\\') { None } else { peapod_cgroup::of_runtime_path(path) }
}

/// Whether a configuration has `"oomScoreAdj": 0`. Within a string its quotes would be escaped.
fn asks_for_zero(config: &str) -> bool {
    let values = config.split("\"oomScoreAdj\"").skip(1);
    values.filter_map(|rest| rest.trim_start().strip_prefix(':')).any(|value| {
        let value = value.trim_start();
        value.starts_with('0') && !value[1..].starts_with(|next: char| next.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_score_of_zero() {
        for (config, zero) in [
            (r#"{"process":{"oomScoreAdj":0,"args":[]}}"#, true),
            (r#"{"process":{"oomScoreAdj" : 0}}"#, true),
            (r#"{"process":{"oomScoreAdj":-999}}"#, false),
            (r#"{"process":{"oomScoreAdj":10}}"#, false),
            (r#"{"annotations":{"a":"\"oomScoreAdj\":0"}}"#, false),
            ("{}", false),
        ] {
            assert_eq!(asks_for_zero(config), zero, "{config}");
        }
    }

    #[test]
    fn finds_the_group() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(cgroup(dir.path()), None);
        for (asked, path) in [
            ("/kubepods/pod1/abc", Some("/kubepods/pod1/abc")),
            ("kubepods-pod1.slice:peapod:abc", Some("/kubepods.slice/kubepods-pod1.slice/peapod-abc.scope")),
            ("", None),
        ] {
            let config = format!("{{\"linux\":{{\"cgroupsPath\":\"{asked}\"}}}}");
            std::fs::write(dir.path().join("config.json"), config).unwrap();
            assert_eq!(cgroup(dir.path()).as_deref(), path);
        }
    }
}
