//! Another configuration for a daemon that runs: read on SIGHUP and when the files change, checked as a whole, and then
//! as much of it taken over as can be without a restart.

mod plan;

use std::convert::Infallible;
use std::time::Duration;

use tokio::signal::unix::Signal;

use self::plan::{ReloadPlan, plan};
use crate::args::ServeArgs;
use crate::config::{self, Config, FileStamps, InvalidConfig};
use crate::cri::Services;
use crate::logging::Logging;
use crate::service_manager;

/// How often the files are looked at. A change counts when they look the same twice: then nobody is writing any more.
const LOOK: Duration = Duration::from_secs(2);

/// What is needed to read the configuration again.
#[derive(Debug)]
pub(crate) struct Reload {
    /// The command line, which wins over files as at the start.
    pub(crate) args: ServeArgs,
    /// The files before they were read.
    pub(crate) stamps: FileStamps,
    /// What the daemon works with now.
    pub(crate) running: Config,
    pub(crate) logging: Logging,
}

impl Reload {
    /// Reads again whenever somebody asks for it or has written.
    pub(crate) async fn run(mut self, services: &Services, mut asked: Signal) -> Infallible {
        let mut before = None;
        loop {
            tokio::select! {
                Some(()) = asked.recv() => self.reload(services, "SIGHUP").await,
                () = tokio::time::sleep(LOOK) => {
                    let now = self.stamps().await;
                    if now.is_some() && now == before && now.as_ref() != Some(&self.stamps) {
                        self.reload(services, "the files have changed").await;
                    }
                    before = now;
                }
            }
        }
    }

    /// Nothing while the daemon ends.
    async fn stamps(&self) -> Option<FileStamps> {
        let args = self.args.clone();
        tokio::task::spawn_blocking(move || config::stamps(&args)).await.ok()
    }

    async fn reload(&mut self, services: &Services, why: &'static str) {
        service_manager::reloading();
        self.read_again(services, why).await;
        service_manager::ready();
    }

    async fn read_again(&mut self, services: &Services, why: &'static str) {
        let args = self.args.clone();
        let read = tokio::task::spawn_blocking(move || (config::stamps(&args), config::load(args))).await;
        let Ok((stamps, loaded)) = read else { return };
        self.stamps = stamps;
        match loaded {
            Ok(wanted) => self.apply(services, plan(&self.running, wanted), why),
            Err(invalid) => log_problems(&invalid, why),
        }
    }

    fn apply(&mut self, services: &Services, plan: ReloadPlan, why: &'static str) {
        // Whoever turns the log down wants to see that, and whoever turns it up as well.
        let before = tracing::enabled!(tracing::Level::INFO);
        if before {
            log_plan(&plan, why);
        }
        self.logging.change(&plan.next.log);
        services.pods.set_timeouts(plan.next.timeouts.pods);
        services.pods.set_handlers(&plan.next.pods.runtimes);
        services.pods.cdi().set_dirs(plan.next.pods.cdi_dirs.clone());
        services.pods.set_ulimits(plan.next.pods.containers.ulimits.clone());
        services.images.set_pull_config(&plan.next.images);
        if !before {
            log_plan(&plan, why);
        }
        self.running = plan.next;
    }
}

fn log_plan(plan: &ReloadPlan, why: &'static str) {
    for change in &plan.applied {
        tracing::info!(key = change.key, from = change.from, to = change.to, "configuration changed: {why}");
    }
    if !plan.restart.is_empty() {
        tracing::warn!(keys = plan.restart.join(", "), "these keys of the configuration change with the next start");
    }
    if plan.applied.is_empty() && plan.restart.is_empty() {
        tracing::info!("configuration read again, nothing in it is new: {why}");
    }
}

fn log_problems(invalid: &InvalidConfig, why: &'static str) {
    for problem in invalid.problems() {
        tracing::error!(%problem, "the configuration is wrong and changes nothing: {why}");
    }
}
