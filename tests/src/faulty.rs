//! An OCI runtime that misbehaves when it is told so.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Programs, wait_for};

/// A script around crun. Each command of it can be given a [`Fault`] at any time.
pub struct FaultyRuntime {
    dir: PathBuf,
    handler: String,
    sleep: String,
}

/// What a command does instead of, or beside, its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Works, and succeeds, but the file that is to have the process's number is not there.
    NoPid,
    /// The same, and that file is empty.
    EmptyPid,
    /// Makes the process without its terminal, succeeds, and sends none. Of `exec` alone.
    NoTerminal,
}

impl Fault {
    fn word(self) -> &'static str {
        match self {
            Self::Hang => "hang",
            Self::HangAfterwards => "after",
            Self::Fail => "fail",
            Self::Leave => "leave",
            Self::Die => "die",
            Self::NoPid => "no-pid",
            Self::EmptyPid => "empty-pid",
            Self::NoTerminal => "no-terminal",
        }
    }
}

/// What [`Fault::Hang`] and [`Fault::Leave`] leave running is told by its length from what others do.
static NEXT: AtomicU32 = AtomicU32::new(64_640);

/// Is run with DIR, CRUN and SLEEP before it.
const SCRIPT: &str = r#"
for word; do
    case $word in create|start|exec|delete|update|pause|resume|kill|state|features) command=$word; break ;; esac
    [ "$before" != --log ] || log=$word
    before=$word
done
# after OPTION WORD...: the word behind that one.
after() { local option=$1; shift; while [ $# -gt 1 ]; do [ "$1" != "$option" ] || echo "$2"; shift; done; }
hang() {
    $SLEEP &
    : >"$DIR/hangs-$command.$$"
    while [ -e "$DIR/on-$command" ]; do sleep 0.02; done
    kill $!
}
# The command without its console socket, and a process that has no terminal.
without_terminal() {
    local words=()
    sed -i 's/"terminal":true/"terminal":false/' "$(after --process "$@")" || exit
    while [ $# -gt 0 ]; do
        if [ "$1" = --console-socket ]; then shift 2; else words+=("$1"); shift; fi
    done
    exec "$CRUN" "${words[@]}"
}
echo x >>"$DIR/called-$command"
case $(cat "$DIR/on-$command" 2>/dev/null) in
hang) hang ;;
after) "$CRUN" "$@" || exit; hang; exit 0 ;;
fail) echo "made to fail by its test" >>"${log:-/dev/stderr}"; exit 1 ;;
leave) setsid $SLEEP </dev/null >/dev/null 2>&1 & ;;
die) kill -9 $$ ;;
no-pid) "$CRUN" "$@" || exit; rm "$(after --pid-file "$@")"; exit ;;
empty-pid) "$CRUN" "$@" || exit; : >"$(after --pid-file "$@")"; exit ;;
no-terminal) without_terminal "$@" ;;
esac
exec "$CRUN" "$@"
"#;

impl FaultyRuntime {
    /// One that works, in a folder that outlives the daemon; the handler `faulty`.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self::named(dir, "faulty")
    }

    /// The same as a handler with that name, which the program has too.
    ///
    /// # Panics
    /// When the script can't be written.
    #[must_use]
    pub fn named(dir: &Path, handler: &str) -> Self {
        let dir = dir.join(format!("of-{handler}"));
        let sleep = format!("sleep {}", NEXT.fetch_add(1, Ordering::Relaxed));
        let crun = Programs::get().crun.display();
        let head = format!("#!/bin/bash\nDIR=\"{}\" CRUN=\"{crun}\" SLEEP=\"{sleep}\"", dir.display());
        let new = Self { dir, handler: handler.to_owned(), sleep };
        fs::create_dir(&new.dir).unwrap();
        fs::write(new.program(), head + SCRIPT).unwrap();
        fs::set_permissions(new.program(), fs::Permissions::from_mode(0o755)).unwrap();
        new
    }

    fn program(&self) -> PathBuf {
        self.dir.join(&self.handler)
    }

    /// The handler's name, and the program's.
    #[must_use]
    pub fn handler(&self) -> &str {
        &self.handler
    }

    /// The setting that makes it a handler.
    #[must_use]
    pub fn setting(&self) -> String {
        format!("runtimes.handlers.{}.path={:?}", self.handler, self.program())
    }

    /// From now on that command does this: one of `create`, `start`, `exec`, `delete`, `update`, `pause`, `resume`,
    /// `kill`, `state`, `features`.
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
        wait_for(&format!("{count} calls of {command} hang"), async || self.hanging(command) >= count).await;
    }

    /// How many calls of that command have come to hang so far.
    #[must_use]
    pub fn hanging(&self, command: &str) -> usize {
        self.hung(command).len()
    }

    /// The numbers of the scripts that have come to hang so far.
    fn hung(&self, command: &str) -> Vec<String> {
        let prefix = format!("hangs-{command}.");
        let names = fs::read_dir(&self.dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.filter_map(|name| name.to_str()?.strip_prefix(&prefix).map(str::to_owned)).collect()
    }

    /// How many calls of that command hang now. A script that waits forks now and then, so it is told by its number.
    #[must_use]
    pub fn hang_now(&self, command: &str) -> usize {
        let program = self.program();
        let runs = |pid: &str| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            words.split(|byte| *byte == 0).any(|word| word == program.as_os_str().as_encoded_bytes())
        };
        self.hung(command).iter().filter(|pid| runs(pid)).count()
    }

    /// How many processes it has left, with all that hangs.
    #[must_use]
    pub fn processes(&self) -> usize {
        crate::processes(&self.sleep) + crate::node::processes_naming(&self.program().to_string_lossy())
    }
}
