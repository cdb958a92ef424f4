//! The images of what takes the place of something that runs: they are there before that ends, so that a slip of the
//! pen or a registry that is away ends nothing that serves.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;

use super::RunContext;
use crate::connect::CriClient;
use crate::console::Console;
use crate::manifest::{Pod, Workload};
use crate::run::messages::{self, SandboxParts};
use crate::run::resources::WholeLimits;
use crate::run::{images, new_uid};
use crate::runs::AppliedFiles;

type Pulls<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + 'a>>;

/// A change that waits for its images.
pub(super) struct ChangePulls<'a> {
    /// All that is wished.
    pub(super) wishes: Vec<Workload>,
    /// How often the files were read again, with this change.
    pub(super) times: u64,
    /// Somebody waits for what becomes of it.
    pub(super) is_asked_for: bool,
    /// What became of an earlier one so far, for which somebody waits as well.
    pub(super) before: Option<AppliedFiles>,
    pulls: Pulls<'a>,
}

impl<'a> ChangePulls<'a> {
    /// Of a change that replaces what runs by these.
    pub(super) fn begin(
        context: RunContext<'a>,
        replaced: &[Workload],
        wishes: Vec<Workload>,
        (times, is_asked_for, before): (u64, bool, Option<AppliedFiles>),
    ) -> Self {
        let pods: Vec<Pod> = replaced.iter().map(|wish| wish.pattern().clone()).collect();
        let pulls = Box::pin(async move {
            for pod in &pods {
                pull(context, pod).await.map_err(|error| format!("{}: {error}", pod.name))?;
            }
            Ok(())
        });
        Self { wishes, times, is_asked_for, before, pulls }
    }

    /// Waits until they are there, or can't be had. Who stops waiting goes on with the next call.
    pub(super) async fn done(&mut self) -> Result<(), String> {
        self.pulls.as_mut().await
    }
}

async fn pull(RunContext { connection, args, console, record, .. }: RunContext<'_>, pod: &Pod) -> Result<(), String> {
    pull_for(connection, console, pod, (&record.id, &args.cgroup_parent)).await
}

/// Has the images there of a pod that is to be one of a run, with its cgroups' parent.
pub(crate) async fn pull_for(
    connection: &CriClient,
    console: &Console,
    pod: &Pod,
    (run, cgroup_parent): (&str, &str),
) -> Result<(), String> {
    let uid = new_uid().map_err(|error| error.to_string())?;
    // Of no pod that will be, but as those that will be speak of their images.
    let parts = SandboxParts {
        uid: &uid,
        dir: Path::new(""),
        cgroup_parent,
        run,
        dns: None,
        users: None,
        whole_limits: WholeLimits::Untold,
    };
    let sandbox = messages::sandbox(pod, parts);
    let pulled = images::ensure_all(connection, &sandbox, pod, console).await;
    pulled.map(drop).map_err(|error| peapod_text::chain(&error))
}
