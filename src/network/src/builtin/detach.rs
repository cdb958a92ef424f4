//! Taking away what a record says, or what there is without one.

use super::host::HostNetwork;
use super::table::Lost;
use super::work::{self, Undone};
use super::{Builtin, plan};
use crate::error::{DetachError, StepError};
use crate::netns;
use crate::record;
use crate::request;
use crate::sync::{blocking, lock};
use std::sync::Arc;

impl Builtin {
    /// Takes everything away. Fine if there is nothing.
    pub(crate) async fn detach(self: &Arc<Self>, id: &str) -> Result<(), DetachError> {
        let Some(record) = lock(&self.table).leave(id) else { return self.detach_lost(id).await };
        let builtin = Arc::clone(self);
        let errors = blocking(move || builtin.undo(&record)).await.ok_or(DetachError::Closed)?;
        if !errors.is_empty() {
            let errors = DetachError::Steps(errors);
            if !self.is_given_up(id) {
                return Err(errors);
            }
            tracing::warn!(network_id = %id, error = %errors, "given up: this of the pod's network stays");
        }
        peapod_sys::fail_point("network-undone");
        record::delete(&self.db, id.to_owned()).await?;
        lock(&self.table).delete(id);
        Ok(())
    }

    /// Takes away what the record says; gives what went wrong. Blocks.
    fn undo(&self, record: &record::AttachmentRecord) -> Vec<StepError> {
        let Undone { rules, known, pin } = work::undo(&self.host, record);
        let rules = rules.or_else(|error| match record.bridge == self.host.settings.bridge {
            // What is leaving is not among the elements.
            true => self.host.rebuild(&self.elements()).map_err(|_| error),
            false => Err(error),
        });
        [rules, known, pin].into_iter().filter_map(Result::err).collect()
    }

    /// Whether this has failed for so long that it is let go. Else counts the failure.
    fn is_given_up(&self, id: &str) -> bool {
        lock(&self.table).fail(id).is_some_and(|since| since.elapsed() >= self.give_up_after)
    }

    /// Takes away what can be told by the id alone, also of one that no record knows. The ports went when this process
    /// made its tables.
    async fn detach_lost(self: &Arc<Self>, id: &str) -> Result<(), DetachError> {
        let is_recorded = lock(&self.table).lost.get_mut(id).map(|lost| *lost = Lost::Leaving).is_some();
        if request::is_id(id) {
            let path = self.host.settings.netns_dir.join(record::pin_name(id));
            let unpinned = blocking(move || netns::unpin(&path)).await.ok_or(DetachError::Closed)?;
            unpinned.map_err(|error| DetachError::Steps(vec![error]))?;
        }
        if !is_recorded {
            return Ok(());
        }
        record::delete(&self.db, id.to_owned()).await?;
        let strays = lock(&self.table).delete_lost(id);
        let builtin = Arc::clone(self);
        let forget = move || {
            let HostNetwork { settings, .. } = &builtin.host;
            let elements = strays.iter().flat_map(|host_index| plan::sources(settings, *host_index)).collect();
            let rules = builtin.host.delete(&settings.bridge, &elements);
            let known: Vec<_> = strays.iter().flat_map(|host_index| plan::neighbours(settings, *host_index)).collect();
            rules.and(builtin.host.delete_neighbours(&settings.bridge, &known))
        };
        if let Some(Err(error)) = blocking(forget).await {
            tracing::warn!(network_id = %id, %error, "rules of a pod whose record cannot be read stay until the next start");
        }
        Ok(())
    }
}
