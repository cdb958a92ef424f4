//! The features of one OCI runtime, asked for when they are needed and not known.
//!
//! A runtime that could not tell is asked again, so that a node that was slow for a moment does not have to be started
//! anew; and so is one whose file has been replaced. One task looks and asks; whoever needs an answer counts up what is
//! wanted, and takes an answer that was begun after that, or what is known.

use std::fs;
use std::future::Future;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::features::{self, Features, Told};

/// The pause after the second failure, and the longest. After the first the next call asks at once.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(64);
/// Longer than a runtime has for an answer twice. A disk that does not tell of the program's file keeps nobody longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a runtime can do, as its task has heard.
#[derive(Debug)]
pub(crate) struct KnownFeatures {
    /// How many answers were wanted so far.
    wanted: watch::Sender<u64>,
    answers: watch::Receiver<ToldFeatures>,
}

/// What the task has told.
#[derive(Clone, Copy, Debug, Default)]
struct ToldFeatures {
    /// How many were wanted when it began to look; 0: nothing is told yet.
    wanted: u64,
    features: Features,
}

#[derive(Debug)]
struct LastAnswer {
    told: Told,
    of: Option<Identity>,
    at: Instant,
    /// Answers in a row that were not final.
    failures: u32,
}

/// Device, inode, size, and times of the last change of content and of anything.
type Identity = (u64, u64, u64, (i64, i64), (i64, i64));

impl KnownFeatures {
    /// Of a program, with the task that asks it: at once, and then when somebody wants to know. It ends with this.
    pub(crate) fn of(program: PathBuf) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let wanted = watch::Sender::new(1);
        let (tell, answers) = watch::channel(ToldFeatures::default());
        let task = serve(program, wanted.subscribe(), tell);
        (Self { wanted, answers }, task)
    }

    /// As of now. Takes as long as the runtime does if it has to be asked, 2 s at most; nothing is known of one whose
    /// file can't be looked at.
    pub(crate) async fn now(&self) -> Features {
        let mut wanted = 0;
        self.wanted.send_modify(|count| {
            *count += 1;
            wanted = *count;
        });
        let mut answers = self.answers.clone();
        let answer = answers.wait_for(|answer| answer.wanted >= wanted);
        // An error means that the task has panicked.
        let answer = tokio::time::timeout(PATIENCE, answer).await.ok().and_then(Result::ok);
        answer.map(|answer| answer.features).unwrap_or_default()
    }

    /// As it was told last, from memory; is that not known any more, or out of date, the next one hears of it. Right
    /// after the daemon's start this waits for the first answer.
    pub(crate) async fn last(&self) -> Features {
        let mut answers = self.answers.clone();
        let answer = tokio::time::timeout(PATIENCE, answers.wait_for(|answer| answer.wanted > 0)).await;
        let features = answer.ok().and_then(Result::ok).map(|answer| answer.features).unwrap_or_default();
        self.wanted.send_modify(|count| *count += 1);
        features
    }
}

/// Looks whenever something is wanted, and asks where that is needed.
async fn serve(program: PathBuf, mut wanted: watch::Receiver<u64>, tell: watch::Sender<ToldFeatures>) {
    let mut last: Option<LastAnswer> = None;
    loop {
        let upto = *wanted.borrow_and_update();
        let of = identity(&program).await;
        let same = last.take().filter(|last| last.of == of);
        let answer = match same {
            Some(known) if known.is_enough() => known,
            same => {
                let told = features::ask(&program).await;
                let before = same.map_or(0, |last| last.failures);
                let failures = if told.is_final { 0 } else { before.saturating_add(1) };
                LastAnswer { told, of, at: Instant::now(), failures }
            }
        };
        let features = answer.told.features;
        last = Some(answer);
        // Who wanted it may have left.
        let _ = tell.send(ToldFeatures { wanted: upto, features });
        if wanted.changed().await.is_err() {
            return;
        }
    }
}

impl LastAnswer {
    /// Whether it is not yet time to ask again.
    fn is_enough(&self) -> bool {
        self.told.is_final || self.at.elapsed() < pause(self.failures)
    }
}

fn pause(failures: u32) -> Duration {
    let doublings = failures.checked_sub(2);
    doublings.map_or(Duration::ZERO, |doublings| FIRST_PAUSE.saturating_mul(1 << doublings.min(6)).min(LONGEST_PAUSE))
}

async fn identity(program: &Path) -> Option<Identity> {
    let program = program.to_path_buf();
    let of = tokio::task::spawn_blocking(move || fs::metadata(program)).await.ok()?.ok()?;
    Some((of.dev(), of.ino(), of.size(), (of.mtime(), of.mtime_nsec()), (of.ctime(), of.ctime_nsec())))
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;
    use crate::features::Presence;
    use crate::samples::program;

    /// With the task that asks.
    fn known(program: PathBuf) -> (KnownFeatures, JoinSet<()>) {
        let (known, task) = KnownFeatures::of(program);
        (known, JoinSet::from_iter([task]))
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_can_not_be_looked_at_keeps_nobody_for_ever() {
        // Its task never comes to an answer.
        let (known, _task) = KnownFeatures::of("/dead/runtime".into());
        let none = Ok(Features::default());
        assert_eq!(tokio::time::timeout(PATIENCE * 2, known.last()).await, none);
        assert_eq!(tokio::time::timeout(PATIENCE * 2, known.now()).await, none);
    }

    #[tokio::test]
    async fn a_runtime_that_could_not_tell_is_asked_again() {
        let dir = tempfile::tempdir().unwrap();
        let script = "#!/bin/sh\n[ -e ${0%/*}/ready ] || kill -KILL $$\n[ $1 = --version ] && echo runc version 1.5.2";
        let (known, _task) = known(program(dir.path(), script));
        assert_eq!(known.now().await.no_limits, None);
        fs::write(dir.path().join("ready"), "").unwrap();
        assert_eq!(known.now().await.no_limits, Some(true));
        // And then it is known.
        fs::remove_file(dir.path().join("ready")).unwrap();
        assert_eq!(known.now().await.no_limits, Some(true));
    }

    #[tokio::test]
    async fn one_that_keeps_failing_is_not_asked_with_each_call() {
        let dir = tempfile::tempdir().unwrap();
        let (known, _task) = known(program(dir.path(), "#!/bin/sh\necho >>${0%/*}/asked\nkill -KILL $$"));
        for _ in 0..9 {
            assert_eq!(known.now().await, Features::default());
        }
        let asked = fs::read_to_string(dir.path().join("asked")).unwrap().lines().count();
        // Two words each time. Less than two pauses have gone by, or the machine is very slow.
        assert!((4..=8).contains(&asked), "{asked}");
        assert_eq!([0, 1, 2, 3, 8, 9, u32::MAX].map(|failures| pause(failures).as_secs()), [0, 0, 1, 2, 64, 64, 64]);
    }

    #[tokio::test]
    async fn a_replaced_runtime_is_asked_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = program(dir.path(), "#!/bin/sh\n[ $1 = --version ] && echo runc version 1.5.2");
        let (known, _task) = known(path.clone());
        assert_eq!(known.now().await.no_limits, Some(true));
        program(dir.path(), "#!/bin/sh\n[ $1 = --version ] && echo crun version 1.8.1");
        assert_eq!(
            known.now().await,
            Features {
                recursive_read_only: true,
                no_limits: Some(false),
                presence: Presence::Answers,
                ..Features::default()
            }
        );
        fs::remove_file(&path).unwrap();
        assert_eq!(known.now().await, Features::default());
        program(dir.path(), "#!/bin/sh\n[ $1 = --version ] && echo runc version 1.5.2");
        assert_eq!(known.now().await.no_limits, Some(true));
    }

    #[tokio::test]
    async fn what_is_known_is_told_from_memory_and_looked_at_anew() {
        let dir = tempfile::tempdir().unwrap();
        let script = "#!/bin/sh\n[ -e ${0%/*}/go ] || sleep 600\n[ $1 = --version ] && echo crun version 1.8.1";
        fs::write(dir.path().join("go"), "").unwrap();
        let (known, _task) = known(program(dir.path(), script));
        let crun = Features {
            recursive_read_only: true,
            no_limits: Some(false),
            presence: Presence::Answers,
            ..Features::default()
        };
        assert_eq!(known.last().await, crun);
        // Nobody waits for the one that takes its place, which takes its time.
        fs::remove_file(dir.path().join("go")).unwrap();
        program(dir.path(), script);
        for _ in 0..3 {
            assert_eq!(tokio::time::timeout(Duration::from_millis(500), known.last()).await, Ok(crun));
        }
        let mut answers = known.answers.clone();
        answers.wait_for(|answer| answer.features.no_limits.is_none()).await.unwrap();
    }
}
