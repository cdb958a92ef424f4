//! The command line of OCI runtimes: the one place that knows it. Signals are no part of it: they go by pidfd and by
//! cgroup.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use super::binary::Binary;
use crate::bounds::{CHECKPOINT, RUNTIME_CALL, RUNTIME_DELETE};

/// What a container's runtime is called for.
#[derive(Clone, Copy, Debug)]
pub(super) enum RuntimeCommand<'a> {
    Create {
        bundle: &'a Path,
        pid_file: &'a Path,
        console: Option<&'a Path>,
        /// The container gets a keyring of its own, else the shim's.
        new_keyring: bool,
    },
    Start,
    Exec {
        process: &'a Path,
        pid_file: &'a Path,
        console: Option<&'a Path>,
        /// Below the container's.
        group: Option<&'a str>,
        /// Where its number inside of the runtime's sandbox is to be written.
        inner_pid_file: Option<&'a Path>,
    },
    /// A signal to a container of the runtime's sandbox, by name or number.
    Kill {
        signal: &'a str,
        whom: Whom<'a>,
    },
    /// Until a container of the runtime's sandbox has ended; says how.
    Wait,
    Delete {
        force: bool,
    },
    /// The resources come as its standard input.
    Update,
    Pause,
    Resume,
    /// Writes the processes into files and lets them go on.
    Checkpoint {
        images: &'a Path,
        /// Folder of its own notes.
        work: &'a Path,
        limit: Duration,
    },
    /// Makes the container of such files; its process goes on where it was.
    Restore {
        bundle: &'a Path,
        pid_file: &'a Path,
        console: Option<&'a Path>,
        images: &'a Path,
        work: &'a Path,
    },
}

/// Who gets a signal in the runtime's sandbox.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whom<'a> {
    /// The container's first process.
    First,
    /// All of the container.
    All,
    /// The process with that number there.
    Process(&'a str),
}

impl RuntimeCommand<'_> {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Start => "start",
            Self::Exec { .. } => "exec",
            Self::Kill { .. } => "kill",
            Self::Wait => "wait",
            Self::Delete { .. } => "delete",
            Self::Update => "update",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Checkpoint { .. } => "checkpoint",
            Self::Restore { .. } => "restore",
        }
    }

    /// It may take no longer.
    pub(super) fn limit(&self) -> Duration {
        match self {
            Self::Delete { .. } => RUNTIME_DELETE,
            Self::Wait => Duration::MAX,
            Self::Checkpoint { limit, .. } => *limit,
            // Who may take so long to write may take so long to read.
            Self::Restore { .. } => CHECKPOINT,
            _ => RUNTIME_CALL,
        }
    }

    /// All arguments: those of the runtime, whose messages go to `log`, and those of the action.
    pub(super) fn arguments<'a>(&'a self, binary: &'a Binary, log: &'a Path, id: &'a str) -> Vec<&'a OsStr> {
        let mut arguments: Vec<&OsStr> = Vec::with_capacity(16);
        if !binary.root.as_os_str().is_empty() {
            arguments.extend(["--root".as_ref(), binary.root.as_os_str()]);
        }
        if binary.systemd_cgroup {
            arguments.push("--systemd-cgroup".as_ref());
        }
        arguments.extend(binary.arguments.iter().map(OsStr::new));
        arguments.extend(["--log".as_ref(), log.as_os_str(), "--log-format".as_ref(), "json".as_ref()]);
        arguments.push(self.name().as_ref());
        self.options(&mut arguments);
        arguments.push(id.as_ref());
        if let Self::Kill { signal, .. } = self {
            arguments.push(signal.as_ref());
        }
        arguments
    }

    fn options<'a>(&'a self, arguments: &mut Vec<&'a OsStr>) {
        match self {
            Self::Create { bundle, .. } | Self::Restore { bundle, .. } => {
                arguments.extend(["--bundle".as_ref(), bundle.as_os_str()]);
            }
            Self::Exec { process, group, inner_pid_file, .. } => {
                arguments.extend(["--detach".as_ref(), "--process".as_ref(), process.as_os_str()]);
                if let Some(group) = group {
                    arguments.extend::<[&OsStr; 2]>(["--cgroup".as_ref(), group.as_ref()]);
                }
                if let Some(file) = inner_pid_file {
                    arguments.extend(["--internal-pid-file".as_ref(), file.as_os_str()]);
                }
            }
            Self::Kill { whom: Whom::All, .. } => arguments.push("--all".as_ref()),
            Self::Kill { whom: Whom::Process(pid), .. } => {
                arguments.extend::<[&OsStr; 2]>(["--pid".as_ref(), pid.as_ref()]);
            }
            Self::Delete { force: true } => arguments.push("--force".as_ref()),
            Self::Update => arguments.extend::<[&OsStr; 2]>(["--resources".as_ref(), "-".as_ref()]),
            Self::Checkpoint { .. } => arguments.push("--leave-running".as_ref()),
            Self::Kill { whom: Whom::First, .. }
            | Self::Wait
            | Self::Delete { force: false }
            | Self::Start
            | Self::Pause
            | Self::Resume => {}
        }
        if let Self::Checkpoint { images, work, .. } | Self::Restore { images, work, .. } = self {
            arguments.extend(["--image-path".as_ref(), images.as_os_str(), "--work-path".as_ref(), work.as_os_str()]);
            arguments.extend::<[&OsStr; 2]>(["--file-locks".as_ref(), "--tcp-established".as_ref()]);
        }
        if let Self::Restore { .. } = self {
            arguments.push("--detach".as_ref());
        }
        if let Self::Create { pid_file, console, .. }
        | Self::Exec { pid_file, console, .. }
        | Self::Restore { pid_file, console, .. } = self
        {
            arguments.extend(["--pid-file".as_ref(), pid_file.as_os_str()]);
            if let Some(console) = console {
                arguments.extend(["--console-socket".as_ref(), console.as_os_str()]);
            }
        }
        if let Self::Create { new_keyring: false, .. } = self {
            arguments.push("--no-new-keyring".as_ref());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(action: RuntimeCommand<'_>, binary: &Binary) -> String {
        let arguments = action.arguments(binary, Path::new("/b/call.log"), "c1");
        arguments.iter().map(|argument| argument.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_was_written_may_be_read() {
        let (bundle, pid_file, images, work) = (Path::new("/b"), Path::new("/b/pid"), Path::new("/i"), Path::new("/w"));
        let restore = RuntimeCommand::Restore { bundle, pid_file, console: None, images, work };
        let checkpoint = RuntimeCommand::Checkpoint { images, work, limit: CHECKPOINT };
        assert_eq!(restore.limit(), checkpoint.limit());
        let create = RuntimeCommand::Create { bundle, pid_file, console: None, new_keyring: true };
        assert_eq!(create.limit(), RUNTIME_CALL);
    }

    #[test]
    fn command_lines() {
        let bare =
            Binary { program: "/usr/bin/crun".into(), root: "/r".into(), systemd_cgroup: false, arguments: Vec::new() };
        let (bundle, pid_file, process) = (Path::new("/b"), Path::new("/b/pid"), Path::new("/b/p.json"));
        let (images, work) = (Path::new("/i"), Path::new("/w"));
        for (action, wanted) in [
            (
                RuntimeCommand::Create { bundle, pid_file, console: None, new_keyring: true },
                "create --bundle /b --pid-file /b/pid c1",
            ),
            (
                RuntimeCommand::Create { bundle, pid_file, console: Some(Path::new("/b/s")), new_keyring: true },
                "create --bundle /b --pid-file /b/pid --console-socket /b/s c1",
            ),
            (
                RuntimeCommand::Create { bundle, pid_file, console: None, new_keyring: false },
                "create --bundle /b --pid-file /b/pid --no-new-keyring c1",
            ),
            (RuntimeCommand::Start, "start c1"),
            (
                RuntimeCommand::Exec { process, pid_file, console: None, group: None, inner_pid_file: None },
                "exec --detach --process /b/p.json --pid-file /b/pid c1",
            ),
            (
                RuntimeCommand::Exec { process, pid_file, console: None, group: Some("init"), inner_pid_file: None },
                "exec --detach --process /b/p.json --cgroup init --pid-file /b/pid c1",
            ),
            (
                RuntimeCommand::Exec {
                    process,
                    pid_file,
                    console: Some(Path::new("/b/s")),
                    group: None,
                    inner_pid_file: Some(Path::new("/b/i")),
                },
                "exec --detach --process /b/p.json --internal-pid-file /b/i --pid-file /b/pid --console-socket /b/s c1",
            ),
            (RuntimeCommand::Delete { force: false }, "delete c1"),
            (RuntimeCommand::Delete { force: true }, "delete --force c1"),
            (RuntimeCommand::Update, "update --resources - c1"),
            (RuntimeCommand::Kill { signal: "15", whom: Whom::First }, "kill c1 15"),
            (RuntimeCommand::Kill { signal: "9", whom: Whom::All }, "kill --all c1 9"),
            (RuntimeCommand::Kill { signal: "2", whom: Whom::Process("7") }, "kill --pid 7 c1 2"),
            (RuntimeCommand::Wait, "wait c1"),
            (RuntimeCommand::Pause, "pause c1"),
            (RuntimeCommand::Resume, "resume c1"),
            (
                RuntimeCommand::Checkpoint { images, work, limit: Duration::from_secs(7) },
                "checkpoint --leave-running --image-path /i --work-path /w --file-locks --tcp-established c1",
            ),
            (
                RuntimeCommand::Restore { bundle, pid_file, console: None, images, work },
                "restore --bundle /b --image-path /i --work-path /w --file-locks --tcp-established --detach \
                 --pid-file /b/pid c1",
            ),
        ] {
            let common = "--log /b/call.log --log-format json";
            assert_eq!(line(action, &bare), format!("--root /r {common} {wanted}"));
            let systemd = Binary { systemd_cgroup: true, ..bare.clone() };
            assert_eq!(line(action, &systemd), format!("--root /r --systemd-cgroup {common} {wanted}"));
            let with_arguments = Binary { arguments: vec!["--network=host".to_owned()], ..bare.clone() };
            assert_eq!(line(action, &with_arguments), format!("--root /r --network=host {common} {wanted}"));
            let rootless = Binary { root: "".into(), ..bare.clone() };
            assert_eq!(line(action, &rootless), format!("{common} {wanted}"));
        }
    }
}
