//! Looks again and again which configuration there is and how its plugins are.

use super::conflist::Conflist;
use super::directory::Choice;
use super::life::{Cni, CniAttachmentEntry, CniAttachmentState, subject};
use crate::bounds::PLUGIN_COLLECTION;
use crate::netns;
use crate::status::NetworkStatus;
use crate::sync::{blocking, lock};
use peapod_trace::Span;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often plugins are asked whether they are fine, and how often if they are not.
const ASK: Duration = Duration::from_secs(30);
const ASK_AGAIN: Duration = Duration::from_secs(5);

impl Cni {
    /// Looks at the directory, and asks the plugins if that is due; whether another configuration is there.
    pub(crate) async fn look_after(self: &Arc<Self>) -> bool {
        let Some((choice, changed)) = self.look().await else { return false };
        let Choice::Use(conflist) = choice else { return changed };
        let is = |other: &Option<Arc<Conflist>>| other.as_ref().is_some_and(|other| Arc::ptr_eq(other, &conflist));
        let due = {
            let health = lock(&self.health);
            let pause = if health.trouble.is_some() { ASK_AGAIN } else { ASK };
            !is(&health.of) || health.asked.is_none_or(|asked| asked.elapsed() >= pause)
        };
        if due {
            let trouble = self.caller.status(&conflist).await.err().map(|error| error.to_string());
            let mut health = lock(&self.health);
            if !is(&health.of) || health.trouble != trouble {
                match &trouble {
                    None => tracing::info!(network = %conflist.name, "new pods are connected by CNI plugins"),
                    Some(error) => tracing::warn!(network = %conflist.name, %error, "pods cannot be connected"),
                }
            }
            health.of = Some(Arc::clone(&conflist));
            health.trouble = trouble;
            health.asked = Some(Instant::now());
        }
        let collect = {
            let health = lock(&self.health);
            conflist.gc && health.trouble.is_none() && !is(&health.collected)
        };
        if collect && self.collect(&conflist).await {
            lock(&self.health).collected = Some(conflist);
        }
        changed
    }

    /// The configuration of this moment and whether it is a new one; none if the runtime ends.
    pub(crate) async fn look(self: &Arc<Self>) -> Option<(Choice, bool)> {
        let cni = Arc::clone(self);
        let (choice, changed) = blocking(move || cni.directory.look()).await?;
        if changed {
            match &choice {
                Choice::None => {
                    tracing::info!(dir = %self.directory.path.display(), "no CNI configuration: new pods get the built-in network");
                }
                Choice::Use(conflist) => {
                    tracing::info!(network = %conflist.name, version = conflist.version.text(), "CNI configuration read");
                }
                Choice::Unusable(error) => tracing::warn!(%error, "pods cannot be connected"),
            }
        }
        Some((choice, changed))
    }

    /// Has plugins take away what belongs to no attachment, such as addresses of pods that a power cut forgot. False if
    /// it is not the time for it: a pod is being connected. Pods that come meanwhile wait, so it may not take long.
    async fn collect(&self, conflist: &Conflist) -> bool {
        let Ok(_nobody_is_connected_meanwhile) = self.collecting.try_write() else { return false };
        let entries = lock(&self.entries).clone();
        let valid: Vec<String> = entries
            .into_iter()
            .filter(|(_, entry)| entry.record.conflist.name == conflist.name)
            .map(|(id, _)| id)
            .collect();
        match tokio::time::timeout(PLUGIN_COLLECTION, self.caller.gc(conflist, &valid)).await {
            Ok(errors) => {
                for error in errors {
                    tracing::warn!(network = %conflist.name, %error, "what belongs to no pod is not taken away");
                }
            }
            Err(_) => {
                let limit = PLUGIN_COLLECTION.as_secs();
                tracing::warn!(network = %conflist.name, "plugins did not take away what belongs to no pod in {limit} s");
            }
        }
        true
    }

    /// Has plugins look at what they made before this process began; says what they do not like.
    pub(crate) async fn check_all(&self) {
        let ready = |entry: &&CniAttachmentEntry| entry.state == CniAttachmentState::Ready;
        let entries: Vec<_> = lock(&self.entries).values().filter(ready).cloned().collect();
        for entry in entries {
            let (record, pin) = (&entry.record, &entry.attachment.netns);
            let Some(result) = record.result.as_ref().filter(|_| record.conflist.check && netns::is_pinned(pin)) else {
                continue;
            };
            let none = Span::default();
            let checked = self.caller.check(&record.conflist, &subject(record, Some(pin), &none), result).await;
            // It may have been taken away meanwhile.
            if let Err(error) = checked
                && self.attachment(&record.attachment.id).is_some()
            {
                tracing::warn!(network_id = %record.attachment.id, %error, "the pod's network is not as it was made");
            }
        }
    }

    /// What to tell, if it is about plugins.
    pub(crate) fn status(&self) -> Option<NetworkStatus> {
        let not = |name: String, reason: &str, message: String| NetworkStatus {
            ready: false,
            name,
            reason: reason.to_owned(),
            message,
        };
        let conflist = match self.directory.last() {
            Choice::None => return None,
            Choice::Unusable(error) => {
                return Some(not("CNI".to_owned(), "CniConfigurationUnusable", error.to_string()));
            }
            Choice::Use(conflist) => conflist,
        };
        let name = format!("CNI {}", conflist.name);
        let health = lock(&self.health);
        if !health.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, &conflist)) {
            return Some(not(name, "CniPluginsNotAsked", "the CNI plugins are being asked".to_owned()));
        }
        Some(match &health.trouble {
            Some(trouble) => not(name, "CniPluginsNotReady", trouble.clone()),
            None => NetworkStatus {
                ready: true,
                message: format!(
                    "pods are connected by CNI network {} of {}",
                    conflist.name,
                    self.directory.path.display()
                ),
                name,
                reason: String::new(),
            },
        })
    }
}
