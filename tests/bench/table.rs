//! The tables that people read.

use peapod_tests::Samples;

use crate::options::Options;
use crate::report;
use crate::results::{Results, number};
use crate::stages::Stages;

/// Calls in the order of a pod's life, with what the kernel itself takes for it where that is known: a pod and a
/// container made by raw system calls on a machine like ours (2 cores, nested guest), network included.
const CALLS: &[(&str, &str)] = &[
    ("RunPodSandbox", "1.8"),
    ("RunPodSandbox, shared PIDs", "1.8"),
    ("CreateContainer", ""),
    ("StartContainer", ""),
    ("Create+StartContainer", "1.6"),
    ("pod with a container, up", "3.3"),
    ("ExecSync", "0.5"),
    ("exec by a stream", "0.5"),
    ("StopContainer", "0.3"),
    ("RemoveContainer", "0.3"),
    ("StopPodSandbox", "0.03"),
    ("RemovePodSandbox", ""),
    ("all pods up, 1 worker", ""),
    ("all pods up, 4 workers", ""),
    ("ListPodSandbox", ""),
    ("ListContainers", ""),
    ("ListPodSandboxMetrics", ""),
    ("ListPodSandboxMetrics, on processors", ""),
    ("ListPodSandbox, on processors", ""),
    ("ListContainers, on processors", ""),
    ("ContainerStatus of all, on processors", ""),
    ("ListPodSandboxStats, on processors", ""),
    ("Status, on processors", ""),
    ("images, on processors", ""),
    ("ListPodSandboxMetrics, in the kernel", ""),
    ("kill -9 to the first list", ""),
    ("OCI runtime alone: create", ""),
    ("OCI runtime alone: start", ""),
    ("OCI runtime alone: create+start", ""),
    ("OCI runtime alone: exec", ""),
    ("OCI runtime alone: kill and delete", ""),
    ("Create+StartContainer, beside it", ""),
    ("exec by a stream, beside it", ""),
    ("64 MiB by a pipe", ""),
    ("64 MiB by exec", ""),
    ("512 MiB by loopback", ""),
    ("512 MiB by port-forward", ""),
    ("all streams open", ""),
];

/// Pods per second, whole life: what raw system calls reach.
const RATES: &[(&str, &str)] =
    &[("up, 1 worker", ""), ("up, 4 workers", ""), ("up and down, 1 worker", "196"), ("up and down, 4 workers", "280")];

const SHARES: &[&str] = &["nobody asks", "a kubelet, metrics each 10 s"];

const KINDS: &[&str] = &["daemon", "streaming server", "shim", "pod init", "pause", "container"];

type Sides<'a> = [(String, &'a Results)];

pub(crate) fn print(sides: &[(String, &Results)], stages: Option<&Stages>, options: &Options) {
    times(sides, options);
    rates(sides);
    shares(sides);
    memory(sides);
    if let Some(stages) = stages {
        print_stages(stages);
    }
    if options.smoke {
        return;
    }
    println!("\nNumbers to reach");
    for goal in report::goals(sides) {
        println!("  {} {}", if goal.reached { "reached" } else { "MISSED " }, goal.text);
    }
}

fn row(name: &str, cells: &[String], ratio: Option<f64>, floor: &str) {
    let cells: String = cells.iter().map(|cell| format!("{cell:>20}")).collect();
    let ratio = ratio.map_or(String::new(), |ratio| format!("{ratio:.1}x"));
    println!("{name:<36}{cells}{ratio:>9}{floor:>8}");
}

fn head(title: &str, sides: &Sides<'_>, floor: &str) {
    println!();
    let names: Vec<_> = sides.iter().map(|(name, _)| name.clone()).collect();
    row(title, &names, None, floor);
}

/// How much better the first side is than the second.
fn ratio(values: &[Option<f64>], more_is_better: bool) -> Option<f64> {
    let [Some(first), Some(second), ..] = values else { return None };
    Some(if more_is_better { first / second } else { second / first })
}

fn times(sides: &Sides<'_>, options: &Options) {
    head(&format!("ms, p50 (p99), {}", options.runtime), sides, "floor");
    for (name, floor) in CALLS {
        let found: Vec<_> = sides.iter().map(|(_, results)| results.times.get(name)).collect();
        if found.iter().all(Option::is_none) {
            continue;
        }
        let cells: Vec<_> = found.iter().map(|samples| samples.map_or("-".to_owned(), spread)).collect();
        let medians: Vec<_> = found.iter().map(|samples| samples.map(Samples::p50)).collect();
        row(name, &cells, ratio(&medians, false), floor);
    }
    let pods: Vec<_> = sides.iter().map(|(_, results)| results.many_pods.to_string()).collect();
    println!("(lists and recovery with {} pods of one container each)", pods.join(" and "));
}

fn spread(samples: &Samples) -> String {
    format!("{} ({})", short(samples.p50()), short(samples.p99()))
}

/// Three digits that matter.
fn short(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn rates(sides: &Sides<'_>) {
    head("pods with a container, per second", sides, "floor");
    for (name, floor) in RATES {
        let found: Vec<_> = sides.iter().map(|(_, results)| results.rates.get(name).map(Samples::p50)).collect();
        let cells: Vec<_> = found.iter().map(|rate| rate.map_or("-".to_owned(), short)).collect();
        row(name, &cells, ratio(&found, true), floor);
    }
}

fn shares(sides: &Sides<'_>) {
    head("daemon, % of a processor", sides, "");
    for name in SHARES {
        let found: Vec<_> = sides.iter().map(|(_, results)| results.shares.get(name).copied()).collect();
        let cells: Vec<_> = found.iter().map(|share| share.map_or("-".to_owned(), short)).collect();
        row(name, &cells, None, "");
    }
}

fn memory(sides: &Sides<'_>) {
    let pods = sides.first().map_or(0, |(_, results)| results.idle_pods);
    head(&format!("KiB with {pods} idle pods, PSS (RSS)"), sides, "");
    for kind in KINDS {
        let of = |results: &Results| results.memory.get(kind).copied();
        if sides.iter().all(|(_, results)| of(results).is_none()) {
            continue;
        }
        let is_one = ["daemon", "streaming server"].contains(kind);
        let divisor = |results: &Results| if is_one { 1 } else { results.idle_pods.max(1) };
        let share = |results: &Results, kib: u64| kib / u64::try_from(divisor(results)).unwrap_or(1);
        let cell = |results: &Results| {
            of(results).map_or("-".to_owned(), |memory| {
                format!("{} ({})", share(results, memory.pss), share(results, memory.rss))
            })
        };
        let cells: Vec<_> = sides.iter().map(|(_, results)| cell(results)).collect();
        let name = if is_one { (*kind).to_owned() } else { format!("{kind}, a pod") };
        row(&name, &cells, None, "");
    }
    let all: Vec<_> = sides.iter().map(|(_, results)| report::overhead_kib(results)).collect();
    let cells: Vec<_> = all.iter().map(|kib| format!("{kib:.0}")).collect();
    let values: Vec<_> = all.iter().map(|kib| (*kib > 0.0).then_some(*kib)).collect();
    row("shim, pod init and pause, a pod (PSS)", &cells, ratio(&values, false), "");
    let grown: Vec<_> = sides.iter().map(|(_, results)| results.stream_kib).collect();
    let cells: Vec<_> = grown.iter().map(|kib| kib.map_or("-".to_owned(), short)).collect();
    let streams = sides.first().map_or(0, |(_, results)| results.streams);
    row(&format!("all of them, a stream of {streams} (PSS)"), &cells, ratio(&grown, false), "");
}

fn print_stages(stages: &Stages) {
    let line = |name: &str, samples: &Samples, per_pod: f64| {
        println!("  {name:<34}{:>18}{per_pod:>8.1}", spread(samples));
    };
    let pods = stages.calls.times.get("RunPodSandbox").map_or(1, Samples::len);
    println!("\npeapod's stages, ms, p50 (p99)                        times a pod");
    for (title, rows) in [("the daemon says", &stages.of_daemon), ("the shims say", &stages.of_shims)] {
        println!("{title}");
        for (name, samples) in rows {
            line(name, samples, number(samples.len()) / number(pods));
        }
    }
    println!("the client saw, of the same pods");
    for (name, _) in CALLS {
        if let Some(samples) = stages.calls.times.get(name) {
            line(name, samples, number(samples.len()) / number(pods));
        }
    }
}
