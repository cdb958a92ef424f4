//! What the node's plugins ask for: what there is, and changes of containers.

use std::time::Duration;

use peapod_nri::api::ContainerUpdate;
use peapod_nri::{PluginWishes, Plugins, RuntimeRequest};
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

impl Pods {
    /// The node's plugins.
    #[must_use]
    pub fn plugins(&self) -> &Plugins {
        self.actors.plugins.plugins()
    }

    /// Answers plugins until the daemon ends. None of them waits for another one.
    pub(super) async fn serve_plugins(self, mut requests: mpsc::Receiver<RuntimeRequest>) {
        let (mut closing, mut tasks) = (self.closing.subscribe(), JoinSet::new());
        loop {
            let request = tokio::select! {
                request = requests.recv() => request,
                Some(_) = tasks.join_next() => continue,
                // An error means that the daemon has ended.
                _ = closing.wait_for(|closing| *closing) => None,
            };
            let Some(request) = request else { return };
            let pods = self.clone();
            tasks.spawn(async move {
                match request {
                    RuntimeRequest::Describe(describe) => {
                        let _ = describe.send(pods.actors.plugins.everything().await);
                    }
                    RuntimeRequest::Update(wishes, done) => {
                        let _ = done.send(pods.do_as_plugins_wish(wishes).await);
                    }
                }
            });
        }
    }

    /// Changes limits, and begins to stop what is to be evicted. Answers the changes that failed.
    async fn do_as_plugins_wish(&self, wishes: PluginWishes) -> Vec<ContainerUpdate> {
        let mut failed = Vec::new();
        for update in wishes.updates {
            if let Err(error) = self.update_for_plugins(&update).await {
                tracing::info!(container = %excerpt(&update.container_id), %error, "an update for an NRI plugin failed");
                failed.push(update);
            }
        }
        for eviction in wishes.evictions {
            let Some(id) = ContainerId::parse(&eviction.container_id) else { continue };
            let (container, reason) = (id.short(), excerpt(&eviction.reason));
            tracing::info!(container, %reason, "an NRI plugin evicts a container");
            let pods = self.clone();
            self.leftovers.spawn(async move {
                if let Err(error) = pods.stop_container(&id, EVICTION_GRACE, &Span::default()).await {
                    tracing::info!(container = id.short(), %error, "a container could not be evicted");
                }
            });
        }
        failed
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
