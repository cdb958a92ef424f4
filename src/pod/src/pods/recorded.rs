//! What an earlier daemon left, taken up at the start.

use std::sync::Arc;

use super::Pods;
use crate::clock;
use crate::driver::{Beginning, Driver, Pod};
use crate::error::OpenError;
use crate::load;
use crate::record::PodPhase;
use crate::recover;
use crate::sweep::{Cgroups, Known, Sweep};

impl Pods {
    /// Shows every recorded pod, then starts its driver.
    pub(super) async fn load(&self) -> Result<(), OpenError> {
        let records = load::load(&self.node.db, self.node.usual()).await?;
        let now = clock::now();
        let mut pods: Vec<Pod> = records
            .pods
            .into_iter()
            .map(|pod| Pod::recorded(recover::as_of_this_boot(pod, &self.node.boot_id, now), &self.node.listed))
            .collect();
        for pod in &mut pods {
            recover::look(&self.node, pod);
        }
        // A half-made one has its name only as long as no other has it.
        pods.sort_by_key(|pod| pod.record.phase == PodPhase::Setup);
        for pod in &pods {
            if let Some(entry) = crate::driver::entry(&self.node, pod) {
                self.node.show(&entry);
            }
        }
        let known = Known {
            pods: pods.iter().map(|pod| pod.id.clone()).collect(),
            containers: pods.iter().flat_map(|pod| pod.containers.keys().chain(&pod.strays).cloned()).collect(),
            lost: records.lost,
        };
        let sweep = Sweep::list(Arc::clone(&self.node), known).await;
        self.node.leftovers.spawn(sweep.run());
        let cgroups = Cgroups::new(Arc::clone(&self.node));
        self.node.leftovers.spawn(cgroups.sweep(self.node.closing.subscribe()));
        for pod in pods {
            let (name, id) = (pod.spec.metadata.clone(), pod.id.clone());
            self.node.registry.add(name, id, || Driver::start(Arc::clone(&self.node), pod, Beginning::Recorded));
        }
        Ok(())
    }
}
