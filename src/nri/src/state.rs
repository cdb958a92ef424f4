//! What all share that have to do with plugins.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use peapod_sys::sync::lock;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

use crate::adjust::{MergeError, UpdateWishes};
use crate::api::{Container, ContainerEviction, ContainerUpdate, PodSandbox};
use crate::faults::Faults;
use crate::measures::{NriMeasures, RefusalReason};
use crate::name::PluginName;
use crate::plugin::Plugin;
use crate::roster::Roster;
use crate::starting::PluginStarts;
use crate::validate::{RuleError, Rules};

/// How plugins are dealt with.
#[derive(Clone, Debug)]
pub struct PluginSettings {
    /// The runtime's, as plugins are told.
    pub version: &'static str,
    /// From a plugin's connection until it has registered.
    pub registration_timeout: Duration,
    /// For each call.
    pub request_timeout: Duration,
    /// Which plugins there must be, and what none may change.
    pub rules: Rules,
    /// Where plugins are that the runtime starts itself; `None`: it starts none.
    pub installed: Option<InstalledSettings>,
}

/// Where installed plugins are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledSettings {
    /// The folder of the programs, each called `NN-name`.
    pub programs: PathBuf,
    /// That of what each is handed: `NN-name.conf`, or `name.conf`.
    pub configurations: PathBuf,
}

/// What plugins, or their connections, ask of the runtime.
#[derive(Debug)]
pub enum RuntimeRequest {
    /// All pods and containers that there are.
    Describe(oneshot::Sender<(Vec<PodSandbox>, Vec<Container>)>),
    /// UpdateWishes of containers. The answer has those that failed.
    Update(PluginWishes, oneshot::Sender<Vec<ContainerUpdate>>),
}

/// What plugins want of other containers than the one that they were asked about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PluginWishes {
    /// Limits to be changed.
    pub updates: Vec<ContainerUpdate>,
    /// Containers to be stopped.
    pub evictions: Vec<ContainerEviction>,
}

impl PluginWishes {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.updates.is_empty() && self.evictions.is_empty()
    }

    pub(crate) fn of(updates: UpdateWishes) -> Self {
        let (updates, evictions) = updates.finish();
        Self { updates, evictions }
    }
}

/// Why something is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct PluginRefusal {
    reason: RefusalReason,
    text: String,
}

impl PluginRefusal {
    pub(crate) fn by(plugin: &PluginName, method: &str, reason: &str) -> Self {
        let text = format!("NRI plugin {plugin} refused it ({method}): {reason}");
        Self { reason: RefusalReason::Plugin, text }
    }

    /// Why, in short.
    #[must_use]
    pub fn reason(&self) -> RefusalReason {
        self.reason
    }
}

impl From<MergeError> for PluginRefusal {
    fn from(error: MergeError) -> Self {
        let reason = match error {
            MergeError::Conflict(_) => RefusalReason::Conflict,
            _ => RefusalReason::Impossible,
        };
        Self { reason, text: format!("NRI: {error}") }
    }
}

impl From<RuleError> for PluginRefusal {
    fn from(error: RuleError) -> Self {
        let reason = match error {
            RuleError::Missing(_) | RuleError::Annotation { .. } => RefusalReason::Required,
            RuleError::Forbidden { .. } => RefusalReason::Forbidden,
        };
        Self { reason, text: format!("NRI: {error}") }
    }
}

/// What there is of plugins.
#[derive(Debug)]
pub(crate) struct PluginsState {
    /// None: there are never any.
    pub(crate) settings: Option<PluginSettings>,
    pub(crate) roster: Mutex<Roster<Arc<Plugin>>>,
    /// How many are connected and registered.
    pub(crate) count: AtomicUsize,
    /// Of what is on its way.
    pub(crate) under_way: AtomicUsize,
    /// That something of that is over.
    pub(crate) settled: Notify,
    pub(crate) numbers: AtomicU64,
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) starting: PluginStarts,
    /// Installed plugins that do not run, with why; and the folder, if it can't be read.
    pub(crate) down: Mutex<BTreeMap<String, String>>,
    pub(crate) faults: Arc<Mutex<Faults>>,
    pub(crate) measures: NriMeasures,
    pub(crate) requests: mpsc::Sender<RuntimeRequest>,
}

impl PluginsState {
    /// Whether all plugins are there that a pod, or a container of it, needs.
    pub(crate) fn check_required(&self, pod: &PodSandbox, container: Option<&Container>) -> Result<(), PluginRefusal> {
        let Some(settings) = &self.settings else { return Ok(()) };
        let members = lock(&self.roster).members().to_vec();
        let there = members.iter().filter(|plugin| !plugin.link.is_closed()).map(|plugin| &plugin.name);
        let container = container.map(|container| container.name.as_str());
        Ok(settings.rules.check_required(pod, container, &there)?)
    }

    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Roster<Arc<Plugin>>) -> T) -> T {
        let mut roster = lock(&self.roster);
        let changed = change(&mut roster);
        self.count.store(roster.members().len(), Ordering::Release);
        self.under_way.store(roster.under_way(), Ordering::Release);
        changed
    }
}

#[cfg(test)]
impl PluginsState {
    pub(crate) fn is_under_way(&self) -> bool {
        self.under_way.load(Ordering::Acquire) > 0
    }
}
