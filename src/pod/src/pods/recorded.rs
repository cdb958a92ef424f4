//! What an earlier daemon left, taken up at the start.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::actor::{self, ActorContext};
use crate::error::{Error, OpenError};
use crate::id::PodId;
use crate::load;
use crate::recover;
use crate::sweep::{KnownIds, Sweep, SweepContext};

/// All recorded pods, as they are shown.
pub(super) struct Recorded {
    pods: Vec<actor::ActorInput>,
    /// Pods whose records can't be read, with cgroups of their containers.
    lost: Vec<(PodId, Vec<String>)>,
}

impl Recorded {
    /// Reads all records, and shows every pod.
    pub(super) async fn load(actors: &ActorContext) -> Result<Self, OpenError> {
        let records = load::load(&actors.db, &actors.defaults).await?;
        actors.measures.records_set_aside.add(records.set_aside);
        let mut pods: Vec<_> = records.pods.into_iter().map(|loaded| recover::take_up(actors, loaded)).collect();
        // A half-made one has its name only as long as no other has it.
        pods.sort_by_key(|pod| pod.machine.is_half_made());
        for entry in pods.iter().filter_map(|pod| pod.machine.entry()) {
            actors.publisher.publish(entry);
        }
        Ok(Self { pods, lost: records.lost })
    }

    /// Starts the pods' actors, and the sweep, whose first listing is answered.
    pub(super) fn take_up(
        self,
        actors: &Arc<ActorContext>,
        shim_cgroup: String,
        tasks: &TaskTracker,
        closing: watch::Receiver<bool>,
    ) -> FirstListing {
        let known = KnownIds {
            pods: self.pods.iter().map(|pod| pod.machine.identity().id.clone()).collect(),
            containers: self.pods.iter().flat_map(|pod| pod.machine.recorded_containers().cloned()).collect(),
            lost: self.lost,
        };
        let context = Arc::new(SweepContext {
            registry: Arc::clone(&actors.registry),
            publisher: Arc::clone(&actors.publisher),
            sandboxes: Arc::clone(&actors.sandboxes),
            containers: Arc::clone(&actors.containers),
            cgroup: actors.defaults.cgroup.clone(),
            shim_cgroup,
            measures: actors.measures.clone(),
        });
        for pod in self.pods {
            let identity = pod.machine.identity();
            let (name, id) = (identity.spec.metadata.clone(), identity.id.clone());
            actors.registry.add(name, id, || actor::start(Arc::clone(actors), pod, false));
        }
        let listed = CancellationToken::new();
        let listing = listed.clone().drop_guard();
        tasks.spawn(async move {
            let sweep = Sweep::list(context, known).await;
            drop(listing);
            sweep.run(closing).await;
        });
        FirstListing(listed)
    }
}

/// The sweep lists what an earlier daemon left. Nothing new may be made before that is over: it would be taken for
/// such.
#[derive(Clone, Debug)]
pub(super) struct FirstListing(CancellationToken);

impl FirstListing {
    /// Waits for the end of it.
    pub(super) async fn over(&self, what: &'static str, limit: Duration) -> Result<(), Error> {
        let began = Instant::now();
        let over = tokio::time::timeout(limit, self.0.cancelled()).await;
        over.map_err(|_| Error::StillRunning {
            what,
            stage: "waiting until what an earlier peapod has left on the node is listed".to_owned(),
            elapsed: began.elapsed(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_listing_that_takes_too_long_is_named() {
        let (listing, limit) = (FirstListing(CancellationToken::new()), Duration::from_secs(60));
        let waited = tokio::time::timeout(limit * 2, listing.over("the pod", limit)).await.unwrap();
        let error = waited.unwrap_err();
        assert!(matches!(error, Error::StillRunning { .. }) && error.to_string().contains("60.0 s"), "{error}");
        listing.0.cancel();
        assert!(listing.over("the pod", Duration::ZERO).await.is_ok());
    }
}
