//! The command line, and what follows from it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;

use crate::measure::Plan;
use crate::side::Kind;

/// Measures CRI runtimes: time of each call, throughput, memory, recovery.
#[derive(Debug, Parser)]
#[command(name = "peapod-bench")]
pub(crate) struct Options {
    /// What to measure: peapod and containerd are started, a path of a socket is used as it is.
    #[arg(long, value_delimiter = ',', default_value = "peapod,containerd")]
    pub(crate) sides: Vec<String>,
    /// The OCI runtime on all sides.
    #[arg(long, value_parser = ["crun", "runc"], default_value = "crun")]
    pub(crate) runtime: String,
    /// Fewer repetitions: below two minutes.
    #[arg(long)]
    pub(crate) quick: bool,
    /// A handful of pods, to see that the program works.
    #[arg(long)]
    pub(crate) smoke: bool,
    /// Only what it costs peapod to be looked at: metrics, and a kubelet at rest.
    #[arg(long)]
    pub(crate) watched: bool,
    /// Containers get the runtime's default seccomp profile. A kubelet's default is none.
    #[arg(long)]
    pub(crate) seccomp: bool,
    /// Image of the containers, with `sleep` and `true`. Default: the local registry's shell.
    #[arg(long)]
    pub(crate) image: Option<String>,
    /// Where the report goes.
    #[arg(long, default_value = "report.json")]
    pub(crate) report: PathBuf,
}

impl Options {
    pub(crate) fn kinds(&self) -> Result<Vec<Kind>> {
        let kind = |name: &String| match name.as_str() {
            "peapod" => Ok(Kind::Peapod),
            "containerd" => Ok(Kind::Containerd),
            other => match other.strip_prefix("unix://").unwrap_or(other) {
                path if path.starts_with('/') => Ok(Kind::Endpoint(PathBuf::from(path))),
                _ => bail!("--sides {other}: peapod, containerd or the path of a socket"),
            },
        };
        self.sides.iter().map(kind).collect()
    }

    pub(crate) fn plan(&self) -> Plan {
        let plan = |rounds, cycles, batch, idle, many, lists, kills, streams, settle, rest| Plan {
            rounds,
            cycles,
            batch,
            idle,
            many,
            lists,
            kills,
            streams,
            settle: Duration::from_secs(settle),
            rest: Duration::from_secs(rest),
        };
        match (self.smoke, self.quick) {
            (true, _) => plan(1, 2, 4, 3, 6, 10, 1, 8, 0, 3),
            (_, true) => plan(1, 12, 20, 20, 100, 50, 2, 200, 1, 20),
            _ => plan(4, 30, 20, 20, 100, 200, 5, 1000, 10, 60),
        }
    }

    /// The image of all containers.
    pub(crate) fn image(&self) -> Result<String> {
        match &self.image {
            Some(image) => Ok(image.clone()),
            None => Ok(format!("{}/peapod/shell:1", variable("PEAPOD_REGISTRY")?)),
        }
    }
}

/// What `scripts/bench.sh` tells of the place.
pub(crate) fn variable(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set: run `make bench`"))
}
