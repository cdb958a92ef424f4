//! The command line.

use clap::Parser;
use peapod_tests::Options as DaemonOptions;

/// Loads a daemon with pods, containers, lists and commands, and holds that nothing fails, grows or stays.
#[derive(Debug, Parser)]
#[command(name = "peapod-soak")]
pub(crate) struct Options {
    /// Pods that stay.
    #[arg(long, default_value_t = 100)]
    pub(crate) pods: usize,
    /// Containers in each of them.
    #[arg(long, default_value_t = 2)]
    pub(crate) containers: usize,
    /// Clients that make, start, stop and remove without pause.
    #[arg(long, default_value_t = 50)]
    pub(crate) loops: usize,
    /// How long they do.
    #[arg(long, default_value_t = 120)]
    pub(crate) seconds: u64,
    /// How long they do before anything is counted.
    #[arg(long, default_value_t = 20)]
    pub(crate) warm_up: u64,
    /// Commands in containers, half of which run too long.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) execs: usize,
    /// Pods that all commands run in: each shim sees so many more.
    #[arg(long, default_value_t = 4)]
    pub(crate) exec_pods: usize,
    /// Commands at a time.
    #[arg(long, default_value_t = 48)]
    pub(crate) exec_workers: usize,
    /// The OCI runtime.
    #[arg(long, value_parser = ["crun", "runc"], default_value = "crun")]
    pub(crate) runtime: String,
    /// Judge also what depends on the machine's speed: 99 of 100 lists within 5 ms.
    #[arg(long)]
    pub(crate) strict: bool,
}

impl Options {
    pub(crate) fn daemon(&self) -> DaemonOptions {
        // The log's volume is no part of the load.
        DaemonOptions::new().handler(if self.runtime == "runc" { "runc" } else { "crun" }).set("log.level=\"info\"")
    }

    pub(crate) fn exec_warm_up(&self) -> usize {
        (self.execs / 10).clamp(self.exec_workers, 1000)
    }
}
