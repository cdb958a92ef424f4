//! Taking away what a record says, or what there is without one.

use crate::error::{DetachError, StepError};
use crate::lifecycle::{Inner, blocking, lock};
use crate::link::Routes;
use crate::netns;
use crate::node::Node;
use crate::plan::{self, Lost};
use crate::record;
use crate::work::{self, Undone};
use std::sync::Arc;
use std::time::Instant;

impl Inner {
    /// Takes away what the record says; gives what went wrong. Blocks.
    pub(crate) fn undo(&self, record: &record::Record) -> Vec<StepError> {
        let Undone { rules, known, pin } = work::undo(&self.node, record);
        let rules = rules.or_else(|error| match record.bridge == self.node.settings.bridge {
            // What is leaving is not among the elements.
            true => self.node.rebuild(&self.elements()).map_err(|_| error),
            false => Err(error),
        });
        [rules, known, pin].into_iter().filter_map(Result::err).collect()
    }

    /// Whether this has failed for so long that it is let go. Else counts the failure.
    pub(crate) fn is_given_up(&self, id: &str) -> bool {
        let mut book = lock(&self.book);
        let since = book.entries.get_mut(id).map(|entry| *entry.failing_since.get_or_insert_with(Instant::now));
        since.is_some_and(|since| since.elapsed() >= self.patience)
    }

    /// Links on the node that no record leads to may be those of pods whose records can't be read: they go on sending, and
    /// nobody else gets their numbers.
    pub(crate) async fn find_strays(self: &Arc<Self>) {
        if lock(&self.book).lost.is_empty() {
            return;
        }
        let links = blocking(|| Routes::open().and_then(|mut routes| routes.links())).await;
        let mut book = lock(&self.book);
        for link in links.and_then(Result::ok).unwrap_or_default() {
            if let Some(slot) =
                plan::slot_of(&self.node.settings.bridge, &link.name).filter(|slot| book.pool.reserve(*slot))
            {
                book.strays.insert(slot);
            }
        }
    }

    /// Takes away what can be told by the id alone. The ports went when this process made its tables.
    pub(crate) async fn detach_lost(self: &Arc<Self>, id: &str) -> Result<(), DetachError> {
        if lock(&self.book).lost.get_mut(id).map(|lost| *lost = Lost::Leaving).is_none() {
            return Ok(());
        }
        if plan::is_id(id) {
            let path = self.node.settings.netns_dir.join(record::pin_name(id));
            let unpinned = blocking(move || netns::unpin(&path)).await.ok_or(DetachError::Closed)?;
            unpinned.map_err(|error| DetachError::Steps(vec![error]))?;
        }
        record::remove(&self.db, id.to_owned()).await?;
        let strays = lock(&self.book).forget_lost(id);
        let inner = Arc::clone(self);
        let forget = move || {
            let Node { settings, .. } = &inner.node;
            let elements = strays.iter().flat_map(|slot| plan::sources(settings, *slot)).collect();
            let rules = inner.node.delete(&settings.bridge, &elements);
            let known: Vec<_> = strays.iter().flat_map(|slot| plan::neighbours(settings, *slot)).collect();
            rules.and(inner.node.delete_neighbours(&settings.bridge, &known))
        };
        if let Some(Err(error)) = blocking(forget).await {
            tracing::warn!(network_id = %id, %error, "rules of a pod whose record cannot be read stay until the next start");
        }
        Ok(())
    }
}
