//! `peapod apply` of a run that nobody looks after any more: its record says what it was. Another process goes on with
//! it, of all its files and with its options. What runs of it runs on until the images of what follows are there; what
//! has ended by itself is not begun again.

use std::path::PathBuf;

use crate::cli::ApplyArgs;
use crate::commands::{down, print};
use crate::connect::CriClient;
use crate::console::Console;
use crate::detach;
use crate::manifest::Workload;
use crate::manifest_files::NamedWorkload;
use crate::run::{PastRun, pull_for};
use crate::run_files::RunFiles;
use crate::runs::KnownRun;
use crate::targets;

/// Goes on with it, and answers the exit status.
pub(super) async fn with(
    connection: &CriClient,
    endpoint: Option<&str>,
    (args, run): (&ApplyArgs, &KnownRun),
) -> anyhow::Result<u8> {
    let ways_out = format!("`peapod down {}` ends what is left of that run", run.id);
    let of_input = run.subjects.workloads.iter().find(|known| known.file.is_none());
    if let Some(known) = of_input {
        anyhow::bail!("{} was read from standard input, which can't be read again; {ways_out}", known.named);
    }
    let runtime = &run.subjects.endpoint;
    anyhow::ensure!(
        run.is_at(&connection.endpoint),
        "the run of these files has its pods at another runtime: `peapod --endpoint unix://{runtime} apply`"
    );
    let paths: Vec<PathBuf> = run.files.iter().map(PathBuf::from).collect();
    let stays = |error: anyhow::Error| anyhow::anyhow!("what runs stays as it is: {error:#}; {ways_out}");
    let wishes = RunFiles::new(&paths)?.read().map_err(stays)?.workloads;
    let past = PastRun::look(connection, (&args.dir, &run.id), &wishes).await?;
    if past.pods.is_empty() && wishes.iter().all(|wish| past.subjects.has_ended(wish)) {
        let lines: Vec<String> = wishes.iter().map(|wish| format!("{wish} unchanged; it has ended\n")).collect();
        print(lines.concat().as_bytes())?;
        return Ok(0);
    }
    pull(connection, (&past, &wishes), run).await.map_err(|error| stays(anyhow::anyhow!(error)))?;
    for pod in past.pods.iter().filter(|pod| !wishes.iter().any(|wish| is_for(pod, wish))) {
        down::one(connection, pod, None).await?;
    }
    detach::go_on(&args.words(endpoint, run.options.words(), &paths), None, &args.dir, &run.id).await
}

fn is_for(pod: &peapod_api::v1::PodSandbox, wish: &Workload) -> bool {
    targets::workload_of(pod) == NamedWorkload::of(wish)
}

/// Has the images there of what takes the place of something that runs.
async fn pull(connection: &CriClient, (past, wishes): (&PastRun, &[Workload]), run: &KnownRun) -> Result<(), String> {
    let (console, writer) = Console::start(0).map_err(|error| error.to_string())?;
    let mut pulled = Ok(());
    for wish in wishes {
        if pulled.is_ok() && past.pods_of(&NamedWorkload::of(wish)).next().is_some() {
            let pod = wish.pattern();
            let ensured = pull_for(connection, &console, pod, (&run.id, &run.options.cgroup_parent)).await;
            pulled = ensured.map_err(|error| format!("{}: {error}", pod.name));
        }
    }
    drop(console);
    // Of lines that could not be written the console has told.
    let _ = tokio::task::spawn_blocking(move || writer.finish()).await;
    pulled
}
