//! Where peapod's time goes: what the daemon logs of its stages and the shims of theirs.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use peapod_tests::Samples;
use serde_json::Value;

use crate::alone;
use crate::cri::Cri;
use crate::measure::Plan;
use crate::results::Results;
use crate::side::Side;
use crate::streams;

/// Stages in the order in which they were first seen, each with its times in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Stages {
    pub(crate) of_daemon: Vec<(String, Samples)>,
    pub(crate) of_shims: Vec<(String, Samples)>,
    /// What the client saw of the same pods.
    pub(crate) calls: Results,
}

/// Before the OCI runtime runs alone: its first move of a process between cgroups waits for the kernel's readers,
/// unless another such move was just made, and in a pod's life none was.
const REST: Duration = Duration::from_millis(60);

/// Runs some pods with a daemon that says how long its stages take; and beside each the OCI runtime by itself.
pub(crate) async fn measure(side: &mut Side, plan: &Plan, results: &mut Results) -> Result<Stages> {
    let _ = fs::remove_file(side.log());
    side.start(true).await?;
    let cri = side.cri().await?;
    let mut stages = Stages::default();
    for number in 0..=plan.cycles {
        let mut unseen = Stages::default();
        // The first finds everything cold.
        let seen = if number == 0 { &mut unseen } else { &mut stages };
        let mut cold = Results::default();
        one_pod(&cri, side, number, seen, if number == 0 { &mut cold } else { &mut *results }).await?;
        if number == 0 {
            // Not what the pods after it are counted with.
            fs::write(side.log(), "").context("empty the daemon's log")?;
        }
    }
    side.end().await?;
    let text = fs::read_to_string(side.log()).context("read the daemon's log")?;
    for line in text.lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        if let (Some(stage), Some(us)) = (line["stage"].as_str(), line["us"].as_f64()) {
            push(&mut stages.of_daemon, stage, us / 1e3);
        }
    }
    Ok(stages)
}

async fn one_pod(cri: &Cri, side: &Side, number: usize, stages: &mut Stages, results: &mut Results) -> Result<()> {
    let calls = &mut stages.calls;
    let mut began = Instant::now();
    let mut lap = |calls: &mut Results, name| {
        calls.time(name, began.elapsed());
        began = Instant::now();
    };
    let pod = cri.run_pod(&format!("stage-{number}"), false).await?;
    lap(calls, "RunPodSandbox");
    let create = Instant::now();
    let container = cri.create(&pod, false).await?;
    lap(calls, "CreateContainer");
    cri.start(&container).await?;
    lap(calls, "StartContainer");
    results.time("Create+StartContainer, beside it", create.elapsed());
    for _ in 0..alone::EXECS {
        results.time("exec by a stream, beside it", streams::command(cri, &container).await?);
    }
    let folder = side.dir().join("run/pods").join(&pod.id);
    tokio::time::sleep(REST).await;
    alone::measure(&folder.join("containers").join(&container), side.runtime(), side.dir(), results)?;
    // What was measured meanwhile is no call.
    let mut began = Instant::now();
    let mut lap = |calls: &mut Results, name| {
        calls.time(name, began.elapsed());
        began = Instant::now();
    };
    cri.stop(&container).await?;
    lap(calls, "StopContainer");
    cri.remove(&container).await?;
    lap(calls, "RemoveContainer");
    let log = folder.join("shim.log");
    cri.stop_pod(&pod).await?;
    lap(calls, "StopPodSandbox");
    read_shim(&log, &mut stages.of_shims)?;
    let began = Instant::now();
    cri.remove_pod(&pod).await?;
    stages.calls.time("RemovePodSandbox", began.elapsed());
    Ok(())
}

fn read_shim(log: &Path, stages: &mut Vec<(String, Samples)>) -> Result<()> {
    let text = fs::read_to_string(log).with_context(|| format!("read {}", log.display()))?;
    for line in text.lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        // A shim writes all its fields as text.
        let us = line["us"].as_str().and_then(|us| us.parse::<f64>().ok());
        let (Some(message), Some(us)) = (line["message"].as_str(), us) else { continue };
        let name = line["action"].as_str().map_or(message.to_owned(), |action| format!("{message}: {action}"));
        push(stages, &name, us / 1e3);
    }
    Ok(())
}

fn push(stages: &mut Vec<(String, Samples)>, name: &str, ms: f64) {
    if let Some((_, samples)) = stages.iter_mut().find(|(known, _)| known == name) {
        samples.push(ms);
    } else {
        let mut samples = Samples::default();
        samples.push(ms);
        stages.push((name.to_owned(), samples));
    }
}
