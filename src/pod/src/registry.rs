//! Which pods there are and who runs them.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use peapod_spec::pod::PodMetadata;
use peapod_sys::sync::lock;
use tokio::task::JoinHandle;

use crate::actor::Handle;
use crate::error::Error;
use crate::id::PodId;

/// RegisteredPods and actors. Its lock is held for a look-up, never across an await.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    inner: Mutex<RegisteredPods>,
}

#[derive(Debug, Default)]
struct RegisteredPods {
    closed: bool,
    names: HashMap<PodMetadata, PodId>,
    pods: HashMap<PodId, (PodMetadata, Handle, JoinHandle<()>)>,
}

impl RegisteredPods {
    fn named(&self, name: &PodMetadata) -> Result<Option<Handle>, Error> {
        if self.closed {
            // A pod that is made from now on would be nobody's.
            return Err(Error::ShuttingDown);
        }
        Ok(self.names.get(name).and_then(|id| self.pods.get(id)).map(|(_, handle, _)| handle.clone()))
    }
}

impl Registry {
    /// The actor of the pod with this name, if there is one.
    pub(crate) fn named(&self, name: &PodMetadata) -> Result<Option<Handle>, Error> {
        self.lock().named(name)
    }

    /// The actor of the pod with this name; if there is none, the one that `start` makes, which must not wait.
    pub(crate) fn reserve(
        &self,
        name: &PodMetadata,
        start: impl FnOnce() -> (Handle, JoinHandle<()>),
    ) -> Result<Handle, Error> {
        let mut inner = self.lock();
        if let Some(handle) = inner.named(name)? {
            return Ok(handle);
        }
        let (handle, task) = start();
        inner.names.insert(name.clone(), handle.id().clone());
        inner.pods.insert(handle.id().clone(), (name.clone(), handle.clone(), task));
        Ok(handle)
    }

    /// A recorded pod with the actor that `start` makes. It has its name unless another one has it already.
    pub(crate) fn add(&self, name: PodMetadata, id: PodId, start: impl FnOnce() -> (Handle, JoinHandle<()>)) {
        let mut inner = self.lock();
        // Under the lock: an actor that is through at once is then forgotten after this, not before.
        let (handle, task) = start();
        inner.names.entry(name.clone()).or_insert_with(|| id.clone());
        inner.pods.insert(id, (name, handle, task));
    }

    /// A pod's actor.
    pub(crate) fn get(&self, id: &PodId) -> Option<Handle> {
        self.lock().pods.get(id).map(|(_, handle, _)| handle.clone())
    }

    /// All pods, also those that are being made or removed; none when the daemon has let go of them.
    pub(crate) fn ids(&self) -> Option<HashSet<PodId>> {
        let inner = self.lock();
        (!inner.closed).then(|| inner.pods.keys().cloned().collect())
    }

    /// The pod is gone: its name is free.
    pub(crate) fn forget(&self, id: &PodId) {
        let mut inner = self.lock();
        if let Some((name, _, _)) = inner.pods.remove(id)
            && let Entry::Occupied(entry) = inner.names.entry(name)
            && entry.get() == id
        {
            entry.remove();
        }
    }

    /// All actors and their tasks, which the caller then waits for.
    pub(crate) fn take_all(&self) -> Vec<(Handle, JoinHandle<()>)> {
        let mut inner = self.lock();
        inner.closed = true;
        inner.names.clear();
        inner.pods.drain().map(|(_, (_, handle, task))| (handle, task)).collect()
    }

    /// The daemon ends.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, RegisteredPods> {
        // Each change of the maps is a single call: a panic leaves nothing half-done.
        lock(&self.inner)
    }
}
