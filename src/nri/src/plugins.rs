//! All plugins: who asks them, and what they ask for.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use peapod_sys::sync::lock;
use peapod_text::excerpt;
use peapod_trace::Span;
use protobuf::{Message, MessageField};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

use crate::adjust::{MergeError, UpdateMerge, Updates};
use crate::api::{
    Container, ContainerEviction, ContainerUpdate, Event, LinuxResources, PodSandbox, UpdateContainerRequest,
    UpdateContainerResponse, UpdatePodSandboxRequest,
};
use crate::bounds::{CONNECTIONS, REQUESTS};
use crate::call::{self, CallError};
use crate::name::PluginName;
use crate::plugin::{self, Plugin};
use crate::roster::{Joining, Roster};
use crate::validate::{RuleError, Rules};

/// How plugins are dealt with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The runtime's, as plugins are told.
    pub version: &'static str,
    /// From a plugin's connection until it has registered.
    pub registration_timeout: Duration,
    /// For each call.
    pub request_timeout: Duration,
    /// Which plugins there must be, and what none may change.
    pub rules: Rules,
}

/// What plugins, or their connections, ask of the runtime.
#[derive(Debug)]
pub enum RuntimeRequest {
    /// All pods and containers that there are.
    Describe(oneshot::Sender<(Vec<PodSandbox>, Vec<Container>)>),
    /// Updates of containers. The answer has those that failed.
    Update(Wishes, oneshot::Sender<Vec<ContainerUpdate>>),
}

/// What plugins want of other containers than the one that they were asked about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wishes {
    /// Limits to be changed.
    pub updates: Vec<ContainerUpdate>,
    /// Containers to be stopped.
    pub evictions: Vec<ContainerEviction>,
}

impl Wishes {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.updates.is_empty() && self.evictions.is_empty()
    }

    pub(crate) fn of(updates: Updates) -> Self {
        let (updates, evictions) = updates.finish();
        Self { updates, evictions }
    }
}

/// Why something is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

impl Refused {
    pub(crate) fn by(plugin: &PluginName, method: &str, reason: &str) -> Self {
        Self(format!("NRI plugin {plugin} refused it ({method}): {reason}"))
    }
}

impl From<MergeError> for Refused {
    fn from(error: MergeError) -> Self {
        Self(format!("NRI: {error}"))
    }
}

impl From<RuleError> for Refused {
    fn from(error: RuleError) -> Self {
        Self(format!("NRI: {error}"))
    }
}

/// All plugins. Clones are the same.
#[derive(Clone, Debug)]
pub struct Plugins(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    /// None: there are never any.
    pub(crate) settings: Option<Settings>,
    roster: Mutex<Roster<Arc<Plugin>>>,
    /// How many are connected and registered.
    count: AtomicUsize,
    /// Of what is on its way.
    under_way: AtomicUsize,
    /// That something of that is over.
    settled: Notify,
    numbers: AtomicU64,
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) requests: mpsc::Sender<RuntimeRequest>,
}

impl Plugins {
    /// Without any yet; without settings there are never any. Answers also where their requests come out.
    #[must_use]
    pub fn new(settings: Option<Settings>) -> (Self, mpsc::Receiver<RuntimeRequest>) {
        let (requests, asked) = mpsc::channel(REQUESTS);
        let inner = Inner {
            settings,
            roster: Mutex::default(),
            count: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            settled: Notify::new(),
            numbers: AtomicU64::new(0),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            requests,
        };
        (Self(Arc::new(inner)), asked)
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
        let asked = if is_on { self.change(|roster| roster.begin(id)) } else { Vec::new() };
        Begun { plugins: self.clone(), id: id.to_owned(), asked, settles: is_on }
    }

    /// A pod is shown otherwise: with these ids, its own among them; with none, it is shown no more.
    pub fn shows(&self, pod: &str, is_shown: impl Fn(&str) -> bool) {
        if self.0.under_way.load(Ordering::Acquire) > 0 && self.change(|roster| roster.shows(pod, is_shown)) {
            self.0.settled.notify_waiters();
        }
    }

    /// A pod's container, or the pod itself, begins to be removed. Answers who hears of it.
    #[must_use]
    pub fn leave(&self, id: &str, pod: &str) -> Audience {
        let is_on = self.0.settings.is_some();
        let told = if is_on { self.change(|roster| roster.leave(id, pod)) } else { Vec::new() };
        Audience { plugins: self.clone(), told }
    }

    /// Its removal came to nothing.
    pub fn stays(&self, id: &str) {
        if self.0.settings.is_some() {
            self.change(|roster| roster.stays(id));
        }
    }

    /// What was made is thrown away before anybody saw it.
    pub fn discarded(&self, id: &str) {
        if self.0.settings.is_some() && self.change(|roster| roster.settle(id)) {
            self.0.settled.notify_waiters();
        }
    }

    /// Plugins hear that a container is started: its end will be told.
    pub fn runs(&self, id: &str) {
        if !self.is_idle() {
            self.change(|roster| roster.runs(id));
        }
    }

    /// Who hears that a container has ended; nobody if that was told before.
    #[must_use]
    pub fn ended(&self, id: &str) -> Audience {
        let is_new = !self.is_idle() && self.change(|roster| roster.ended(id));
        if is_new { self.all() } else { Audience { plugins: self.clone(), told: Vec::new() } }
    }

    /// All plugins that there are now.
    #[must_use]
    pub fn all(&self) -> Audience {
        let told = if self.is_idle() { Vec::new() } else { lock(&self.0.roster).members().to_vec() };
        Audience { plugins: self.clone(), told }
    }

    /// Has the runtime do what plugins want of other containers, and answers the updates that failed.
    pub async fn carry_out(&self, wishes: Wishes) -> Vec<ContainerUpdate> {
        if wishes.is_empty() {
            return Vec::new();
        }
        let (done, failed) = oneshot::channel();
        match self.0.requests.send(RuntimeRequest::Update(wishes, done)).await {
            Ok(()) => failed.await.unwrap_or_default(),
            Err(_) => Vec::new(),
        }
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
        self.change(|roster| roster.join(plugin))
    }

    pub(crate) fn part(&self, plugin: &Arc<Plugin>) {
        self.change(|roster| roster.part(plugin));
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

    /// Whether all plugins are there that a pod, or a container of it, needs.
    fn check_required(&self, pod: &PodSandbox, container: Option<&Container>) -> Result<(), Refused> {
        let Some(settings) = &self.0.settings else { return Ok(()) };
        let members = lock(&self.0.roster).members().to_vec();
        let there = members.iter().filter(|plugin| !plugin.link.is_closed()).map(|plugin| &plugin.name);
        let container = container.map(|container| container.name.as_str());
        Ok(settings.rules.check_required(pod, container, &there)?)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Roster<Arc<Plugin>>) -> T) -> T {
        let mut roster = lock(&self.0.roster);
        let changed = change(&mut roster);
        self.0.count.store(roster.members().len(), Ordering::Release);
        self.0.under_way.store(roster.under_way(), Ordering::Release);
        changed
    }
}

#[cfg(test)]
impl Inner {
    pub(crate) fn is_under_way(&self) -> bool {
        self.under_way.load(Ordering::Acquire) > 0
    }
}

/// Plugins that are told of something.
#[derive(Clone, Debug)]
pub struct Audience {
    pub(crate) plugins: Plugins,
    pub(crate) told: Vec<Arc<Plugin>>,
}

impl Audience {
    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// Tells an event: each plugin in its turn.
    ///
    /// # Errors
    /// A plugin refused, or one that is required is gone.
    pub async fn tell(
        &self,
        event: Event,
        pod: &PodSandbox,
        container: Option<&Container>,
        span: &Span,
    ) -> Result<(), Refused> {
        let request = plugin::about(pod, container);
        let told = self.told.iter().filter(|plugin| plugin.events.has(event));
        for plugin in told {
            heard(plugin, event, plugin.event(event, &request, span).await)?;
        }
        match event {
            Event::RUN_POD_SANDBOX | Event::START_CONTAINER => self.plugins.check_required(pod, container),
            _ => Ok(()),
        }
    }

    /// The same of what has happened and can't be refused: what plugins say against it is logged.
    pub async fn tell_after(&self, event: Event, pod: &PodSandbox, container: Option<&Container>, span: &Span) {
        let request = plugin::about(pod, container);
        for plugin in self.told.iter().filter(|plugin| plugin.events.has(event)) {
            if let Err(error) = heard(plugin, event, plugin.event(event, &request, span).await) {
                tracing::warn!(%error, "that is past");
            }
        }
    }

    /// Tells that a container has ended, and answers what is wanted of others.
    pub async fn tell_stop(&self, pod: &PodSandbox, container: &Container, span: &Span) -> Wishes {
        let request = plugin::about(pod, Some(container));
        let mut merge = UpdateMerge::of(&container.id, None);
        for plugin in self.told.iter().filter(|plugin| plugin.events.has(Event::STOP_CONTAINER)) {
            let answered = plugin.event(Event::STOP_CONTAINER, &request, span).await;
            let heard = heard(plugin, Event::STOP_CONTAINER, answered);
            let added = heard.and_then(|answer| match parsed::<UpdateContainerResponse>(plugin, answer) {
                Some(response) => Ok(merge.add(&response, &plugin.name)?),
                None => Ok(()),
            });
            if let Err(error) = added {
                tracing::warn!(%error, container = %excerpt(&container.id), "the container has ended all the same");
            }
        }
        Wishes::of(merge.finish().1)
    }

    /// Asks what the limits of a container shall be that somebody changes. Answers them, and what is wanted of others.
    ///
    /// # Errors
    /// A plugin refused, or two want different things.
    pub async fn ask_update(
        &self,
        pod: &PodSandbox,
        container: &Container,
        resources: LinuxResources,
        span: &Span,
    ) -> Result<(LinuxResources, Wishes), Refused> {
        let mut merge = UpdateMerge::of(&container.id, Some(resources));
        for plugin in self.told.iter().filter(|plugin| plugin.events.has(Event::UPDATE_CONTAINER)) {
            let request = UpdateContainerRequest {
                pod: MessageField::some(pod.clone()),
                container: MessageField::some(container.clone()),
                resources: merge.own.clone().into(),
                ..UpdateContainerRequest::default()
            };
            let answer = ask(plugin, Event::UPDATE_CONTAINER, &request, span).await?;
            if let Some(response) = parsed::<UpdateContainerResponse>(plugin, answer) {
                merge.add(&response, &plugin.name)?;
            }
        }
        let (own, updates) = merge.finish();
        Ok((own.unwrap_or_default(), Wishes::of(updates)))
    }

    /// Tells that limits of a pod change.
    ///
    /// # Errors
    /// A plugin refused.
    pub async fn tell_pod_update(
        &self,
        pod: &PodSandbox,
        overhead: LinuxResources,
        resources: LinuxResources,
        span: &Span,
    ) -> Result<(), Refused> {
        let request = UpdatePodSandboxRequest {
            pod: MessageField::some(pod.clone()),
            overhead: MessageField::some(overhead),
            resources: MessageField::some(resources),
            ..UpdatePodSandboxRequest::default()
        };
        for plugin in self.told.iter().filter(|plugin| plugin.events.has(Event::UPDATE_POD_SANDBOX)) {
            ask(plugin, Event::UPDATE_POD_SANDBOX, &request, span).await?;
        }
        Ok(())
    }
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
        Audience { plugins: self.plugins.clone(), told: self.asked.clone() }
    }

    /// Whether nobody has to be asked, and no plugin is required.
    ///
    /// # Errors
    /// A plugin is required that is not there.
    pub fn is_unasked(&self, pod: impl FnOnce() -> PodSandbox, container: Option<&str>) -> Result<bool, Refused> {
        if !self.asked.is_empty() {
            return Ok(false);
        }
        if self.plugins.0.settings.is_some() {
            let named = container.map(|name| Container { name: name.to_owned(), ..Container::default() });
            self.plugins.check_required(&pod(), named.as_ref())?;
        }
        Ok(true)
    }

    /// Whether all plugins are there that are required.
    pub(crate) fn check_required(&self, pod: &PodSandbox, container: &Container) -> Result<(), Refused> {
        self.plugins.check_required(pod, Some(container))
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

/// Calls a plugin; one that can't be called any more answers nothing.
pub(crate) async fn ask(
    plugin: &Plugin,
    event: Event,
    request: &impl Message,
    span: &Span,
) -> Result<Option<Vec<u8>>, Refused> {
    let method = call::method(event).unwrap_or_default();
    let payload = plugin::bytes(request);
    let answered = match payload {
        Ok(payload) => plugin.call(method, payload, span).await,
        Err(error) => Err(error),
    };
    heard(plugin, event, answered)
}

/// What a plugin's answer means: one that can't be called any more is no reason to refuse anything.
fn heard(plugin: &Plugin, event: Event, answered: Result<Vec<u8>, CallError>) -> Result<Option<Vec<u8>>, Refused> {
    let method = call::method(event).unwrap_or_default();
    match answered {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_fatal() => {
            tracing::warn!(plugin = %plugin.name, method, %error, "an NRI plugin is closed; what it was asked goes on");
            Ok(None)
        }
        Err(error) => Err(Refused::by(&plugin.name, method, &error.to_string())),
    }
}

/// What a plugin answered; `None`, and it is closed, if that is nonsense.
pub(crate) fn parsed<T: Message>(plugin: &Plugin, answer: Option<Vec<u8>>) -> Option<T> {
    let answer = answer?;
    let message = T::parse_from_bytes(&answer);
    if message.is_err() {
        plugin.link.close(CallError::Malformed.to_string());
        tracing::warn!(plugin = %plugin.name, "an NRI plugin is closed: it answered what is no answer");
    }
    message.ok()
}
