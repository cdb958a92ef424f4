//! What the node's plugins ask for: what there is, and changes of containers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use peapod_nri::api::{ContainerEviction, ContainerUpdate};
use peapod_nri::{Plugins, RuntimeRequest};
use peapod_sys::sync::lock;
use peapod_text::excerpt;
use peapod_trace::Span;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Pods;
use super::call::{ActorCall, Subject};
use crate::cpuset;
use crate::error::Error;
use crate::id::ContainerId;
use crate::machine::Request;
use crate::plugins;

/// Between the signal and the kill, for a container that a plugin evicts.
const EVICTION_GRACE: Duration = Duration::from_secs(30);

/// Containers that are being stopped for plugins.
#[derive(Clone, Debug, Default)]
struct Evicting(Arc<Mutex<BTreeSet<ContainerId>>>);

impl Pods {
    /// The node's plugins.
    #[must_use]
    pub fn plugins(&self) -> &Plugins {
        self.actors.plugins.plugins()
    }

    /// Answers plugins until the daemon ends. None of them waits for another one.
    pub(super) async fn serve_plugins(self, mut requests: mpsc::Receiver<RuntimeRequest>) {
        let (mut closing, mut tasks) = (self.closing.subscribe(), JoinSet::new());
        let evicting = Evicting::default();
        loop {
            let request = tokio::select! {
                request = requests.recv() => request,
                Some(_) = tasks.join_next() => continue,
                // An error means that the daemon has ended.
                _ = closing.wait_for(|closing| *closing) => None,
            };
            let Some(request) = request else { return };
            let (pods, evicting) = (self.clone(), evicting.clone());
            tasks.spawn(async move {
                match request {
                    RuntimeRequest::Describe(describe) => {
                        let _ = describe.send(pods.actors.plugins.everything().await);
                    }
                    RuntimeRequest::Update(wishes, mut done) => {
                        pods.evict(wishes.evictions, &evicting);
                        let failed = tokio::select! {
                            failed = pods.update_all_for_plugins(wishes.updates) => failed,
                            // Nobody waits any more: the plugin has left, or its time is over.
                            () = done.closed() => return,
                        };
                        let _ = done.send(failed);
                    }
                }
            });
        }
    }

    /// Changes limits. Answers the changes that failed.
    async fn update_all_for_plugins(&self, updates: Vec<ContainerUpdate>) -> Vec<ContainerUpdate> {
        let mut failed = Vec::new();
        for update in updates {
            if let Err(error) = self.update_for_plugins(&update).await {
                tracing::info!(container = %excerpt(&update.container_id), %error, "an update for an NRI plugin failed");
                failed.push(update);
            }
        }
        failed
    }

    /// Begins to stop containers.
    fn evict(&self, evictions: Vec<ContainerEviction>, evicting: &Evicting) {
        for eviction in evictions {
            let Some(id) = ContainerId::parse(&eviction.container_id) else { continue };
            // However often a plugin says it.
            if self.snapshot().container(&id).is_none() || !lock(&evicting.0).insert(id.clone()) {
                continue;
            }
            let (container, reason) = (id.short(), excerpt(&eviction.reason));
            tracing::info!(container, %reason, "an NRI plugin evicts a container");
            let (pods, evicting) = (self.clone(), evicting.clone());
            self.leftovers.spawn(async move {
                if let Err(error) = pods.stop_container(&id, EVICTION_GRACE, &Span::default()).await {
                    tracing::info!(container = id.short(), %error, "a container could not be evicted");
                }
                lock(&evicting.0).remove(&id);
            });
        }
    }

    /// As a client's update, but that no plugin is asked about it.
    async fn update_for_plugins(&self, update: &ContainerUpdate) -> Result<(), Error> {
        let id = ContainerId::parse(&update.container_id);
        let id = id.ok_or_else(|| Error::no_container(update.container_id.as_str()))?;
        let cgroup_v2 = self.actors.containers.facts.cgroup_v2;
        let change = plugins::change(update, cgroup_v2)?;
        cpuset::check(&change, cgroup_v2, "")?;
        let span = Span::default();
        let handle = self.actor_of(&id, &span)?;
        let call = ActorCall { what: "the container's update", span: &span, handle: &handle };
        self.call(&call, Subject::Container(&id), Request::Update(id.clone(), Box::new(change))).await.map(drop)
    }
}
