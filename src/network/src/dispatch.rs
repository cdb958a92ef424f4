//! Which network an attachment belongs to: a new one to what is found now, one that is there to what made it.

use crate::attachment::{AttachRequest, Attachment};
use crate::cni::{Choice, CniError};
use crate::error::{AttachError, DetachError, PortOwner};
use crate::lifecycle::{Inner, RETRY, RETRY_MAX, blocking, lock};
use crate::plan;
use crate::ports::PortMapping;
use crate::status::NetworkStatus;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How often to look which configuration there is.
const LOOK: Duration = Duration::from_secs(1);

impl Inner {
    /// The caller has the turn of this id.
    pub(crate) async fn attach_somewhere(
        self: &Arc<Self>,
        request: AttachRequest,
    ) -> Result<Arc<Attachment>, AttachError> {
        let id = request.id.clone();
        if lock(&self.book).closed {
            return Err(AttachError::Closed);
        }
        if self.cni.has(&id) {
            if let Some(known) = self.cni.known(&plan::check_any(request.clone())?)? {
                return Ok(known);
            }
            self.cni.detach(&id).await?;
        }
        let is_built_in = lock(&self.book).entries.contains_key(&id);
        let (choice, _) = self.cni.look().await.ok_or(AttachError::Closed)?;
        if is_built_in || matches!(choice, Choice::None) {
            let request = plan::check_any(request)?;
            free(self.cni.meets(&plan::ports_of(&request)?))?;
            return self.attach(request).await;
        }
        let request = plan::check_any(request)?;
        let ports = plan::ports_of(&request)?;
        free(self.cni.meets(&ports))?;
        free(lock(&self.book).meets(&ports))?;
        self.check_listeners(&request).await?;
        let error = match self.cni.attach(&request, choice).await {
            Ok(attachment) => return Ok(attachment),
            Err(error) => error,
        };
        // Who hung once may hang again: nobody waits for that.
        let hangs = matches!(&error, AttachError::Cni(CniError::Slow { .. } | CniError::Closed));
        if hangs || self.cni.detach(&id).await.is_err() {
            self.detach_later(id, Duration::ZERO);
        }
        Err(error)
    }

    /// The caller has the turn of this id.
    pub(crate) async fn detach_anywhere(self: &Arc<Self>, id: &str) -> Result<(), DetachError> {
        if self.cni.has(id) { self.cni.detach(id).await } else { self.detach(id).await }
    }

    /// Tries until it is gone, as nobody else might: first after this pause.
    pub(crate) fn detach_later(self: &Arc<Self>, id: String, mut pause: Duration) {
        if !lock(&self.retrying).insert(id.clone()) {
            return;
        }
        let inner = Arc::clone(self);
        self.tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = inner.closing.cancelled() => break,
                    () = tokio::time::sleep(pause) => pause = (pause * 2).clamp(RETRY, RETRY_MAX),
                }
                let _turn = inner.order.turn(&id).await;
                if !inner.cni.is_half_made(&id) && !lock(&inner.book).is_leaving(&id) {
                    break;
                }
                match inner.detach_anywhere(&id).await {
                    Ok(()) => break,
                    Err(error) => tracing::warn!(network_id = %id, %error, "a network cannot be taken away yet"),
                }
            }
            lock(&inner.retrying).remove(&id);
        });
    }

    /// Whether the built-in network is used, or will be for the next pod.
    pub(crate) fn is_built_in_used(&self) -> bool {
        matches!(self.cni.directory.last(), Choice::None) || !lock(&self.book).entries.is_empty()
    }

    /// Looks at what plugins made before, then again and again at their configuration. Ends with the last handle, or when
    /// the network is closed.
    pub(crate) async fn watch_cni(inner: Weak<Self>) {
        let Some((closing, cni)) = inner.upgrade().map(|inner| (inner.closing.clone(), Arc::clone(&inner.cni))) else {
            return;
        };
        cni.look_after().await;
        let look = async {
            loop {
                tokio::time::sleep(LOOK).await;
                let Some(inner) = inner.upgrade() else { return };
                if inner.cni.look_after().await && inner.is_built_in_used() {
                    // The outcome is in the status.
                    let _ = blocking(move || inner.repair()).await;
                }
            }
        };
        // Plugins that hang with what they are asked about earlier pods keep nobody from seeing a new configuration.
        let both = async { tokio::join!(look, cni.check_all()) };
        tokio::select! {
            () = closing.cancelled() => {}
            _ = both => {}
        }
    }

    /// Which network new pods get, and how it is.
    pub(crate) fn status_now(&self) -> NetworkStatus {
        self.cni.status().unwrap_or_else(|| {
            let mut status = lock(&self.status).clone();
            let dir = self.cni.directory.path.display();
            status.message = format!("{}; there is no CNI configuration in {dir}", status.message);
            status
        })
    }
}

/// An error if a port is another attachment's.
fn free(met: Option<(PortMapping, String)>) -> Result<(), AttachError> {
    met.map_or(Ok(()), |(port, id)| Err(AttachError::PortTaken { port, owner: PortOwner::Attachment(id) }))
}
