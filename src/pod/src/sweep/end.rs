//! Ending what nobody knows, a few things at a time: one that hangs holds up no others.

use std::sync::Arc;
use std::time::Instant;

use peapod_trace::Span;
use tokio::task::JoinSet;

use super::{Stray, Sweep, SweepContext};
use crate::bounds::{SWEEP_AT_ONCE, SWEEP_PERIOD};
use crate::dir;
use crate::id::PodId;
use crate::sandbox::{PodHoldings, SandboxOperations};

/// How often the pause after a failure is twice the one before.
const PAUSES: u32 = 5;

impl Sweep {
    /// Ends what runs of pods whose records can't be read; the rest of them is found by the next look.
    pub(super) async fn end_lost(&mut self) {
        for (id, cgroups) in std::mem::take(&mut self.lost) {
            let outcome = self.context.sandboxes.run_delete(&id, &cgroups).await;
            match outcome {
                Ok(()) => tracing::info!(pod = id.short(), "ended what ran of a pod whose record can't be read"),
                Err(error) => tracing::warn!(pod = id.short(), %error, "what ran of a pod without a record goes on"),
            }
        }
    }

    /// Ends all that was found.
    pub(super) async fn end(&mut self) {
        let mut strays = std::mem::take(&mut self.strays);
        // First what runs, then what that uses.
        strays.sort();
        let rest = strays.split_off(strays.partition_point(|stray| matches!(stray, Stray::Cgroup(_))));
        let pods = rest.partition_point(|stray| matches!(stray, Stray::Pod(_)));
        let outcome = end_groups(&self.context.sandboxes, &strays).await;
        strays.iter().for_each(|stray| self.ended(stray, outcome.clone()));
        self.end_each(&rest[..pods]).await;
        self.end_each(&rest[pods..]).await;
    }

    async fn end_each(&mut self, strays: &[Stray]) {
        let (mut waiting, mut running) = (strays.iter().cloned(), JoinSet::new());
        loop {
            while running.len() < SWEEP_AT_ONCE
                && let Some(stray) = waiting.next()
            {
                let context = Arc::clone(&self.context);
                running.spawn(async move {
                    let outcome = end(&context, &stray).await;
                    (stray, outcome)
                });
            }
            match running.join_next().await {
                None => return,
                Some(Ok((stray, outcome))) => self.ended(&stray, outcome),
                // A panic, which its hook has logged: the next look finds it again.
                Some(Err(_)) => {}
            }
        }
    }

    fn ended(&mut self, stray: &Stray, outcome: Result<(), String>) {
        let failures = self.seen.get(stray).map_or(0, |seen| seen.failures);
        let measures = &self.context.measures;
        let counters = if outcome.is_ok() { &measures.swept } else { &measures.sweep_failures };
        counters.increment(stray.kind());
        match outcome {
            Ok(()) => {
                tracing::warn!(?stray, "ended and removed what no record leads to");
                self.seen.remove(stray);
            }
            // Said once, not with every look.
            Err(error) if failures == 0 => {
                tracing::warn!(?stray, error, "no record leads to this, but it can't be removed; tried again");
            }
            Err(error) => tracing::debug!(?stray, error, failures, "it still can't be removed"),
        }
        if let Some(seen) = self.seen.get_mut(stray) {
            seen.due = Instant::now() + SWEEP_PERIOD * 2_u32.pow(failures.min(PAUSES));
            seen.failures = failures.saturating_add(1);
        }
    }
}

/// All at once: one call ends as many groups as it is given.
async fn end_groups(sandboxes: &SandboxOperations, strays: &[Stray]) -> Result<(), String> {
    let groups: Vec<String> = strays
        .iter()
        .filter_map(|stray| match stray {
            Stray::Cgroup(group) => Some(group.clone()),
            _ => None,
        })
        .collect();
    if groups.is_empty() {
        return Ok(());
    }
    // The clean-up of a pod that does not exist: it has nothing but these groups.
    let nobody = PodId::random().map_err(|error| error.to_string())?;
    sandboxes.run_delete(&nobody, &groups).await.map_err(|error| error.to_string())
}

async fn end(context: &SweepContext, stray: &Stray) -> Result<(), String> {
    let SweepContext { sandboxes, containers, .. } = context;
    match stray {
        Stray::Cgroup(_) => end_groups(sandboxes, std::slice::from_ref(stray)).await,
        Stray::Pod(id) => {
            // Its own cgroup, if it had one, is another stray.
            let held = PodHoldings { socket: &sandboxes.layout.socket(id), attached: true, group: None };
            let released = sandboxes.release(id, None, held, &Span::default()).await;
            let removed = sandboxes.remove_files(id).await;
            released.and(removed).map_err(|error| error.to_string())
        }
        Stray::Network(id) => sandboxes.network.detach(id).await.map_err(|error| error.to_string()),
        Stray::Lease(holder) => containers.images.release(holder).await.map_err(|error| error.to_string()),
        Stray::Files(path) => dir::remove(&sandboxes.trash, path.clone()).await.map_err(|error| error.to_string()),
    }
}
