//! The containers of a pod: which there are, which are being created, and whether there may be more.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use peapod_sys::sync::lock;
use tokio::sync::Notify;

use crate::bundle::check_id;
use crate::container::create::{self, CreateRequest};
use crate::container::exec::ExecProcess;
use crate::container::host::Host;
use crate::container::{OciContainer, checkpoint, delete, supervise};
use crate::error::Error;
use crate::events::Events;
use crate::log;
use crate::root_container::{RootContainer, Surroundings};
use crate::settle;
use crate::stdio::handed::HandedStreams;
use crate::tasks;

/// Containers of one pod, ended ones included.
const CONTAINERS: usize = 1024;

/// A pod's containers.
#[derive(Debug)]
pub(crate) struct Containers {
    host: Host,
    events: Arc<Events>,
    /// The folder of their bundles.
    bundles: PathBuf,
    root: RootContainer,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// The pod ends: there are no new ones.
    closed: bool,
    slots: HashMap<String, Slot>,
}

/// What is known of an id.
#[derive(Debug)]
enum Slot {
    /// Its runtime runs `create`, which this ends.
    Creating(Arc<Notify>),
    Created(Arc<OciContainer>),
}

/// An id that is taken; free again when this is dropped before there is a container.
struct Reservation<'a> {
    containers: &'a Containers,
    id: &'a str,
    /// Ends calls of the runtime for it.
    interrupt: Arc<Notify>,
}

impl Containers {
    pub(crate) fn new(host: Host, events: Arc<Events>, bundles: PathBuf) -> Self {
        Self { host, events, bundles, root: RootContainer::default(), table: Mutex::default() }
    }

    /// Creates a container, and starts the task that sees its end.
    pub(crate) async fn create(&self, request: CreateRequest) -> Result<Arc<OciContainer>, Error> {
        check_id(&request.id)?;
        let reservation = self.reserve(&request.id)?;
        let interrupt = reservation.interrupt.clone();
        let root = match &request.root {
            Some(root) => Some(self.root.ensure(self.surroundings(), root, &request, &interrupt).await?),
            None => None,
        };
        let (container, supervised) = create::create(&self.host, &request, root.as_deref(), interrupt).await?;
        let container = Arc::new(container);
        reservation.fill(container.clone());
        tasks::spawn(supervise::run(self.events.clone(), container.clone(), supervised));
        Ok(container)
    }

    pub(crate) fn get(&self, id: &str) -> Result<Arc<OciContainer>, Error> {
        match self.lock().slots.get(id) {
            Some(Slot::Created(container)) => Ok(container.clone()),
            Some(Slot::Creating(_)) => {
                Err(Error::State { kind: "container", id: id.to_owned(), is: "being created", wanted: "created" })
            }
            None => Err(Error::NotFound { kind: "container", id: id.to_owned() }),
        }
    }

    /// Starts a created container. One that can't be started is deleted.
    pub(crate) async fn start(&self, container: &OciContainer) -> Result<(), Error> {
        container.begin_start()?;
        let started = container.start().await;
        if started.is_err()
            && let Err(left) = self.delete(container).await
        {
            log::warn("a failed start leaves something", &[("container", &container.id()), ("error", &left)]);
        }
        settle::soon();
        started
    }

    /// Starts a prepared exec; answers what a session gets of it. One that can't be started is forgotten.
    pub(crate) async fn start_exec(
        &self,
        container: &OciContainer,
        exec: &Arc<ExecProcess>,
    ) -> Result<HandedStreams, Error> {
        let _begins = checkpoint::may_begin(container).await;
        container.check_running()?;
        exec.begin()?;
        let started = exec.start(&container.init, self.host.streams()).await;
        if started.is_err() {
            container.execs.remove(&exec.id);
            // What failed for the container's end is no fault of the command's.
            container.check_running()?;
        }
        started
    }

    /// Removes a container that has ended or was never started.
    pub(crate) async fn delete(&self, container: &OciContainer) -> Result<(), Error> {
        container.delete().await?;
        self.lock().slots.remove(container.id());
        Ok(())
    }

    /// Removes what a create that failed may have left.
    pub(crate) async fn delete_leftovers(&self, id: &str) -> Result<(), Error> {
        check_id(id)?;
        delete::leftovers(&self.host, id, &self.bundles.join(id)).await
    }

    /// What they are made with, and where they lie.
    fn surroundings(&self) -> Surroundings<'_> {
        Surroundings { host: &self.host, bundles: &self.bundles, events: &self.events }
    }

    /// There are no new ones from now on.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
    }

    /// Ends every `create` that is going on; answers whether there was one.
    pub(crate) fn interrupt_creating(&self) -> bool {
        let table = self.lock();
        let creating = table.slots.values().filter_map(Slot::creating);
        creating.map(Notify::notify_waiters).count() > 0
    }

    /// Ends the `create` of one container, if that is what goes on.
    pub(crate) fn interrupt_create(&self, id: &str) -> bool {
        self.lock().slots.get(id).and_then(Slot::creating).map(Notify::notify_waiters).is_some()
    }

    /// Kills all containers, and gives back what they have of the node. They stay known.
    pub(crate) async fn stop(&self) -> Result<(), Error> {
        let containers: Vec<_> = self.lock().slots.values().filter_map(Slot::container).collect();
        // All at once: one that is slow to die keeps nobody waiting.
        let ends: Vec<_> = containers
            .iter()
            .map(|container| {
                let container = container.clone();
                tasks::outcome(async move {
                    container.finish().await?;
                    container.clean_up().await
                })
            })
            .collect();
        let mut outcome = Ok(());
        for (end, container) in ends.into_iter().zip(&containers) {
            let end = end.await;
            if let Err(error) = &end {
                log::warn("a container can't be stopped", &[("container", &container.id()), ("error", error)]);
            }
            outcome = outcome.and(end);
        }
        // The sandbox in which they were.
        outcome.and(self.root.end().await)
    }

    fn reserve<'a>(&'a self, id: &'a str) -> Result<Reservation<'a>, Error> {
        let mut table = self.lock();
        if table.closed {
            return Err(Error::Ending);
        }
        if table.slots.contains_key(id) {
            return Err(Error::Exists { kind: "container", id: id.to_owned() });
        }
        if table.slots.len() >= CONTAINERS {
            return Err(Error::Full { what: "containers in a pod", limit: CONTAINERS });
        }
        let interrupt = Arc::new(Notify::new());
        table.slots.insert(id.to_owned(), Slot::Creating(interrupt.clone()));
        Ok(Reservation { containers: self, id, interrupt })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }
}

impl Slot {
    fn creating(&self) -> Option<&Notify> {
        match self {
            Self::Creating(interrupt) => Some(interrupt),
            Self::Created(_) => None,
        }
    }

    fn container(&self) -> Option<Arc<OciContainer>> {
        match self {
            Self::Creating(_) => None,
            Self::Created(container) => Some(container.clone()),
        }
    }
}

impl Reservation<'_> {
    fn fill(self, container: Arc<OciContainer>) {
        self.containers.lock().slots.insert(self.id.to_owned(), Slot::Created(container));
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut table = self.containers.lock();
        if table.slots.get(self.id).is_some_and(|slot| slot.creating().is_some()) {
            table.slots.remove(self.id);
        }
    }
}
