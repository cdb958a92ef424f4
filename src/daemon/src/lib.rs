//! `peapod serve`: configuration, wiring, and the CRI services on top of the crates that do the work.
//!
//! [`run`] is the way in. What a call does begins in `cri/runtime/<call>.rs` or `cri/image/<call>.rs`.

mod args;
mod attributes;
mod bounds;
mod config;
mod cri;
mod grpc;
mod logging;
mod memory;
mod nri;
mod prometheus;
mod reload;
mod runtime_dir;
mod serve;
mod service_manager;
mod spans;
mod stages;
mod stats;
mod streaming;

use std::io::Write as _;

use anyhow::Context as _;

pub use args::{LogFormat, ServeArgs};

/// At least so many threads answer: on a small node, two that work through a start or write a file must not hold up a
/// list.
const THREADS: usize = 4;

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// A configuration with mistakes, a state root that another daemon holds, or a store or network that can't be opened.
pub fn run(args: ServeArgs) -> anyhow::Result<()> {
    if args.print_default_config {
        return Ok(std::io::stdout().write_all(config::DEFAULT_TEXT.as_bytes())?);
    }
    let only_check = args.check_config;
    // Before they are read: what is written meanwhile is seen to be new.
    let stamps = config::stamps(&args);
    let config = config::load(args.clone())?;
    if only_check {
        return Ok(writeln!(std::io::stdout(), "the configuration is good")?);
    }
    attributes::reset().context("can't give up what the daemon was started with")?;
    let logging = logging::start(&config.log);
    peapod_sys::keep_no_large_memory();
    if !rustix::process::geteuid().is_root() {
        anyhow::bail!("peapod serve makes namespaces, mounts and cgroups, so it has to run as root");
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(cores.max(THREADS))
        .thread_name("peapod")
        .build()
        .context("threads can't be started")?;
    let reload = reload::Reload { args, stamps, running: config.clone(), logging };
    let ended = runtime.block_on(serve::serve(config, reload));
    // Files that are being written now look to the next start like those of a daemon that was killed.
    runtime.shutdown_background();
    ended
}
