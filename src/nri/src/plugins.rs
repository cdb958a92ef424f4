//! All plugins: who asks them, and what they ask for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use peapod_sys::sync::lock;
use peapod_trace::Span;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

use crate::api::{Container, ContainerUpdate, PodSandbox};
use crate::audience::Audience;
use crate::bounds::{CONNECTIONS, REQUESTS, START_TIME, UPDATE_TIME};
use crate::measures::NriMeasures;
use crate::plugin::{Plugin, PluginKind};
use crate::roster::Joining;
use crate::stages;
use crate::starting::{FirstChance, PluginStarts};
use crate::state::{InstalledSettings, PluginRefusal, PluginSettings, PluginWishes, PluginsState, RuntimeRequest};
use crate::validate::Rules;

/// All plugins. Clones are the same.
#[derive(Clone, Debug)]
pub struct Plugins(pub(crate) Arc<PluginsState>);

impl Plugins {
    /// Without any yet; without settings there are never any. Answers also where their requests come out.
    #[must_use]
    pub fn new(settings: Option<PluginSettings>) -> (Self, mpsc::Receiver<RuntimeRequest>) {
        let (requests, asked) = mpsc::channel(REQUESTS);
        let inner = PluginsState {
            settings,
            roster: Mutex::default(),
            count: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            settled: Notify::new(),
            numbers: AtomicU64::new(0),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            starting: PluginStarts::default(),
            down: Mutex::default(),
            faults: Arc::default(),
            measures: NriMeasures::default(),
            requests,
        };
        (Self(Arc::new(inner)), asked)
    }

    /// What is counted of plugins.
    #[must_use]
    pub fn measures(&self) -> &NriMeasures {
        &self.0.measures
    }

    /// Whether installed plugins have been started, and each of them was let in or had its time.
    #[must_use]
    pub fn have_started(&self) -> bool {
        self.0.starting.is_over()
    }

    /// Waits for that: not longer than the start of a process, its registration and its configuration may take. After
    /// that nobody waits any more.
    pub async fn started(&self) {
        let limits = self.0.settings.as_ref().map(|settings| settings.registration_timeout + settings.request_timeout);
        let limit = START_TIME + limits.unwrap_or_default();
        if tokio::time::timeout(limit, self.0.starting.over()).await.is_err() {
            let seconds = limit.as_secs();
            tracing::warn!(seconds, "installed NRI plugins take too long to be started: pods are made without them");
            self.0.starting.give_up();
        }
    }

    /// All plugins that there are now, in the order in which they are called.
    #[must_use]
    pub fn list(&self) -> Vec<PluginSummary> {
        let members = lock(&self.0.roster).members().to_vec();
        let summary = |plugin: &Arc<Plugin>| PluginSummary {
            name: plugin.name.to_string(),
            kind: plugin.kind,
            is_ready: plugin.is_ready(),
            events: plugin.events.names().collect(),
        };
        members.iter().map(summary).collect()
    }

    /// Installed plugins that do not run, by name, with why.
    #[must_use]
    pub fn down(&self) -> BTreeMap<String, String> {
        lock(&self.0.down).clone()
    }

    /// What installed plugins there are shall be started: what is made from now on waits for them.
    #[must_use]
    pub fn installed(&self) -> Option<InstalledPlugins> {
        let settings = self.0.settings.as_ref()?.installed.clone()?;
        Some(InstalledPlugins { plugins: self.clone(), settings, chance: self.0.starting.begin() })
    }

    /// Whether nobody wants to hear of anything.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.0.count.load(Ordering::Acquire) == 0
    }

    /// Names of the plugins, in the order in which they are called.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        lock(&self.0.roster).members().iter().map(|plugin| plugin.name.to_string()).collect()
    }

    /// A pod or container begins to be made: from here on plugins that come wait until it is shown or gone.
    #[must_use]
    pub fn begin(&self, id: &str) -> Begun {
        let is_on = self.0.settings.is_some();
        let asked = if is_on { self.0.change(|roster| roster.begin(id)) } else { Vec::new() };
        Begun { plugins: self.clone(), id: id.to_owned(), asked, settles: is_on }
    }

    /// A pod is shown otherwise: with these ids, its own among them; with none, it is shown no more.
    pub fn shows(&self, pod: &str, is_shown: impl Fn(&str) -> bool) {
        if self.0.under_way.load(Ordering::Acquire) > 0 && self.0.change(|roster| roster.shows(pod, is_shown)) {
            self.0.settled.notify_waiters();
        }
    }

    /// A pod's container, or the pod itself, begins to be removed. Answers who hears of it.
    #[must_use]
    pub fn leave(&self, id: &str, pod: &str) -> Audience {
        let is_on = self.0.settings.is_some();
        let told = if is_on { self.0.change(|roster| roster.leave(id, pod)) } else { Vec::new() };
        Audience { state: Arc::clone(&self.0), told }
    }

    /// Its removal came to nothing.
    pub fn stays(&self, id: &str) {
        if self.0.settings.is_some() {
            self.0.change(|roster| roster.stays(id));
        }
    }

    /// What was made is thrown away before anybody saw it.
    pub fn discarded(&self, id: &str) {
        if self.0.settings.is_some() && self.0.change(|roster| roster.settle(id)) {
            self.0.settled.notify_waiters();
        }
    }

    /// Plugins hear that a container is started: its end will be told.
    pub fn runs(&self, id: &str) {
        if !self.is_idle() {
            self.0.change(|roster| roster.runs(id));
        }
    }

    /// Who hears that a container has ended; nobody if that was told before.
    #[must_use]
    pub fn ended(&self, id: &str) -> Audience {
        let is_new = !self.is_idle() && self.0.change(|roster| roster.ended(id));
        if is_new { self.all() } else { Audience { state: Arc::clone(&self.0), told: Vec::new() } }
    }

    /// All plugins that there are now.
    #[must_use]
    pub fn all(&self) -> Audience {
        let told = if self.is_idle() { Vec::new() } else { lock(&self.0.roster).members().to_vec() };
        Audience { state: Arc::clone(&self.0), told }
    }

    /// As [`Plugins::carry_out`], for a call that waits for it: what is not done in time has failed.
    pub async fn carry_out_for(&self, wishes: PluginWishes, span: &Span) -> Vec<ContainerUpdate> {
        if wishes.is_empty() {
            return Vec::new();
        }
        let (updates, waiting) = (wishes.updates.clone(), span.begin(&stages::UPDATES));
        let done = tokio::time::timeout(UPDATE_TIME, self.carry_out(wishes)).await;
        if done.is_err() {
            tracing::warn!(seconds = UPDATE_TIME.as_secs(), "what NRI plugins want of other containers takes too long");
        }
        drop(waiting);
        done.unwrap_or(updates)
    }

    /// Has the runtime do what plugins want of other containers, and answers the updates that failed. Dropped, it does
    /// no more.
    pub async fn carry_out(&self, wishes: PluginWishes) -> Vec<ContainerUpdate> {
        if wishes.is_empty() {
            return Vec::new();
        }
        let count = |list: usize| u64::try_from(list).unwrap_or(u64::MAX);
        let measures = &self.0.measures;
        measures.updates.add(count(wishes.updates.len()));
        measures.evictions.add(count(wishes.evictions.len()));
        let (done, failed) = oneshot::channel();
        let failed = match self.0.requests.send(RuntimeRequest::Update(wishes, done)).await {
            Ok(()) => failed.await.unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        measures.failed_updates.add(count(failed.len()));
        failed
    }

    /// Tells all plugins that the daemon ends.
    pub async fn close(&self, limit: Duration) {
        let mut farewells = tokio::task::JoinSet::new();
        for plugin in self.all().told {
            farewells.spawn(async move { plugin.farewell(limit).await });
        }
        farewells.join_all().await;
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.0.numbers.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn join(&self, plugin: Arc<Plugin>) -> Joining {
        self.0.change(|roster| roster.join(plugin))
    }

    pub(crate) fn part(&self, plugin: &Arc<Plugin>) {
        self.0.change(|roster| roster.part(plugin));
    }

    /// Waits until everything is shown or gone that had begun when a plugin came.
    pub(crate) async fn settled(&self, joining: &Joining) {
        loop {
            let settled = self.0.settled.notified();
            if lock(&self.0.roster).is_settled(joining) {
                return;
            }
            settled.await;
        }
    }
}

/// A plugin, as people are shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginSummary {
    /// With its index.
    pub name: String,
    /// How it has come.
    pub kind: PluginKind,
    /// Whether it has been told what there is.
    pub is_ready: bool,
    /// What it hears of.
    pub events: Vec<&'static str>,
}

/// Installed plugins that are to be started.
#[derive(Debug)]
pub struct InstalledPlugins {
    pub(crate) plugins: Plugins,
    pub(crate) settings: InstalledSettings,
    pub(crate) chance: FirstChance,
}

/// Something that is being made. Dropped, it is taken for gone.
#[derive(Debug)]
pub struct Begun {
    plugins: Plugins,
    pub(crate) id: String,
    asked: Vec<Arc<Plugin>>,
    settles: bool,
}

impl Begun {
    /// Who is asked, and hears what comes of it.
    #[must_use]
    pub fn audience(&self) -> Audience {
        Audience { state: Arc::clone(&self.plugins.0), told: self.asked.clone() }
    }

    /// Whether nobody has to be asked, and no plugin is required.
    ///
    /// # Errors
    /// A plugin is required that is not there.
    pub fn is_unasked(&self, pod: impl FnOnce() -> PodSandbox, container: Option<&str>) -> Result<bool, PluginRefusal> {
        if !self.asked.is_empty() {
            return Ok(false);
        }
        if self.plugins.0.settings.is_some() {
            let named = container.map(|name| Container { name: name.to_owned(), ..Container::default() });
            self.plugins.0.check_required(&pod(), named.as_ref())?;
        }
        Ok(true)
    }

    /// Whether all plugins are there that are required.
    pub(crate) fn check_required(&self, pod: &PodSandbox, container: &Container) -> Result<(), PluginRefusal> {
        self.plugins.0.check_required(pod, Some(container))
    }

    pub(crate) fn rules(&self) -> Option<&Rules> {
        self.plugins.0.settings.as_ref().map(|settings| &settings.rules)
    }

    pub(crate) fn asked(&self) -> &[Arc<Plugin>] {
        &self.asked
    }

    /// It is made: it is over when it is shown, or [discarded](Plugins::discarded).
    pub fn made(mut self) {
        self.settles = false;
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if self.settles {
            self.plugins.discarded(&self.id);
        }
    }
}
