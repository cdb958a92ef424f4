//! Measures a CRI runtime, and beside it another one on the same OCI runtime: `make bench`.
//!
//! It speaks CRI to any endpoint. peapod and containerd it starts itself, alternately, each with folders, sockets and a
//! network of its own; so it runs in a node (`tests/node.sh`), beside a registry. What it prints it also writes as
//! JSON.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

mod alone;
mod cri;
mod measure;
mod options;
mod processes;
mod report;
mod results;
mod side;
mod stages;
mod stream;
mod streams;
mod table;
mod watched;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use crate::measure::Plan;
use crate::options::Options;
use crate::results::Results;
use crate::side::{Kind, Side};

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start tokio")
        .and_then(|runtime| runtime.block_on(run(&options)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<()> {
    let plan = options.plan();
    let mut sides = Vec::new();
    for kind in options.kinds()? {
        sides.push((Side::new(kind, options)?, Results::default()));
    }
    let rounds = if options.watched { 0 } else { plan.rounds };
    for round in 1..=rounds {
        for (side, results) in &mut sides {
            eprintln!("round {round} of {rounds}: {}", side.name());
            one_round(side, &plan, results).await.with_context(|| format!("with {}", side.name()))?;
        }
    }
    for (side, results) in &mut sides {
        eprintln!("{} pods: {}", plan.many, side.name());
        many_pods(side, &plan, options.watched, results).await.with_context(|| format!("with {}", side.name()))?;
    }
    let mut stages = None;
    let own = sides.iter_mut().find(|(side, _)| side.kind() == Kind::Peapod && !options.watched);
    if let Some((side, results)) = own {
        eprintln!("stages: {}", side.name());
        stages = Some(stages::measure(side, &plan, results).await.context("stages of peapod")?);
    }
    let named: Vec<_> = sides.iter().map(|(side, results)| (side.name().to_owned(), results)).collect();
    table::print(&named, stages.as_ref(), options);
    report::write(&named, stages.as_ref(), options)
}

async fn one_round(side: &mut Side, plan: &Plan, results: &mut Results) -> Result<()> {
    side.start(false).await?;
    let cri = side.cri().await?;
    results.version = cri.version().await?;
    measure::latency(&cri, plan.cycles, results).await?;
    measure::throughput(&cri, plan, results).await?;
    streams::speed(&cri, plan, results).await?;
    side.end().await
}

async fn many_pods(side: &mut Side, plan: &Plan, watched: bool, results: &mut Results) -> Result<()> {
    side.start(false).await?;
    let cri = side.cri().await?;
    streams::many(&cri, plan, side, results).await?;
    let mut pods = measure::idle(&cri, plan, side, results).await?;
    measure::lists(&cri, plan, &mut pods, results).await?;
    if side.kind() == Kind::Peapod {
        watched::measure(&cri, side, plan, &pods, results).await?;
    }
    if side.can_be_killed() && !watched {
        measure::recovery(side, plan, pods.len(), results).await?;
    }
    let cri = side.cri().await?;
    measure::remove_all(&cri, pods, measure::WORKERS).await?;
    side.end().await
}
