//! An OCI runtime that misbehaves when it is told so.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Programs, wait_for};

/// A script around crun. Each command of it can be given a [`Fault`] at any time.
pub struct FaultyRuntime {
    dir: PathBuf,
    sleep: String,
}

/// What a command does instead of, or beside, its work.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Waits until the fault is taken back, with a child that waits too; then works.
    Hang,
    /// Works, and hangs then.
    HangAfterwards,
    /// Fails, with words.
    Fail,
    /// Works, and leaves a process in a session of its own.
    Leave,
    /// Dies by a signal, without a word.
    Die,
}

impl Fault {
    fn word(self) -> &'static str {
        match self {
            Self::Hang => "hang",
            Self::HangAfterwards => "after",
            Self::Fail => "fail",
            Self::Leave => "leave",
            Self::Die => "die",
        }
    }
}

/// What [`Fault::Hang`] and [`Fault::Leave`] leave running is told by its length from what others do.
static NEXT: AtomicU32 = AtomicU32::new(64_640);

impl FaultyRuntime {
    /// One that works, in a folder that outlives the daemon.
    ///
    /// # Panics
    /// When the script can't be written.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        let (path, crun) = (dir.join("runtime"), &Programs::get().crun);
        let sleep = format!("sleep {}", NEXT.fetch_add(1, Ordering::Relaxed));
        let script = format!(
            r#"#!/bin/bash
for word; do
    case $word in create|start|exec|delete|update) command=$word; break ;; esac
    [ "$before" != --log ] || log=$word
    before=$word
done
fault() {{ cat "{dir}/on-$command" 2>/dev/null; }}
hang() {{ {sleep} & : >"{dir}/hangs-$command.$$"; while [ -e "{dir}/on-$command" ]; do sleep 0.02; done; kill $!; }}
: >>"{dir}/called-$command"; echo x >>"{dir}/called-$command"
case $(fault) in
hang) hang ;;
after) {crun} "$@" || exit; hang; exit 0 ;;
fail) echo "made to fail by its test" >>"$log"; exit 1 ;;
leave) setsid {sleep} </dev/null >/dev/null 2>&1 & ;;
die) kill -9 $$ ;;
esac
exec {crun} "$@"
"#,
            dir = dir.display(),
            crun = crun.display(),
        );
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir: dir.to_owned(), sleep }
    }

    /// The setting that makes it the handler `faulty`.
    #[must_use]
    pub fn setting(&self) -> String {
        format!("runtimes.handlers.faulty.path={:?}", self.dir.join("runtime"))
    }

    /// From now on that command (`create`, `start`, `exec`, `delete`, `update`) does this.
    ///
    /// # Panics
    /// When that can't be written down.
    pub fn on(&self, command: &str, fault: Fault) {
        fs::write(self.dir.join(format!("on-{command}")), fault.word()).unwrap();
    }

    /// From now on that command works; one that hangs goes on.
    pub fn heal(&self, command: &str) {
        // It may have had no fault.
        let _ = fs::remove_file(self.dir.join(format!("on-{command}")));
    }

    /// How often that command was called.
    #[must_use]
    pub fn calls(&self, command: &str) -> usize {
        fs::read_to_string(self.dir.join(format!("called-{command}"))).unwrap_or_default().lines().count()
    }

    /// Waits until as many calls of that command as that have come to hang.
    pub async fn wait_hanging(&self, command: &str, count: usize) {
        let prefix = format!("hangs-{command}.");
        wait_for(&format!("{count} calls of {command} hang"), async || {
            let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
            entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix)).count() >= count
        })
        .await;
    }

    /// How many processes it has left, with all that hangs.
    #[must_use]
    pub fn processes(&self) -> usize {
        let script = self.dir.join("runtime");
        crate::processes(&self.sleep) + crate::node::processes_naming(&script.to_string_lossy())
    }
}
