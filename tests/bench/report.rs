//! The same as JSON, and what was to be reached.

use anyhow::{Context, Result};
use peapod_tests::Samples;
use serde_json::{Map, Value, json};

use crate::options::Options;
use crate::results::{Results, number};
use crate::stages::Stages;

/// A promise, and whether it held.
pub(crate) struct Goal {
    pub(crate) text: String,
    pub(crate) reached: bool,
}

/// PSS of what a pod costs beside the daemon and its own processes.
pub(crate) fn overhead_kib(results: &Results) -> f64 {
    let sum: u64 = ["shim", "pod init", "pause"].iter().filter_map(|kind| Some(results.memory.get(kind)?.pss)).sum();
    let sum = u32::try_from(sum).map_or(f64::INFINITY, f64::from);
    sum / number(results.idle_pods.max(1))
}

/// What peapod promises, as far as it was measured.
pub(crate) fn goals(sides: &[(String, &Results)]) -> Vec<Goal> {
    let side = |name: &str| sides.iter().find(|(found, _)| found == name).map(|(_, results)| *results);
    let Some(own) = side("peapod") else { return Vec::new() };
    let mut goals = Vec::new();
    let mut at_most = |what: &str, found: Option<f64>, limit: Option<f64>, unit: &str| {
        if let (Some(found), Some(limit)) = (found, limit) {
            goals.push(Goal { text: format!("{what}: {found:.2} of {limit:.2} {unit}"), reached: found <= limit });
        }
    };
    if let Some(peer) = side("containerd") {
        for (call, part) in [("RunPodSandbox", 10.0), ("StopPodSandbox", 10.0)] {
            let limit = peer.p50(call).map(|ms| ms / part);
            at_most(&format!("{call} at most a tenth of containerd's"), own.p50(call), limit, "ms");
        }
        for call in ["all pods up, 1 worker", "all pods up, 4 workers"] {
            let limit = peer.p50(call).map(|ms| ms / 3.0);
            at_most(&format!("{call}, at most a third of containerd's"), own.p50(call), limit, "ms");
        }
    }
    // Both of the same moments: taken in turns, each after a rest.
    let alone = own.p50("OCI runtime alone: create+start").map(|ms| ms + 3.0);
    let beside = own.p50("Create+StartContainer, beside it");
    at_most("Create+StartContainer at most the OCI runtime's own and 3 ms", beside, alone, "ms");
    let exec = own.p50("OCI runtime alone: exec").map(|ms| ms * 1.3);
    let streamed = own.p50("exec by a stream, beside it");
    at_most("exec by a stream at most 1.3 times the OCI runtime's own", streamed, exec, "ms");
    let pipe = own.p50("64 MiB by a pipe").map(|ms| ms * 2.0);
    at_most("64 MiB by exec at most twice a pipe's time", own.p50("64 MiB by exec"), pipe, "ms");
    at_most("512 MiB by port-forward, 1 GB a second", own.p50("512 MiB by port-forward"), Some(537.0), "ms");
    at_most("open streams, 50 MB for a thousand", own.stream_kib, Some(48.8), "KiB PSS a stream");
    let has_memory = own.memory.contains_key("shim");
    at_most("shim and pod init", has_memory.then(|| overhead_kib(own)), Some(512.0), "KiB PSS a pod");
    let daemon = own.memory.get("daemon").and_then(|memory| u32::try_from(memory.rss / 1024).ok());
    at_most("daemon", daemon.map(f64::from), Some(40.0), "MiB RSS");
    at_most("first list after kill -9", own.p50("kill -9 to the first list"), Some(500.0), "ms");
    let lists = own.times.get("ListPodSandbox").map(Samples::p99);
    at_most("ListPodSandbox, p99", lists, Some(5.0), "ms");
    let scrape = own.p50("ListPodSandboxMetrics, on processors");
    at_most("metrics of all pods, two containers each", scrape, Some(20.0), "ms of a processor");
    let watched = own.shares.get("a kubelet, metrics each 10 s").copied();
    at_most("daemon with a kubelet and metrics each 10 s", watched, Some(0.5), "% of a processor");
    if let Some(rate) = own.rates.get("up, 4 workers").map(Samples::p50) {
        let text = format!("pods with a container, 4 workers: {rate:.1} of at least 30 a second");
        goals.push(Goal { text, reached: rate >= 30.0 });
    }
    goals
}

/// Writes everything that the tables show, and all percentiles.
pub(crate) fn write(sides: &[(String, &Results)], stages: Option<&Stages>, options: &Options) -> Result<()> {
    let values: Map<_, _> = sides.iter().map(|(name, results)| (name.clone(), side(results))).collect();
    let goals: Vec<_> =
        goals(sides).into_iter().map(|goal| json!({"text": goal.text, "reached": goal.reached})).collect();
    let mut report = json!({"runtime": options.runtime, "quick": options.quick, "sides": values, "goals": goals});
    if let Some(stages) = stages {
        let list = |rows: &[(String, Samples)]| -> Map<_, _> {
            rows.iter().map(|(name, samples)| (name.clone(), spread(samples))).collect()
        };
        report["stages"] = json!({
            "daemon_ms": list(&stages.of_daemon),
            "shims_ms": list(&stages.of_shims),
            "calls_ms": by_name(&stages.calls.times),
        });
    }
    let text = serde_json::to_string_pretty(&report).context("write the report")?;
    std::fs::write(&options.report, text + "\n").with_context(|| format!("write {}", options.report.display()))
}

fn side(results: &Results) -> Value {
    let memory: Map<_, _> = results
        .memory
        .iter()
        .map(|(kind, memory)| {
            ((*kind).to_owned(), json!({"processes": memory.count, "rss_kib": memory.rss, "pss_kib": memory.pss}))
        })
        .collect();
    json!({
        "version": results.version,
        "times_ms": by_name(&results.times),
        "pods_per_second": by_name(&results.rates),
        "daemon_percent_of_a_processor": results.shares,
        "idle_pods": results.idle_pods,
        "memory": memory,
        "overhead_pss_kib_per_pod": overhead_kib(results),
        "many_pods": results.many_pods,
        "streams": results.streams,
        "stream_pss_kib": results.stream_kib,
    })
}

fn by_name(times: &std::collections::BTreeMap<&'static str, Samples>) -> Map<String, Value> {
    times.iter().map(|(name, samples)| ((*name).to_owned(), spread(samples))).collect()
}

fn spread(samples: &Samples) -> Value {
    let p = |percent| samples.percentile(percent);
    json!({"n": samples.len(), "min": p(0), "p50": p(50), "p90": p(90), "p99": p(99), "max": p(100)})
}
