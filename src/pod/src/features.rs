//! What OCI runtimes can do, by their own word. The kubelet admits pods by it.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

/// How long a runtime may take to answer.
const LIMIT: Duration = Duration::from_secs(2);
/// More of an answer is not read. runc's has 10 000 bytes.
const LONGEST: u64 = 1 << 20;

/// What not every OCI runtime can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features {
    /// Mounts that are read-only with all mounts below them.
    pub(crate) recursive_read_only: bool,
    /// User namespaces, and mounts whose owners are seen through one.
    pub(crate) user_namespaces: bool,
    /// Network devices of the node that move to a container.
    pub(crate) net_devices: bool,
    /// Shares of caches and of the memory's bandwidth.
    pub(crate) intel_rdt: bool,
    /// From which nodes a process has its memory.
    pub(crate) memory_policy: bool,
    /// Scheduling and I/O priority of a process, which came with version 1.1 of the specification.
    pub(crate) priorities: bool,
    /// It writes containers into files by CRIU, and makes them of such.
    pub(crate) checkpoints: bool,
    /// Limits of -1, for none. crun 1.8 takes no negative numbers; runc writes what it was told last with each update,
    /// and so has to be told. `None` as long as nobody knows.
    pub(crate) no_limits: Option<bool>,
    /// Whether there is an OCI runtime at all.
    pub(crate) presence: Presence,
}

/// Whether a program has shown to be an OCI runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It has not said what it is, or not in time.
    #[default]
    Silent,
    /// It has told its version or its features.
    Answers,
    /// Kata's program, whose command line makes no containers since 2.0: containerd alone drives it, by a shim.
    Kata,
}

/// What a runtime told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) features: Features,
    /// Asked again it would tell the same.
    pub(crate) is_final: bool,
}

/// How runc and crun call it that they can do checkpoints.
const CHECKPOINTS: [&str; 2] = ["org.opencontainers.runc.checkpoint.enabled", "run.oci.crun.checkpoint.enabled"];

/// How the version of Kata's program begins.
const KATA: &[u8] = b"kata-runtime ";

/// How a runtime took a question.
enum Reaction {
    Text(Vec<u8>),
    /// It ended with an error: it does not know the question.
    Refused,
    /// It could not be run, was killed, or took too long.
    Missing,
}

/// Asks a runtime. One that can't be asked can nothing of it.
pub(crate) async fn ask(program: &Path) -> Told {
    let (features, version) = tokio::join!(answer(program, "features"), answer(program, "--version"));
    let is_final = matches!((&features, &version), (Reaction::Text(_) | Reaction::Refused, Reaction::Text(_)));
    let no_limits = match &version {
        Reaction::Text(text) => Some(!text.is_empty() && !text.starts_with(b"crun ")),
        Reaction::Refused => Some(false),
        Reaction::Missing => None,
    };
    let presence = match (&features, &version) {
        (_, Reaction::Text(text)) if text.starts_with(KATA) => Presence::Kata,
        (Reaction::Text(text), _) | (_, Reaction::Text(text)) if !text.is_empty() => Presence::Answers,
        _ => Presence::Silent,
    };
    // crun has `features` since 1.8.6, and these mounts since 1.4.
    let features = match (features, version) {
        (Reaction::Text(text), _) => by_features(&text),
        (_, Reaction::Text(text)) => Features {
            recursive_read_only: by_version(&text),
            checkpoints: is_built_with_criu(&text),
            ..Features::default()
        },
        _ => Features::default(),
    };
    Told { features: Features { no_limits, presence, ..features }, is_final }
}

/// The object of the OCI runtime specification's features.md.
fn by_features(text: &[u8]) -> Features {
    let has = |list: &Value, name: &str| list.as_array().is_some_and(|list| list.iter().any(|entry| entry == name));
    let Ok(answer) = serde_json::from_slice::<Value>(text) else { return Features::default() };
    let linux = &answer["linux"];
    Features {
        recursive_read_only: has(&answer["mountOptions"], "rro"),
        user_namespaces: has(&linux["namespaces"], "user") && linux["mountExtensions"]["idmap"]["enabled"] == true,
        net_devices: linux["netDevices"]["enabled"] == true,
        intel_rdt: linux["intelRdt"]["enabled"] == true,
        memory_policy: linux["memoryPolicy"]["modes"].as_array().is_some_and(|modes| !modes.is_empty()),
        priorities: answer["ociVersionMax"].as_str().is_some_and(|version| numbers(version) >= (1, 1)),
        checkpoints: CHECKPOINTS.iter().any(|name| answer["annotations"][*name] == "true"),
        no_limits: None,
        presence: Presence::Silent,
    }
}

/// crun says so in the list behind its version.
fn is_built_with_criu(text: &[u8]) -> bool {
    text.starts_with(b"crun ") && text.split(u8::is_ascii_whitespace).any(|word| word == b"+CRIU")
}

/// `crun version 1.8.1`.
fn by_version(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let version = text.lines().next().and_then(|line| line.strip_prefix("crun version "));
    numbers(version.unwrap_or_default()) >= (1, 4)
}

/// The first two numbers of a version.
fn numbers(version: &str) -> (u32, u32) {
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}

async fn answer(program: &Path, word: &str) -> Reaction {
    let answer = tokio::time::timeout(LIMIT, run(program, word)).await;
    answer.ok().flatten().unwrap_or(Reaction::Missing)
}

async fn run(program: &Path, word: &str) -> Option<Reaction> {
    let mut child = Command::new(program)
        .arg(word)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let stdout = child.stdout.take()?;
    let mut group = Group(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw));
    let mut text = Vec::new();
    stdout.take(LONGEST).read_to_end(&mut text).await.ok()?;
    let ended = child.wait().await.ok()?;
    // Reaped: the number may be somebody else's.
    group.0 = None;
    match (ended.success(), ended.signal()) {
        (true, _) => Some(Reaction::Text(text)),
        (false, None) => Some(Reaction::Refused),
        (false, Some(_)) => None,
    }
}

/// The process group of a call. Dropped before the call has ended, it is killed with all that it started.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // One that has ended is fine.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn words_of_runtimes() {
        assert!(by_features(br#"{"ociVersionMin": "1.0.0", "mountOptions": ["ro", "rro"]}"#).recursive_read_only);
        for text in [r#"{"mountOptions": ["ro"]}"#, "{}", "", "[]", r#"{"mountOptions": "rro"}"#] {
            assert_eq!(by_features(text.as_bytes()), Features::default(), "{text}");
        }
        let linux = |namespaces: &str, idmap: &str| {
            let text = format!(
                r#"{{"linux": {{"namespaces": [{namespaces}], "mountExtensions": {{"idmap": {{"enabled": {idmap}}}}}}}}}"#
            );
            by_features(text.as_bytes()).user_namespaces
        };
        let rdt = br#"{"linux": {"intelRdt": {"enabled": true}, "netDevices": {"enabled": false}}}"#;
        assert_eq!(by_features(rdt), Features { intel_rdt: true, ..Features::default() });
        let net = br#"{"linux": {"intelRdt": {"enabled": false}, "netDevices": {"enabled": true}}}"#;
        assert_eq!(by_features(net), Features { net_devices: true, ..Features::default() });
        let policy = br#"{"ociVersionMax": "1.3.0", "linux": {"memoryPolicy": {"modes": ["MPOL_BIND"], "flags": []}}}"#;
        assert_eq!(by_features(policy), Features { memory_policy: true, priorities: true, ..Features::default() });
        for (version, has) in [("1.0.2-dev", false), ("1.1.0", true), ("1.1.0-rc.2", true), ("2.0", true), ("x", false)]
        {
            let text = format!(r#"{{"ociVersionMax": "{version}", "linux": {{"memoryPolicy": {{"modes": []}}}}}}"#);
            assert_eq!(by_features(text.as_bytes()), Features { priorities: has, ..Features::default() }, "{version}");
        }
        assert!(linux(r#""mount", "user""#, "true"));
        assert!(!linux(r#""mount", "user""#, "false") && !linux(r#""mount""#, "true") && !linux("", "null"));
        let annotation = |text: &str| by_features(format!(r#"{{"annotations": {{{text}}}}}"#).as_bytes()).checkpoints;
        assert!(annotation(r#""org.opencontainers.runc.checkpoint.enabled": "true""#));
        assert!(annotation(r#""run.oci.crun.checkpoint.enabled": "true""#));
        assert!(!annotation(r#""org.opencontainers.runc.checkpoint.enabled": "false""#) && !annotation(""));
        assert!(is_built_with_criu(b"crun version 1.14\n+SYSTEMD +CRIU +YAJL"));
        assert!(!is_built_with_criu(b"crun version 1.8.1\n+SYSTEMD +YAJL") && !is_built_with_criu(b"x +CRIU"));
        for (text, can) in [
            ("crun version 1.8.1\ncommit: f8a", true),
            ("crun version 2.0", true),
            ("crun version 1.4", true),
            ("crun version 1.3.2", false),
            ("crun version 0.21", false),
            ("runc version 1.0.0", false),
            ("", false),
        ] {
            assert_eq!(by_version(text.as_bytes()), can, "{text}");
        }
    }

    #[tokio::test]
    async fn one_that_does_not_answer_can_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runtime");
        use Presence::{Answers, Kata, Silent};
        let of = |recursive_read_only, no_limits, presence, is_final| Told {
            features: Features { recursive_read_only, no_limits, presence, ..Features::default() },
            is_final,
        };
        for (script, told) in [
            ("[ $1 = features ] && echo '{\"mountOptions\": [\"rro\"]}'", of(true, Some(false), Answers, false)),
            ("[ $1 = --version ] && echo crun version 1.8.1", of(true, Some(false), Answers, true)),
            ("[ $1 = --version ] && echo runc version 1.5.2", of(false, Some(true), Answers, true)),
            ("[ $1 = features ] && exec sleep 60; echo runc version 1.5.2", of(false, Some(true), Answers, false)),
            (
                "[ $1 = --version ] && exec sleep 60; echo '{\"mountOptions\": [\"rro\"]}'",
                of(true, None, Answers, false),
            ),
            ("[ $1 = --version ] && echo 'kata-runtime  : 3.2.0'", of(false, Some(true), Kata, true)),
            ("[ $1 = --version ]", of(false, Some(false), Silent, true)),
            ("echo crun version 1.8.1; exit 1", of(false, Some(false), Silent, false)),
            ("kill -KILL $$", of(false, None, Silent, false)),
            ("exec sleep 60", of(false, None, Silent, false)),
            ("exec cat /dev/zero", of(false, None, Silent, false)),
        ] {
            std::fs::write(&path, format!("#!/bin/sh\n{script}")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            assert_eq!(ask(&path).await, told, "{script}");
        }
        assert_eq!(ask(&dir.path().join("missing")).await, of(false, None, Silent, false));
    }
}
