//! Rows, on their way to the disk.

use std::collections::HashMap;
use std::sync::Arc;

use peapod_spec::container::ContainerSpec;
use peapod_spec::pod::PodSpec;
use peapod_store::Database;

use crate::error::Error;
use crate::id::ContainerId;
use crate::machine::{Identity, Row};
use crate::record::{self, SpecColumn, Write};

/// Specs of a pod and its containers that are on disk, or on their way there: a row that is written again keeps them.
/// Nothing is known of what an earlier daemon wrote.
#[derive(Debug, Default)]
pub(super) struct WrittenSpecs {
    pod: Option<Arc<PodSpec>>,
    containers: HashMap<ContainerId, Arc<ContainerSpec>>,
}

/// A row, and whether its spec is on disk as it is.
pub(super) type NotedRow = (Row, bool);

impl WrittenSpecs {
    /// Notes what is going to be written.
    pub(super) fn note(&mut self, rows: Vec<Row>) -> Vec<NotedRow> {
        rows.into_iter()
            .map(|row| {
                let written = match &row {
                    // A spec that changes is another one.
                    Row::Pod(spec, _) => {
                        self.pod.replace(Arc::clone(spec)).is_some_and(|before| Arc::ptr_eq(&before, spec))
                    }
                    Row::Container(id, spec, _) => self
                        .containers
                        .insert(id.clone(), Arc::clone(spec))
                        .is_some_and(|before| Arc::ptr_eq(&before, spec)),
                    Row::NoContainer(id) => self.containers.remove(id).is_some(),
                    Row::NoPod => false,
                };
                (row, written)
            })
            .collect()
    }

    /// A commit failed.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

/// Writes all of them, or none.
pub(super) async fn commit(db: Database, identity: Arc<Identity>, rows: Vec<NotedRow>) -> Result<(), Error> {
    let failed = |error: &(dyn std::error::Error + 'static)| Error::failed("record", error);
    let writes = rows.into_iter().map(|(row, written)| write(&identity, row, written)).collect::<Result<_, _>>();
    let writes = writes.map_err(|error: serde_json::Error| failed(&error))?;
    record::commit(&db, writes).await.map_err(|error| failed(&error))
}

fn write(identity: &Identity, row: Row, written: bool) -> Result<Write, serde_json::Error> {
    let pod = identity.id.clone();
    Ok(match row {
        Row::NoPod => Write::NoPod(pod),
        Row::NoContainer(id) => Write::NoContainer(id),
        Row::Pod(spec, record) => {
            Write::Pod { id: pod, spec: SpecColumn::new(&spec, written)?, state: serde_json::to_string(&record)? }
        }
        Row::Container(id, spec, record) => {
            Write::Container { id, pod, spec: SpecColumn::new(&spec, written)?, state: serde_json::to_string(&record)? }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{ContainerOrigin, ContainerPhase, ContainerRecord, MadeFrom};
    use crate::samples::container_spec;

    fn record() -> ContainerRecord {
        ContainerRecord {
            phase: ContainerPhase::Created,
            created_at: 1,
            origin: ContainerOrigin::default(),
            made_from: MadeFrom::default(),
            user: peapod_spec::UserIds::default(),
            stop_signal: 15,
            cgroup: String::new(),
            stop_deadline: None,
            needs_cleanup: false,
            image_mounts: Vec::new(),
        }
    }

    #[test]
    fn a_spec_is_written_when_it_is_new_or_another_one() {
        let (id, mut spec) = (ContainerId::random().unwrap(), Arc::new(container_spec("one", 0)));
        let mut specs = WrittenSpecs::default();
        let written = |specs: &mut WrittenSpecs, spec: &Arc<ContainerSpec>| {
            specs.note(vec![Row::Container(id.clone(), Arc::clone(spec), Box::new(record()))])[0].1
        };
        assert!(!written(&mut specs, &spec) && written(&mut specs, &spec));
        Arc::make_mut(&mut spec).resources.cpu_shares = 7;
        assert!(!written(&mut specs, &spec) && written(&mut specs, &spec));
        specs.forget();
        assert!(!written(&mut specs, &spec));
        specs.note(vec![Row::NoContainer(id.clone())]);
        assert!(!written(&mut specs, &spec));
    }
}
