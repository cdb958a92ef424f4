//! In which order things happen to an attachment that is made, and what is on disk when.

use super::host::Bridge;
use super::table::{AttachmentEntry, AttachmentState};
use super::work::{self, MakeError};
use super::{Builtin, plan};
use crate::attachment::{AttachRequest, Attachment};
use crate::error::{AttachError, StepError};
use crate::listeners;
use crate::record;
use crate::request;
use crate::stages;
use crate::sync::{blocking, lock};
use peapod_trace::Span;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use std::{io, thread};
use tokio::sync::oneshot;

/// How long to wait for an address whose link is on its way out, when no other is free, and how often to look. The
/// kernel takes away some 700 namespaces a second, one after the other.
const LINGER: Duration = Duration::from_secs(10);
const LINGER_POLL: Duration = Duration::from_millis(20);
/// The thread that makes an attachment needs little.
const STACK: usize = 256 << 10;

/// Why an attachment could not be made; what there is of it is still to be taken away.
enum AttemptError {
    /// The link that had the number last is not gone yet.
    Lingering,
    /// Anything else.
    Attach(AttachError),
}

impl<E: Into<AttachError>> From<E> for AttemptError {
    fn from(error: E) -> Self {
        Self::Attach(error.into())
    }
}

impl Builtin {
    /// Connects. What of a failed attempt can't be undone stays on record, as one that is leaving.
    pub(crate) async fn attach(self: &Arc<Self>, request: AttachRequest) -> Result<Arc<Attachment>, AttachError> {
        let request = plan::check(&self.host.settings, request)?;
        if let Some(known) = self.known(&request).await? {
            return Ok(known);
        }
        let span = request.span.clone();
        listeners::check(&request).await?;
        span.enter(&stages::TURN);
        let _permit = self.permits.acquire().await.map_err(|_| AttachError::Closed)?;
        let mut repaired = false;
        let mut lingering = BTreeSet::new();
        let deadline = Instant::now() + LINGER;
        loop {
            if self.closing.is_cancelled() {
                return Err(AttachError::Closed);
            }
            span.enter(&stages::BRIDGE);
            let bridge = self.bridge().await?;
            // Numbers whose links linger count as free only as long as there is time to wait for them.
            let all_linger = Instant::now() >= deadline;
            let none = BTreeSet::new();
            let avoid = if all_linger { &none } else { &lingering };
            let Some(entry) = lock(&self.table).reserve(&self.host.settings, bridge, &request, avoid)? else {
                lingering.clear();
                tokio::time::sleep(LINGER_POLL).await;
                continue;
            };
            let failure = match self.make(bridge, &entry, request.namespace.clone(), &span).await {
                Ok(()) => return Ok(entry.attachment),
                Err(failure) => failure,
            };
            span.fail();
            span.enter(&stages::REMOVAL);
            // A link that lingers is another namespace's, and goes with it.
            let is_kept = request.namespace.is_some() && !matches!(failure, AttemptError::Lingering);
            let is_undone = self.rollback(&entry, is_kept).await;
            match failure {
                AttemptError::Lingering if !all_linger && is_undone => {
                    lingering.insert(entry.record.host_index);
                }
                AttemptError::Lingering => return Err(lingering_error(&entry)),
                // Somebody may have taken the bridge or the table away since they were made.
                AttemptError::Attach(AttachError::Step(error)) if !repaired && is_undone => {
                    repaired = true;
                    if !self.repair_later().await? {
                        return Err(error.into());
                    }
                }
                AttemptError::Attach(error) => return Err(error),
            }
        }
    }

    /// The attachment, if the same request was fulfilled before. What an earlier failure left is taken away.
    async fn known(self: &Arc<Self>, request: &AttachRequest) -> Result<Option<Arc<Attachment>>, AttachError> {
        let (entry, lost) = {
            let table = lock(&self.table);
            (table.entries.get(&request.id).cloned(), table.lost.contains_key(&request.id))
        };
        if lost {
            self.detach(&request.id).await?;
        }
        let Some(entry) = entry else { return Ok(None) };
        if entry.state != AttachmentState::Ready {
            self.detach(&request.id).await?;
            return Ok(None);
        }
        if !request::same_ports(&entry.attachment.ports, &request.ports) {
            return Err(AttachError::Different { id: request.id.clone() });
        }
        Ok(Some(entry.attachment))
    }

    /// Writes the record, makes what it says, and writes that it is made.
    async fn make(
        self: &Arc<Self>,
        bridge: Bridge,
        entry: &AttachmentEntry,
        given: Option<PathBuf>,
        span: &Span,
    ) -> Result<(), AttemptError> {
        span.enter(&stages::RECORD);
        let (told, committed) = mpsc::sync_channel(1);
        let (done, outcome) = oneshot::channel();
        let (builtin, record, own) = (Arc::clone(self), Arc::clone(&entry.record), span.clone());
        // A thread of its own, because it ends in another namespace. It begins while the record is being written.
        let work = move || {
            // Nobody waits any more only if the runtime is gone.
            let _ = done.send(work::make(&builtin.host, bridge, &record, &committed, given.as_deref(), &own));
        };
        thread::Builder::new()
            .name("net-attach".to_owned())
            .stack_size(STACK)
            .spawn(work)
            .map_err(|source| StepError::new("start a thread", source))?;
        let json = serde_json::to_string(&*entry.record)
            .map_err(|source| StepError::new("write the network record", io::Error::from(source)))?;
        let id = entry.attachment.id.clone();
        record::begin(&self.db, id.clone(), entry.record.host_index, json).await?;
        // If the thread has failed already, its outcome says why.
        peapod_sys::fail_point("network-recorded");
        let _ = told.send(());
        match outcome.await {
            Ok(Ok(())) => {}
            Ok(Err(MakeError::Step(error))) => return Err(error.into()),
            Ok(Err(MakeError::Lingering)) => return Err(AttemptError::Lingering),
            Ok(Err(MakeError::NotCommitted)) | Err(_) => return Err(AttachError::Closed.into()),
        }
        peapod_sys::fail_point("network-made");
        span.enter(&stages::RECORD);
        record::complete(&self.db, id.clone()).await?;
        peapod_sys::fail_point("network-complete");
        lock(&self.table).complete(&id);
        Ok(())
    }

    /// Undoes a failed attempt; whether all of it could be undone. The links go here if their namespace is kept by
    /// somebody, and before their number is free for others.
    async fn rollback(self: &Arc<Self>, entry: &AttachmentEntry, is_kept: bool) -> bool {
        let id = &entry.attachment.id;
        if is_kept {
            let record = Arc::clone(&entry.record);
            if let Some(Err(error)) = blocking(move || work::delete_links(&record)).await {
                tracing::warn!(network_id = %id, %error, "a link of a failed attach stays as long as its namespace");
            }
        }
        let undone = self.detach(id).await;
        if let Err(error) = &undone {
            tracing::warn!(network_id = %id, %error, "cannot undo a failed attach yet");
        }
        undone.is_ok()
    }

    /// The bridge, made if need be.
    async fn bridge(self: &Arc<Self>) -> Result<Bridge, AttachError> {
        if let Some(bridge) = self.host.bridge() {
            return Ok(bridge);
        }
        self.repair_later().await?;
        self.host.bridge().ok_or(AttachError::Closed)
    }

    async fn repair_later(self: &Arc<Self>) -> Result<bool, AttachError> {
        let builtin = Arc::clone(self);
        Ok(blocking(move || builtin.repair()).await.ok_or(AttachError::Closed)??)
    }
}

fn lingering_error(entry: &AttachmentEntry) -> AttachError {
    let there = io::Error::from(rustix::io::Errno::EXIST);
    let link = &entry.attachment.host_interface;
    StepError::new(format!("make link {link}, and the links of all other free addresses are still there"), there).into()
}
