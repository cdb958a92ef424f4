//! What an earlier daemon left, taken up at the start.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::actor::{self, ActorContext};
use crate::error::OpenError;
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
        let mut pods: Vec<_> = records.pods.into_iter().map(|loaded| recover::take_up(actors, loaded)).collect();
        // A half-made one has its name only as long as no other has it.
        pods.sort_by_key(|pod| pod.machine.is_half_made());
        for entry in pods.iter().filter_map(|pod| pod.machine.entry()) {
            actors.publisher.publish(entry);
        }
        Ok(Self { pods, lost: records.lost })
    }

    /// Starts the pods' actors, and the sweep. What is answered is cancelled once the sweep has listed what is there:
    /// nothing new may be made before.
    pub(super) fn take_up(
        self,
        actors: &Arc<ActorContext>,
        shim_cgroup: String,
        tasks: &TaskTracker,
        closing: watch::Receiver<bool>,
    ) -> CancellationToken {
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
            cgroup_parent: actors.defaults.cgroup.parent.clone(),
            shim_cgroup,
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
        listed
    }
}
