//! What is on disk of a pod.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use peapod_spec::container::ContainerSpec;
use peapod_spec::pod::PodSpec;

use crate::id::ContainerId;
use crate::machine::Row;
use crate::record::{ContainerPhase, ContainerRecord, PodRecord};

/// Rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub(super) pod: Option<PodRecord>,
    pub(super) pod_spec: Option<Arc<PodSpec>>,
    pub(super) containers: BTreeMap<ContainerId, (Arc<ContainerSpec>, ContainerRecord)>,
    /// Containers whose record was to go, and could not.
    pub(super) stuck: BTreeSet<ContainerId>,
}

impl Disk {
    pub(super) fn write(&mut self, rows: &[Row]) {
        for row in rows {
            match row {
                Row::NoPod => *self = Self::default(),
                Row::Pod(spec, record) => {
                    (self.pod_spec, self.pod) = (Some(Arc::clone(spec)), Some((**record).clone()));
                }
                Row::NoContainer(id) => drop(self.containers.remove(id)),
                Row::Container(id, spec, record) => {
                    self.containers.insert(id.clone(), (Arc::clone(spec), (**record).clone()));
                }
            }
        }
    }

    /// What happened is shown although it could not be written; what is to go is there until it is gone.
    pub(super) fn try_to_write(&mut self, rows: &[Row]) {
        for row in rows {
            match row {
                Row::NoPod => {}
                Row::NoContainer(id) => drop(self.stuck.insert(id.clone())),
                Row::Pod(..) | Row::Container(..) => self.write(std::slice::from_ref(row)),
            }
        }
    }

    pub(super) fn phase(&self, id: &ContainerId) -> Option<&ContainerPhase> {
        self.containers.get(id).map(|(_, record)| &record.phase)
    }
}
