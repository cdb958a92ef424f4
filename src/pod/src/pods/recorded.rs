//! What an earlier daemon left, taken up at the start.

use std::sync::Arc;

use super::Pods;
use crate::actor;
use crate::error::OpenError;
use crate::load;
use crate::recover;
use crate::sweep::{KnownIds, Sweep, SweepContext};

impl Pods {
    /// Shows every recorded pod, then starts its actor.
    pub(super) async fn load(&self, shim_cgroup: String) -> Result<(), OpenError> {
        let actors = &self.actors;
        let records = load::load(&actors.db, &actors.defaults).await?;
        let mut pods: Vec<actor::ActorInput> =
            records.pods.into_iter().map(|loaded| recover::take_up(actors, loaded)).collect();
        // A half-made one has its name only as long as no other has it.
        pods.sort_by_key(|pod| pod.machine.is_half_made());
        for entry in pods.iter().filter_map(|pod| pod.machine.entry()) {
            actors.publisher.publish(entry);
        }
        let known = KnownIds {
            pods: pods.iter().map(|pod| pod.machine.identity().id.clone()).collect(),
            containers: pods.iter().flat_map(|pod| pod.machine.recorded_containers().cloned()).collect(),
            lost: records.lost,
        };
        let context = SweepContext {
            registry: Arc::clone(&actors.registry),
            publisher: Arc::clone(&actors.publisher),
            sandboxes: Arc::clone(&actors.sandboxes),
            containers: Arc::clone(&actors.containers),
            cgroup_parent: actors.defaults.cgroup.parent.clone(),
            shim_cgroup,
        };
        let sweep = Sweep::list(Arc::new(context), known).await;
        self.leftovers.spawn(sweep.run(self.closing.subscribe()));
        for pod in pods {
            let identity = pod.machine.identity();
            let (name, id) = (identity.spec.metadata.clone(), identity.id.clone());
            actors.registry.add(name, id, || actor::start(Arc::clone(actors), pod, false));
        }
        Ok(())
    }
}
