//! The shim's state, shared by its services.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use peapod_cgroup::Hierarchy;
use tokio::sync::{Notify, watch};

use crate::container::Container;
use crate::error::Error;
use crate::events::Events;
use crate::reaper::Reaper;
use crate::runtime::{Call, Runtime, Sealed};
use crate::sandbox::Sandbox;
use crate::stdio::Null;

/// Containers of one pod, ended ones included.
const CONTAINERS: usize = 1024;

/// Everything.
pub(crate) struct Core {
    pub(crate) id: String,
    pub(crate) bundle: PathBuf,
    pub(crate) reaper: Reaper,
    pub(crate) sealed: Option<Sealed>,
    pub(crate) null: Null,
    pub(crate) hierarchy: Hierarchy,
    pub(crate) events: Events,
    pub(crate) sandbox: Sandbox,
    containers: Mutex<HashMap<String, Slot>>,
    ending: watch::Sender<bool>,
}

/// A container's place in the map.
enum Slot {
    /// Its runtime runs `create`, which this ends.
    Creating(Arc<Notify>),
    There(Arc<Container>),
}

/// A reserved place; given back when it is dropped before it is filled.
pub(crate) struct Place {
    core: Arc<Core>,
    id: String,
    /// Ends calls of the runtime for it.
    pub(crate) calls: Arc<Notify>,
}

impl Core {
    pub(crate) fn new(id: String, bundle: PathBuf, hierarchy: Hierarchy, sealed: Option<Sealed>, null: Null) -> Self {
        Self {
            id,
            bundle,
            hierarchy,
            sealed,
            null,
            reaper: Reaper::default(),
            events: Events::new(),
            sandbox: Sandbox::default(),
            containers: Mutex::default(),
            ending: watch::Sender::new(false),
        }
    }

    /// Takes an id for a container to be.
    pub(crate) fn reserve(self: &Arc<Self>, id: &str) -> Result<Place, Error> {
        if *self.ending.borrow() || self.sandbox.is_stopped() {
            return Err(Error::Ending);
        }
        let mut containers = self.lock();
        if containers.contains_key(id) {
            return Err(Error::Exists { kind: "container", id: id.to_owned() });
        }
        if containers.len() >= CONTAINERS {
            return Err(Error::Full { what: "containers in a pod", limit: CONTAINERS });
        }
        let calls = Arc::new(Notify::new());
        containers.insert(id.to_owned(), Slot::Creating(calls.clone()));
        Ok(Place { core: self.clone(), id: id.to_owned(), calls })
    }

    pub(crate) fn container(&self, id: &str) -> Result<Arc<Container>, Error> {
        match self.lock().get(id) {
            Some(Slot::There(container)) => Ok(container.clone()),
            Some(Slot::Creating(_)) => {
                Err(Error::State { kind: "container", id: id.to_owned(), is: "being created", wanted: "created" })
            }
            None => Err(Error::no_container(id)),
        }
    }

    pub(crate) fn containers(&self) -> Vec<Arc<Container>> {
        let containers = self.lock();
        containers
            .values()
            .filter_map(|slot| match slot {
                Slot::There(container) => Some(container.clone()),
                Slot::Creating(_) => None,
            })
            .collect()
    }

    /// Ends every `create` that is going on; answers whether there was one.
    pub(crate) fn interrupt_creating(&self) -> bool {
        let mut any = false;
        for slot in self.lock().values() {
            if let Slot::Creating(calls) = slot {
                calls.notify_waiters();
                any = true;
            }
        }
        any
    }

    /// Ends the `create` of one container, if that is what goes on.
    pub(crate) fn interrupt_create(&self, id: &str) -> bool {
        match self.lock().get(id) {
            Some(Slot::Creating(calls)) => {
                calls.notify_waiters();
                true
            }
            _ => false,
        }
    }

    pub(crate) fn forget(&self, id: &str) {
        self.lock().remove(id);
    }

    /// Runs the OCI runtime.
    pub(crate) async fn run(&self, runtime: &Runtime, call: Call<'_>) -> Result<(), Error> {
        Ok(runtime.call(self, call).await?)
    }

    /// Ends the shim, once the answer to who asked for it has left.
    pub(crate) fn end(&self) {
        self.ending.send_replace(true);
    }

    pub(crate) async fn ended(&self) {
        // The sender is `self`'s.
        let _ = self.ending.subscribe().wait_for(|ending| *ending).await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    pub(crate) fn fill(self, container: Arc<Container>) {
        self.core.lock().insert(self.id.clone(), Slot::There(container));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut containers = self.core.lock();
        if matches!(containers.get(&self.id), Some(Slot::Creating(_))) {
            containers.remove(&self.id);
        }
    }
}
