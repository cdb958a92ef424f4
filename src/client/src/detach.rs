//! `peapod run -d`: a process of its own looks after the pods, and this one waits until they are ready.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::process::Stdio;

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, setsid};
use peapod_text::one_line;
use rustix::fs::{FlockOperation, flock};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::OWN_FAILURE;
use crate::bounds::END_BYTES;
use crate::console::{ConsoleStream, Outputs, SETTLED};
use crate::interrupt::Interrupt;
use crate::runs::{self, PreparedRun, RunLog, RunRecord};

/// Tells a process which run it is to look after.
const SUPERVISED: &str = "PEAPOD_SUPERVISED_RUN";

/// The run that this process was started to look after.
pub(crate) fn supervised() -> Option<String> {
    std::env::var(SUPERVISED).ok().filter(|id| !id.is_empty())
}

/// In such a process: leaves the terminal's session, whose end must not be this one's.
pub(crate) fn leave_session() {
    // It leads a group already: then nobody's terminal is left.
    let _ = setsid();
}

/// Where such a process writes: to the run's log, and until all is ready to who waits for that.
pub(crate) fn outputs(record: &RunRecord) -> anyhow::Result<Outputs> {
    let log = RunLog::open(&record.log()).with_context(|| format!("cannot write {}", record.log().display()))?;
    // What this process has for standard output ends with the wait.
    let waiting = rustix::io::fcntl_dupfd_cloexec(io::stdout(), 3)?;
    let null = File::options().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(null)?;
    Ok(Outputs {
        out: ConsoleStream::new(Box::new(log.clone()), false, true),
        err: ConsoleStream::new(Box::new(log), false, true),
        screen: None,
        waiting: Some(Box::new(File::from(waiting))),
    })
}

/// An id that no other run has.
pub(crate) fn new_id() -> io::Result<String> {
    let mut bytes = [0_u8; 4];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Starts `peapod` with these words to look after a run; answers its exit status, or that of the run once all pods are
/// ready or have ended.
pub(crate) async fn start(words: &[OsString], input: Option<&str>, base: &Path) -> anyhow::Result<u8> {
    let id = new_id().context("no random numbers for the run's id")?;
    go_on(words, input, base, &id).await
}

/// The same of a run that has an id, as an earlier process has looked after it.
pub(crate) async fn go_on(words: &[OsString], input: Option<&str>, base: &Path, id: &str) -> anyhow::Result<u8> {
    let prepared = PreparedRun::make(base, id).with_context(|| format!("cannot write into {}", base.display()))?;
    let started = start_in(&prepared.folder, id, words, input).await;
    // Else it would stay for ever.
    runs::abandon(base, id);
    started
}

async fn start_in(folder: &Path, id: &str, words: &[OsString], input: Option<&str>) -> anyhow::Result<u8> {
    // For what is said in no other way, such as a panic. Read through this handle: the folder goes with the run.
    let path = folder.join(runs::LAST_WORDS);
    let last_words = File::options().read(true).append(true).create(true).mode(0o600).open(&path);
    let last_words = last_words.with_context(|| format!("cannot write {}", path.display()))?;
    // Who takes the run down waits for its beginning. On a file system without locks he does not.
    let _ = flock(&last_words, FlockOperation::LockExclusive);
    let program = std::env::current_exe().context("cannot tell where peapod is")?;
    let interrupt = Interrupt::listen()?;
    let mut command = Command::new(program);
    command.args(words).env(SUPERVISED, id).stdout(Stdio::piped()).stderr(last_words.try_clone()?);
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.spawn().context("cannot start another peapod")?;
    if let (Some(mut to), Some(text)) = (child.stdin.take(), input) {
        // One that does not read it says why.
        let _ = to.write_all(text.as_bytes()).await;
    }
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    let settled = tokio::select! {
        settled = hear(&mut child) => settled?,
        status = pass_on(pid, &interrupt) => match status {},
    };
    match settled {
        Heard::Settled(status) => Ok(status),
        Heard::Ended { lines } => {
            let ended = child.wait().await?;
            let said = last(&last_words);
            if !said.is_empty() {
                writeln!(io::stderr(), "{said}")?;
            } else if lines == 0 {
                let text = "what was to look after the pods has ended without a word";
                writeln!(io::stderr(), "peapod: {text} ({ended}); it writes into {}", folder.display())?;
            }
            Ok(interrupt.status().or(ended.code().and_then(|code| u8::try_from(code).ok())).unwrap_or(OWN_FAILURE))
        }
    }
}

/// The last words of one that ended in an unforeseen way.
fn last(words: &File) -> String {
    let mut text = vec![0; END_BYTES];
    let length = words.read_at(&mut text, 0).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[..length]);
    text.trim_end().lines().map(one_line).collect::<Vec<_>>().join("\n")
}

/// What there was to hear of a run.
enum Heard {
    /// All is ready or has ended, with this exit status.
    Settled(u8),
    /// It ended before, and had said so many lines.
    Ended { lines: usize },
}

/// Prints what it says until all is ready.
async fn hear(child: &mut Child) -> anyhow::Result<Heard> {
    let Some(stdout) = child.stdout.take() else { return Ok(Heard::Ended { lines: 0 }) };
    let mut from = BufReader::new(stdout);
    let mut lines = 0;
    loop {
        let mut line = Vec::new();
        let length = (&mut from).take(END_BYTES as u64).read_until(b'\n', &mut line).await?;
        if length == 0 {
            return Ok(Heard::Ended { lines });
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches('\n');
        if let Some(status) = text.strip_prefix(char::from(SETTLED)) {
            return Ok(Heard::Settled(status.parse().unwrap_or(OWN_FAILURE)));
        }
        lines += 1;
        writeln!(io::stderr(), "peapod: {}", one_line(text))?;
    }
}

/// Ctrl-C here, before the pods are ready, is theirs.
async fn pass_on(pid: Option<i32>, interrupt: &Interrupt) -> std::convert::Infallible {
    interrupt.first().await;
    if let Some(pid) = pid {
        // It may have ended this moment.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        interrupt.second().await;
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_read_when_the_run_has_taken_its_folder_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stderr");
        let words = File::options().read(true).append(true).create(true).open(&path).unwrap();
        words.try_clone().unwrap().write_all(b"panicked at\n\x1b[2Jhere\n\n").unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!(last(&words), "panicked at\n\\u{1b}[2Jhere");
    }
}
