//! Layers on their way from a registry to a record: who owns what until then.
//!
//! ```text
//! pull            SingleFlight by reference and credentials: the last one who waits cancels it
//!  └─ layer       LayerFlights by registry and chain; a Layer, while a pull has it, by chain alone
//!      └─ blob    Partials: who works on a registry's blob, who writes the file that stays for the next pull
//!          └─ Scratch: the directory that is unpacked into; to the trash when it is dropped, unless it is recorded
//! Hold            by chain: a sweep leaves what a pull counts on, from before it looks until its image is recorded
//! lease           in the records: layers that a container uses
//! ```

use crate::digest::Digest;
use crate::error::PullError;
use crate::fetch::Fresh;
use crate::records::LayerRow;
use crate::single_flight::{FlightOutcome, SingleFlight};
use crate::unpack::{fingerprint, inherit_attributes};
use peapod_measure::Counter;
use peapod_sys::sync::lock;
use peapod_trace::Span;
use std::collections::HashMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

/// An unpacked layer that a pull (or several) will record. Its directory goes with the last of them if none does.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) chain_id: Digest,
    parent: Option<Digest>,
    diff_id: Digest,
    short: String,
    state: Mutex<LayerState>,
}

#[derive(Debug)]
struct LayerState {
    fresh: Fresh,
    /// Known once it is installed.
    fingerprint: String,
    installed: bool,
}

impl Layer {
    pub(crate) fn new(chain_id: Digest, parent: Option<Digest>, diff_id: Digest, fresh: Fresh) -> Self {
        let short = fresh.dir.name().to_owned();
        Self {
            chain_id,
            parent,
            diff_id,
            short,
            state: Mutex::new(LayerState { fresh, fingerprint: String::new(), installed: false }),
        }
    }

    /// Finishes the directory and moves it into `layers`, once. `below` are the layers under it, which are
    /// there already, top layer first. Blocks.
    pub(crate) fn install(&self, layers: &Path, below: &[PathBuf]) -> Result<PathBuf, PullError> {
        let mut state = lock(&self.state);
        if !state.installed {
            let diff = state.fresh.dir.path().join("diff");
            inherit_attributes(state.fresh.dir.path(), below).map_err(|source| PullError::disk(&diff, source))?;
            state.fingerprint = fingerprint(&diff).map_err(|source| PullError::disk(&diff, source))?.to_string();
            state.fresh.dir.move_into(layers).map_err(|source| PullError::disk(layers, source))?;
            state.installed = true;
        }
        Ok(state.fresh.dir.path().join("diff"))
    }

    pub(crate) fn row(&self) -> LayerRow {
        let state = lock(&self.state);
        LayerRow {
            chain_id: self.chain_id.clone(),
            parent: self.parent.clone(),
            diff_id: self.diff_id.clone(),
            short: self.short.clone(),
            bytes: state.fresh.bytes,
            inodes: state.fresh.inodes,
            fingerprint: state.fingerprint.clone(),
        }
    }

    /// The records know of it under `short`: if that is this one, it stays.
    pub(crate) fn recorded_as(&self, short: &str) {
        if self.short == short {
            lock(&self.state).fresh.dir.keep();
        }
    }
}

type Fetched = Result<Arc<Layer>, PullError>;

/// Layers that are being fetched, and those that were and are not recorded yet.
///
/// The same layer of another registry is fetched beside it, so that one that is slow with a layer that many images have
/// holds up none of these; whichever is here first is everybody's.
pub(crate) struct LayerFlights {
    running: Arc<SingleFlight<(String, Digest), Fetched>>,
    fetched: Arc<Mutex<HashMap<Digest, Weak<Layer>>>>,
}

impl LayerFlights {
    pub(crate) fn new() -> Self {
        Self { running: SingleFlight::new(), fetched: Arc::default() }
    }

    /// The layer of this chain: one that is here, what a fetch from this registry that runs already brings, or what
    /// the fetch does that is begun.
    pub(crate) async fn join<F>(
        &self,
        registry: &str,
        chain: &Digest,
        begin: impl FnOnce() -> (Span, F),
        tell: impl FnOnce(&Span),
    ) -> FlightOutcome<Fetched>
    where
        F: Future<Output = Fetched> + Send + 'static,
    {
        if let Some(layer) = self.fetched(chain) {
            return FlightOutcome { result: Some(Ok(layer)), own: false };
        }
        let (fetched, own) = (Arc::clone(&self.fetched), chain.clone());
        let begin = || {
            let (span, fetch) = begin();
            let work = async move {
                let layer = fetch.await?;
                let mut fetched = lock(&fetched);
                fetched.retain(|_, layer| layer.strong_count() > 0);
                fetched.insert(own, Arc::downgrade(&layer));
                Ok(layer)
            };
            (span, work)
        };
        self.running.follow((registry.to_owned(), chain.clone()), begin, tell).await
    }

    /// How many joined a fetch that was running.
    pub(crate) fn joined(&self) -> &Counter {
        self.running.joined()
    }

    fn fetched(&self, chain: &Digest) -> Option<Arc<Layer>> {
        lock(&self.fetched).get(chain).and_then(Weak::upgrade)
    }
}

/// Chains that pulls count on: a sweep leaves them.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    chains: Mutex<HashMap<Digest, usize>>,
}

impl Holds {
    pub(crate) fn hold(self: &Arc<Self>, chains: &[Digest]) -> Hold {
        let mut held = lock(&self.chains);
        for chain in chains {
            *held.entry(chain.clone()).or_default() += 1;
        }
        Hold { holds: Arc::clone(self), chains: chains.to_vec() }
    }

    pub(crate) fn is_held(&self, chain: &Digest) -> bool {
        lock(&self.chains).contains_key(chain)
    }
}

/// Ends when dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    holds: Arc<Holds>,
    chains: Vec<Digest>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = lock(&self.holds.chains);
        for chain in &self.chains {
            if let Some(count) = held.get_mut(chain) {
                *count -= 1;
                if *count == 0 {
                    held.remove(chain);
                }
            }
        }
    }
}
