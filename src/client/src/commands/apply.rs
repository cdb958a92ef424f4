//! `peapod apply`: what runs becomes what the files say.

mod go_on;

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use peapod_text::one_line;

use crate::cli::ApplyArgs;
use crate::connect::CriClient;
use crate::detach;
use crate::run_files::RunFiles;
use crate::runs::{self, AppliedFiles, KnownRun};

/// Between two looks at what became of it.
const POLL: Duration = Duration::from_millis(50);

/// After how long it is told who keeps somebody waiting, and why.
const SILENCE: Duration = Duration::from_secs(2);

/// Has the `peapod run` of these files read them again, or starts one; answers the exit status. One that nobody looks
/// after any more, as it was killed or is over, is gone on with as what it was.
pub(crate) async fn apply(connection: &CriClient, endpoint: Option<&str>, args: &ApplyArgs) -> anyhow::Result<u8> {
    let files = RunFiles::new(&args.files)?;
    files.read()?;
    anyhow::ensure!(files.input().is_none(), "standard input is no file that a run can read again: write one");
    // Records of which nothing else is left say nothing any more.
    super::sweep(connection, BTreeSet::from([args.dir.clone()])).await?;
    let identities = files.identities();
    let (lives, mut past): (Vec<KnownRun>, Vec<KnownRun>) =
        runs::find(&args.dir, &identities).into_iter().partition(|run| run.lives);
    // What became of those files in a later run counts.
    past.retain(|run| !run.files.iter().all(|file| lives.iter().any(|later| later.is_of(file))));
    if lives.is_empty() && past.is_empty() {
        return detach::start(&args.words(endpoint, Vec::new(), &args.files), None, &args.dir).await;
    }
    let missing = identities.iter().find(|file| !lives.iter().chain(&past).any(|run| run.is_of(file)));
    if let Some(file) = missing {
        anyhow::bail!(
            "{file} is of no run yet, and other files are: apply it by itself, or take the others down first"
        );
    }
    let mut status = 0;
    for run in past {
        let code = go_on::with(connection, endpoint, (args, &run)).await?;
        status = if status == 0 { code } else { status };
    }
    for run in &lives {
        let code = one(args, run).await?;
        status = if status == 0 { code } else { status };
    }
    super::sweep(connection, BTreeSet::from([args.dir.clone()])).await?;
    Ok(status)
}

/// Asks one that lives, and waits until its pods are ready.
async fn one(args: &ApplyArgs, run: &KnownRun) -> anyhow::Result<u8> {
    let before = run.applied(&args.dir).times;
    kill(Pid::from_raw(run.pid), Signal::SIGUSR1)
        .with_context(|| format!("cannot ask process {}, which looks after these pods", run.pid))?;
    let begun = Instant::now();
    let mut told: Option<Vec<String>> = None;
    loop {
        if begun.elapsed() > SILENCE {
            if told.is_none()
                && let Some(said) = run.suspended()
            {
                super::note(&format!("peapod: {said}\n"))?;
            }
            let waits = run.waits(&args.dir);
            let known = told.unwrap_or_default();
            for line in waits.iter().filter(|line| !known.contains(line)) {
                super::note(&format!("peapod: waiting for {}\n", one_line(line)))?;
            }
            told = Some(waits);
        }
        let applied = run.applied(&args.dir);
        if applied.times > before {
            tell(&applied)?;
            return Ok(applied.status);
        }
        let lives = runs::known(&args.dir, &run.id).is_some_and(|run| run.lives);
        anyhow::ensure!(
            lives,
            "process {} has ended, which looked after these pods; `peapod ps -a` shows what is left",
            run.pid
        );
        tokio::time::sleep(POLL).await;
    }
}

/// Prints what was done; what went wrong where errors go, as all that is told beside it.
fn tell(applied: &AppliedFiles) -> io::Result<()> {
    let lines = |before: &str| applied.lines.iter().map(|line| format!("{before}{line}\n")).collect::<String>();
    if applied.status == 0 { super::print(lines("").as_bytes()) } else { super::note(&lines("peapod: ")) }
}
