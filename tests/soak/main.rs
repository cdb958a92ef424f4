//! Load and endurance: `make soak`, and a part of `make test`.
//!
//! Many pods that stay, many clients that make and end pods and containers beside them (half of them give up too early
//! and ask again), one that lists all the time, then many commands of which half run too long. It counts what each call
//! was answered and how long it took, and what daemon and shims hold at the beginning, in the middle and at the end. It
//! runs in a node (`tests/node.sh`), beside a registry.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

mod call_log;
mod execs;
mod holdings;
mod lists;
mod loops;
mod options;
mod report;
mod verdict;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use futures_util::StreamExt;
use peapod_tests::{Daemon, Pod, SHELL, peapod_with};

use crate::call_log::CallLog;
use crate::holdings::Holdings;
use crate::lists::Lists;
use crate::options::Options;
use crate::report::Report;

/// How many pods are made at once while none has to be waited for.
const TOGETHER: usize = 8;
/// What a container that stays does.
const STAYS: &str = "trap 'exit 0' TERM; sleep 1000000 & wait";

fn main() -> ExitCode {
    let options = Options::parse();
    let mut report = None;
    // It also holds that nothing is left in the end.
    peapod_with(&options.daemon(), async |daemon| report = Some(run(daemon, &options).await));
    let Some(report) = report else { return ExitCode::FAILURE };
    report::print(&report, &options);
    if verdict::print(&report, &options) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(daemon: &Daemon, options: &Options) -> Report {
    let mut report = Report::default();
    if let Err(status) = daemon.pull(SHELL).await {
        report.log.error("PullImage", &status);
        return report;
    }
    eprintln!("{} pods of {} containers", options.pods, options.containers);
    let stay = stay(daemon, options).await;
    report.holdings.push(("idle", Holdings::of(daemon, &stay)));

    eprintln!("{} loops for {} s", options.loops, options.seconds);
    // What the first round of everything leaves in caches is no growth.
    loops::run(daemon, &stay, options, Duration::from_secs(options.warm_up), &CallLog::default()).await;
    report.holdings.push(("loops, begin", Holdings::of(daemon, &stay)));
    let lists = Lists::start(daemon, &stay, options);
    for name in ["loops, middle", "loops, end"] {
        let half = Duration::from_secs(options.seconds) / 2;
        loops::run(daemon, &stay, options, half, &report.log).await;
        report.holdings.push((name, Holdings::of(daemon, &stay)));
    }
    report.lists = lists.end();

    eprintln!("{} commands", options.execs);
    let crowded: Vec<_> = stay.iter().take(options.exec_pods).cloned().collect();
    let mut execs = execs::Execs::start(&crowded, options).await;
    execs.run(options.exec_warm_up(), &CallLog::default()).await;
    execs::settled().await;
    report.holdings.push(("commands, begin", Holdings::of(daemon, &crowded)));
    for name in ["commands, middle", "commands, end"] {
        execs.run(options.execs / 2, &report.log).await;
        execs::settled().await;
        report.holdings.push((name, Holdings::of(daemon, &crowded)));
    }
    report.left = execs.left(daemon).await;

    // Removed by many at once, as a node that is emptied.
    futures_util::stream::iter(&stay)
        .for_each_concurrent(TOGETHER, async |pod| {
            let _ = report.log.ask("RemovePodSandbox", None, || pod.remove()).await;
        })
        .await;
    report
}

async fn stay<'a>(daemon: &'a Daemon, options: &Options) -> Vec<Pod<'a>> {
    futures_util::stream::iter(0..options.pods)
        .map(async |number| {
            let pod = daemon.pod(&format!("stays-{number}")).run().await;
            for container in 0..options.containers {
                pod.container(&format!("stays-{container}")).sh(STAYS).start().await;
            }
            pod
        })
        .buffered(TOGETHER)
        .collect()
        .await
}
