//! What an earlier daemon left, taken up at the start.

use std::sync::Arc;

use super::Pods;
use crate::actor;
use crate::error::OpenError;
use crate::load;
use crate::recover;
use crate::sweep::{Known, Sweep};

impl Pods {
    /// Shows every recorded pod, then starts its actor.
    pub(super) async fn load(&self) -> Result<(), OpenError> {
        let records = load::load(&self.node.db, self.node.usual()).await?;
        let mut pods: Vec<actor::Pod> =
            records.pods.into_iter().map(|loaded| recover::take_up(&self.node, loaded)).collect();
        // A half-made one has its name only as long as no other has it.
        pods.sort_by_key(|pod| pod.machine.is_half_made());
        for entry in pods.iter().filter_map(|pod| pod.machine.entry()) {
            self.node.publisher.publish(entry);
        }
        let known = Known {
            pods: pods.iter().map(|pod| pod.machine.identity().id.clone()).collect(),
            containers: pods.iter().flat_map(|pod| pod.machine.recorded_containers().cloned()).collect(),
            lost: records.lost,
        };
        let sweep = Sweep::list(Arc::clone(&self.node), known).await;
        self.node.leftovers.spawn(sweep.run(self.node.closing.subscribe()));
        for pod in pods {
            let identity = pod.machine.identity();
            let (name, id) = (identity.spec.metadata.clone(), identity.id.clone());
            self.node.registry.add(name, id, || actor::start(Arc::clone(&self.node), pod, false));
        }
        Ok(())
    }
}
