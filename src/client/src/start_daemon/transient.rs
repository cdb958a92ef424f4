//! The daemon as a unit of systemd's that no installed file describes: in the session or the unit in which `peapod run`
//! was called it would end with that.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::Context as _;

use super::{POLL, SYSTEMD};
use crate::bounds::{DAEMON_START, END_BYTES};
use crate::connect::CriClient;

/// The unit that is installed elsewhere.
const PEAPOD_UNIT: &str = include_str!("../../../../packaging/peapod.service");
/// Asks systemd to run something.
const RUN: &str = "systemd-run";
/// Tells systemd what to do with it.
const CONTROL: &str = "systemctl";
/// There as long as systemd has such a unit, whether its daemon answers, starts or ends again and again.
const FILE: &str = "run/systemd/transient/peapod.service";

/// How such a unit is made on a machine that systemd runs.
pub(super) struct TransientUnit {
    file: PathBuf,
    run: PathBuf,
    control: PathBuf,
}

impl TransientUnit {
    /// Nothing if systemd does not run the machine that this is the root of.
    pub(super) fn on(root: &Path) -> Option<Self> {
        let unit = Self { file: root.join(FILE), run: RUN.into(), control: CONTROL.into() };
        root.join(SYSTEMD).is_dir().then_some(unit)
    }

    /// Whether there is one, whoever made it.
    fn exists(&self) -> bool {
        self.file.exists()
    }

    /// Waits for the daemon of one that is there: another `peapod run` made it and was ended before it answered, or it
    /// is just started anew. Nothing if there is none, or none any more.
    pub(super) async fn wait(&self, url: &str) -> anyhow::Result<Option<CriClient>> {
        let begun = Instant::now();
        while self.exists() {
            if let Ok(connection) = CriClient::try_open(url).await {
                return Ok(Some(connection));
            }
            if begun.elapsed() > DAEMON_START {
                anyhow::bail!(
                    "the daemon that an earlier `peapod run` started does not answer at {url}: its log says why \
                     (journalctl -u peapod); after `systemctl stop peapod` the next `peapod run` starts another"
                );
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(None)
    }

    /// Asks systemd for it.
    pub(super) fn start(self) -> anyhow::Result<AskedUnit> {
        let program = std::env::current_exe().context("cannot tell where peapod is")?;
        let mut command = Command::new(&self.run);
        command.args(unit_words(PEAPOD_UNIT)).arg("--").arg(program).arg("serve");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        match command.spawn() {
            Ok(asked) => Ok(AskedUnit { asked, unit: self }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => anyhow::bail!(
                "peapod does not run, and without a unit or {RUN} it would end with this session: `make install` \
                 brings the unit"
            ),
            Err(error) => Err(error).with_context(|| format!("cannot start {RUN}")),
        }
    }

    /// Ends one whose daemon did not come up: systemd would start it for ever, and refuse to make another.
    fn give_up(&self) {
        if !self.exists() {
            return;
        }
        for words in [["stop", "peapod.service"], ["reset-failed", "peapod.service"]] {
            let mut command = Command::new(&self.control);
            command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            // Of one that is gone already, or can't be ended, the next start tells.
            let _ = command.status();
        }
    }
}

/// One that systemd was asked for.
pub(super) struct AskedUnit {
    asked: Child,
    unit: TransientUnit,
}

impl AskedUnit {
    /// Why there will be none, if so; nothing of it is left then.
    pub(super) fn failed(&mut self) -> io::Result<Option<String>> {
        let Some(status) = self.asked.try_wait()?.filter(|status| !status.success()) else { return Ok(None) };
        self.unit.give_up();
        let mut said = Vec::new();
        if let Some(from) = self.asked.stderr.take() {
            io::Read::read_to_end(&mut io::Read::take(from, END_BYTES as u64), &mut said)?;
        }
        let said = String::from_utf8_lossy(&said);
        Ok(Some(format!("({RUN}: {status}): {}", peapod_text::one_line(said.trim()))))
    }
}

/// The same as the unit that is installed says, but what it runs and when.
fn unit_words(unit: &str) -> Vec<String> {
    let service =
        unit.split_once("[Service]").map_or("", |(_, rest)| rest).lines().take_while(|line| !line.starts_with('['));
    let lasting = |line: &&str| line.contains('=') && !line.starts_with('#') && !line.starts_with("Exec");
    let own = ["--unit=peapod", "--collect", "--quiet", "--property=StartLimitIntervalSec=0"].map(str::to_owned);
    own.into_iter().chain(service.filter(lasting).map(|line| format!("--property={line}"))).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use super::*;
    use crate::fake::Fake;

    /// A machine with a systemd of two scripts.
    fn machine(run: &str, control: &str) -> (tempfile::TempDir, TransientUnit) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(SYSTEMD)).unwrap();
        let mut unit = TransientUnit::on(dir.path()).unwrap();
        fs::create_dir_all(unit.file.parent().unwrap()).unwrap();
        let script = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, format!("#!/bin/sh\ncd '{}'\n{text}\n", dir.path().display())).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
            path
        };
        (unit.run, unit.control) = (script(RUN, run), script(CONTROL, control));
        (dir, unit)
    }

    fn failure(mut asked: AskedUnit) -> String {
        let begun = Instant::now();
        loop {
            match asked.failed().unwrap() {
                Some(why) => return why,
                None if begun.elapsed() > Duration::from_secs(30) => panic!("it does not end"),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    #[test]
    fn of_a_start_that_failed_no_unit_is_left() {
        let run = format!("touch {FILE}; echo 'Job for peapod.service failed' >&2; exit 1");
        let (dir, unit) = machine(&run, &format!("echo \"$@\" >>asked; [ $1 = reset-failed ] || rm {FILE}"));
        assert!(!unit.exists());
        let why = failure(unit.start().unwrap());
        assert!(why.contains("Job for peapod.service failed") && why.contains("exit status: 1"), "{why}");
        assert!(!TransientUnit::on(dir.path()).unwrap().exists(), "the next one would be refused");
        let asked = fs::read_to_string(dir.path().join("asked")).unwrap();
        assert_eq!(asked, "stop peapod.service\nreset-failed peapod.service\n");
    }

    #[test]
    fn what_was_never_made_is_not_stopped() {
        let (dir, unit) = machine("echo 'no bus' >&2; exit 1", "touch asked");
        assert!(failure(unit.start().unwrap()).contains("no bus"));
        assert!(!dir.path().join("asked").exists(), "a unit of somebody else's may have that name");
        let elsewhere = tempfile::tempdir().unwrap();
        assert!(TransientUnit::on(elsewhere.path()).is_none());
    }

    #[tokio::test]
    async fn the_daemon_of_a_unit_that_is_there_is_waited_for() {
        let (dir, unit) = machine("exit 1", "exit 1");
        let (url, fake) = (format!("unix://{}", dir.path().join("fake.sock").display()), Fake::default());
        assert!(unit.wait(&url).await.unwrap().is_none(), "there is none");
        fs::write(&unit.file, "").unwrap();
        let (waited, ()) = tokio::join!(unit.wait(&url), async {
            assert_eq!(fake.serve(dir.path()), url);
        });
        assert!(waited.unwrap().is_some());
        let nowhere = format!("{url}.none");
        let (waited, ()) = tokio::join!(unit.wait(&nowhere), async {
            fs::remove_file(&unit.file).unwrap();
        });
        assert!(waited.unwrap().is_none(), "systemd has given it up");
    }

    #[test]
    fn systemd_runs_it_as_the_unit_would() {
        let words = unit_words(PEAPOD_UNIT);
        for expected in
            ["--unit=peapod", "--property=Type=notify", "--property=KillMode=process", "--property=Restart=always"]
        {
            assert!(words.iter().any(|word| word == expected), "{expected} in {words:?}");
        }
        assert!(!words.iter().any(|word| word.contains("Exec") || word.contains("WantedBy") || word.contains('#')));
        assert_eq!(
            unit_words("[Unit]\nA=1\n[Service]\n# B=2\nC=3\nExecStart=x\n\n[Install]\nD=4\n")[4..],
            ["--property=C=3"]
        );
    }
}
