//! Starts the daemon where `peapod run` finds none and may: as root, on the default socket, and where systemd has no
//! unit for it.

mod transient;

use std::fs::{DirBuilder, File};
use std::io::{self, Seek as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use peapod_text::one_line;
use rustix::fs::{FlockOperation, flock};

use self::transient::{AskedUnit, TransientUnit};
use crate::bounds::{DAEMON_START, END_BYTES};
use crate::cli::ConnectArgs;
use crate::connect::{ConnectError, CriClient};

/// Where it writes.
const LOG: &str = "/var/log/peapod.log";
/// StartLock by who starts it, so that of several only one does.
const LOCK: &str = "/run/peapod.start";
/// There as long as systemd runs this machine.
const SYSTEMD: &str = "run/systemd/system";
/// Where systemd looks for units.
const UNITS: [&str; 5] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];
/// Between two looks whether it answers.
const POLL: Duration = Duration::from_millis(10);

/// Connects; if nobody is there and this may start the daemon, starts it before.
pub(crate) async fn connect(connect: &ConnectArgs) -> anyhow::Result<CriClient> {
    let url = connect.url();
    let none = match CriClient::open(&url).await {
        Err(none @ (ConnectError::Missing { .. } | ConnectError::NobodyListens { .. })) => none,
        other => return Ok(other?),
    };
    if connect.said().is_some() || !rustix::process::geteuid().is_root() {
        return Err(none.into());
    }
    if has_unit(Path::new("/")) {
        anyhow::bail!(
            "peapod does not run: start it with `systemctl start peapod`, and `systemctl enable peapod` for each boot"
        );
    }
    let lock = File::options().write(true).create(true).truncate(false).mode(0o600).open(LOCK);
    let lock = lock.with_context(|| format!("cannot open {LOCK}"))?;
    // Another one starts it: it answers soon.
    tokio::task::spawn_blocking(move || flock(&lock, FlockOperation::LockExclusive).map(|()| lock))
        .await?
        .with_context(|| format!("cannot lock {LOCK}"))
        .map(StartLock)?
        .connect(&url)
        .await
}

/// Whether systemd is to start it, on the machine that this is the root of.
pub(crate) fn has_unit(root: &Path) -> bool {
    root.join(SYSTEMD).is_dir() && UNITS.iter().any(|folder| root.join(folder).join("peapod.service").exists())
}

/// What to do where none answers, on the machine that this is the root of.
pub(crate) fn way_to_start(root: &Path) -> String {
    if has_unit(root) {
        "systemctl start peapod; if it ends, its log says why: journalctl -u peapod".to_owned()
    } else if root.join(SYSTEMD).is_dir() {
        "`peapod run` starts it, as root, and so does `peapod serve`; what `run` started writes to journalctl -u peapod"
            .to_owned()
    } else {
        format!("`peapod run` starts it, as root, and so does `peapod serve`; what `run` started writes to {LOG}")
    }
}

/// The lock, until the daemon answers.
struct StartLock(#[expect(dead_code, reason = "held, not used")] File);

impl StartLock {
    async fn connect(self, url: &str) -> anyhow::Result<CriClient> {
        // Who had the lock before may have started it.
        if let Ok(connection) = CriClient::try_open(url).await {
            return Ok(connection);
        }
        let mut daemon = match TransientUnit::on(Path::new("/")) {
            Some(unit) => {
                if let Some(connection) = unit.wait(url).await? {
                    return Ok(connection);
                }
                StartedDaemon::Unit(unit.start()?)
            }
            None => start()?,
        };
        let (begun, log) = (Instant::now(), daemon.log());
        loop {
            if let Ok(connection) = CriClient::try_open(url).await {
                let said = "peapod: no daemon was there: started one, which goes on. It writes to";
                crate::commands::note(&format!("{said} {log}; `peapod serve --help` says more\n"))?;
                return Ok(connection);
            }
            if let Some(why) = daemon.ended()? {
                anyhow::bail!("`peapod serve` ended at once {why}");
            }
            if begun.elapsed() > DAEMON_START {
                anyhow::bail!("`peapod serve` was started and does not answer at {url}; see {log}");
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// A daemon that was started.
enum StartedDaemon {
    /// With where in the log it begins to write.
    Process { daemon: Child, begin: u64 },
    /// systemd has it, or will.
    Unit(AskedUnit),
}

impl StartedDaemon {
    /// Where it writes, in words.
    fn log(&self) -> &'static str {
        match self {
            Self::Process { .. } => LOG,
            Self::Unit(_) => "the journal (journalctl -u peapod)",
        }
    }

    /// Why it has ended, if it has.
    fn ended(&mut self) -> anyhow::Result<Option<String>> {
        Ok(match self {
            Self::Process { daemon, begin } => {
                daemon.try_wait()?.map(|status| format!("({status}): {}", last_words(*begin)))
            }
            Self::Unit(unit) => unit.failed()?.map(|why| format!("{why}; see {}", self.log())),
        })
    }
}

/// Starts it as a process in a group of its own.
fn start() -> anyhow::Result<StartedDaemon> {
    let program = std::env::current_exe().context("cannot tell where peapod is")?;
    if let Some(folder) = Path::new(LOG).parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(folder).with_context(|| format!("cannot make {LOG}"))?;
    }
    let log = File::options().append(true).create(true).mode(0o640).open(LOG);
    let mut log = log.with_context(|| format!("cannot write {LOG}"))?;
    let begin = log.seek(io::SeekFrom::End(0))?;
    let mut command = Command::new(program);
    // What is no line of its log is said at its start.
    command.args(["serve", "--log-file", LOG]).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    // Ctrl-C at this terminal is not for it; nor is where it was started, or with what.
    command.process_group(0).current_dir("/").env_remove("PEAPOD_ENDPOINT").env_remove("PEAPOD_RUN_DIR");
    let daemon = command.spawn().context("cannot start `peapod serve`")?;
    Ok(StartedDaemon::Process { daemon, begin })
}

/// What it wrote since then, as one line.
fn last_words(begin: u64) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let (mut log, mut text) = (File::open(LOG)?, Vec::new());
        log.seek(io::SeekFrom::Start(begin))?;
        io::Read::read_to_end(&mut io::Read::take(log, END_BYTES as u64), &mut text)?;
        Ok(text)
    };
    let text = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    one_line(text.lines().last().unwrap_or("it said nothing")).into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_way_to_start_is_that_of_the_machine() {
        let dir = tempfile::tempdir().unwrap();
        let unit = dir.path().join("lib/systemd/system/peapod.service");
        fs::create_dir_all(unit.parent().unwrap()).unwrap();
        fs::write(&unit, "").unwrap();
        assert!(way_to_start(dir.path()).contains(LOG), "systemd does not run it");
        fs::create_dir_all(dir.path().join(SYSTEMD)).unwrap();
        assert!(way_to_start(dir.path()).starts_with("systemctl start peapod"));
        fs::remove_file(unit).unwrap();
        let way = way_to_start(dir.path());
        assert!(way.contains("peapod run") && way.contains("journalctl -u peapod"), "as a unit of its own: {way}");
    }
}
