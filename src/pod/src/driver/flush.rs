//! From a decision to its effects: commit, then show, then answer.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Done, Driver, view};
use crate::error::Error;
use crate::id::ContainerId;
use crate::record::{self, Write};
use crate::stage::timed;
use crate::view::PodEntry;

/// Pause before a commit that failed (a full disk, as a rule) is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What follows from a commit: runs in the driver, with the commit's outcome.
pub(super) type Effect = Box<dyn FnOnce(&mut Driver, &Result<(), Error>) + Send>;

/// What is decided but not yet on disk.
#[derive(Default)]
pub(super) struct Outbox {
    pod: bool,
    containers: BTreeSet<ContainerId>,
    gone: BTreeSet<ContainerId>,
    pod_gone: bool,
    effects: Vec<Effect>,
    flight: Option<Flight>,
    waiting_to_retry: bool,
}

/// A commit under way.
struct Flight {
    pod: bool,
    containers: BTreeSet<ContainerId>,
    gone: BTreeSet<ContainerId>,
    pod_gone: bool,
    effects: Vec<Effect>,
    /// What is shown once it is on disk.
    entry: Option<PodEntry>,
}

impl Outbox {
    fn is_clean(&self) -> bool {
        !self.pod && self.containers.is_empty() && self.gone.is_empty() && !self.pod_gone
    }
}

impl Driver {
    /// The pod's own row changed.
    pub(super) fn pod_changed(&mut self) {
        self.outbox.pod = true;
    }

    /// A container's row changed.
    pub(super) fn container_changed(&mut self, id: &ContainerId) {
        self.outbox.containers.insert(id.clone());
    }

    /// A container is gone.
    pub(super) fn container_gone(&mut self, id: &ContainerId) {
        self.outbox.containers.remove(id);
        self.outbox.gone.insert(id.clone());
    }

    /// The pod is gone, with everything in it.
    pub(super) fn pod_gone(&mut self) {
        self.outbox.pod_gone = true;
    }

    /// What shall happen when all that was decided up to now is on disk, or could not be brought there.
    pub(super) fn then(&mut self, effect: impl FnOnce(&mut Self, &Result<(), Error>) + Send + 'static) {
        self.outbox.effects.push(Box::new(effect));
    }

    /// Begins the next commit if there is something to commit and none is under way.
    pub(super) fn flush(&mut self) {
        while self.outbox.flight.is_none() && !self.outbox.waiting_to_retry {
            if self.outbox.is_clean() {
                let effects = std::mem::take(&mut self.outbox.effects);
                if effects.is_empty() {
                    return;
                }
                for effect in effects {
                    effect(self, &Ok(()));
                }
                continue;
            }
            let writes = self.writes();
            let outbox = &mut self.outbox;
            outbox.flight = Some(Flight {
                pod: std::mem::take(&mut outbox.pod),
                containers: std::mem::take(&mut outbox.containers),
                gone: std::mem::take(&mut outbox.gone),
                pod_gone: std::mem::take(&mut outbox.pod_gone),
                effects: std::mem::take(&mut outbox.effects),
                entry: view::entry(&self.node, &self.pod),
            });
            let db = self.node.db.clone();
            self.tasks.spawn(async move {
                let outcome = match writes {
                    Ok(writes) => timed("commit", record::commit(&db, writes))
                        .await
                        .map_err(|error| Error::failed("record", &error)),
                    Err(error) => Err(Error::failed("record", &error)),
                };
                Done::Committed(outcome)
            });
        }
    }

    /// A commit is over.
    pub(super) fn committed(&mut self, outcome: &Result<(), Error>) {
        let Some(flight) = self.outbox.flight.take() else { return };
        if let Err(error) = outcome {
            tracing::error!(%error, "the pod's record can't be written; it is tried again");
            self.outbox.pod |= flight.pod;
            self.outbox.containers.extend(flight.containers);
            self.outbox.gone.extend(flight.gone);
            self.outbox.pod_gone |= flight.pod_gone;
            self.outbox.waiting_to_retry = true;
            self.tasks.spawn(async {
                tokio::time::sleep(RETRY).await;
                Done::Retry
            });
        }
        // What happened is shown also when it can't be recorded: lists tell the truth. But a pod whose record stays is
        // still there to be removed.
        match flight.entry {
            Some(_) if flight.pod_gone && outcome.is_err() => {}
            Some(_) if flight.pod_gone => self.node.hide(&self.pod.id),
            Some(entry) => self.node.show(&entry),
            None => {}
        }
        for effect in flight.effects {
            effect(self, outcome);
        }
    }

    /// The pause after a failed commit is over.
    pub(super) fn retry_commit(&mut self) {
        self.outbox.waiting_to_retry = false;
    }

    fn writes(&self) -> Result<Vec<Write>, serde_json::Error> {
        let (outbox, pod) = (&self.outbox, &self.pod);
        if outbox.pod_gone {
            return Ok(vec![Write::NoPod(pod.id.clone())]);
        }
        let mut writes = Vec::new();
        if outbox.pod {
            writes.push(Write::Pod {
                id: pod.id.clone(),
                spec: serde_json::to_string(&*pod.spec)?,
                state: serde_json::to_string(&pod.record)?,
            });
        }
        for id in &outbox.containers {
            let Some(container) = pod.containers.get(id) else { continue };
            let Some(made) = container.made() else { continue };
            writes.push(Write::Container {
                id: id.clone(),
                pod: pod.id.clone(),
                spec: serde_json::to_string(&*container.spec)?,
                state: serde_json::to_string(&made.record)?,
            });
        }
        writes.extend(outbox.gone.iter().cloned().map(Write::NoContainer));
        Ok(writes)
    }
}
