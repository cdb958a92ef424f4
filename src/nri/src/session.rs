//! The life of a plugin's connection: it registers, is configured, synchronised and called, until it leaves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use peapod_sys::sync::lock;
use peapod_text::{excerpt, one_line, shortened};
use protobuf::Message as _;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::api::{
    ConfigureRequest, ConfigureResponse, Container, ContainerState, Empty, PodSandbox, RegisterPluginRequest,
    SynchronizeRequest, SynchronizeResponse, UpdateContainerResponse, UpdateContainersResponse,
};
use crate::bounds::{REASON_BYTES, SENT_BYTES, UPDATES};
use crate::call::{self, PluginCallError};
use crate::link::{IncomingCall, LinkSide, PluginLink};
use crate::name::PluginName;
use crate::plugin::{EventSet, Plugin, PluginIdentity, PluginKind, PluginLimits, bytes};
use crate::plugins::Plugins;
use crate::roster::Joining;
use crate::starting::FirstChance;
use crate::state::{PluginSettings, PluginWishes, RuntimeRequest};

/// The version of the interface that is spoken.
const NRI_VERSION: &str = "v0.12.0";
/// How the runtime is called.
const RUNTIME_NAME: &str = "peapod";
/// What a message to a plugin may have beside pods and containers.
const ENVELOPE: usize = 64 << 10;

/// Where a plugin comes from.
#[derive(Debug)]
pub(crate) enum PluginOrigin {
    /// It has connected to the socket.
    Connected,
    /// The runtime has started it.
    Installed {
        name: PluginName,
        /// What it is handed.
        configuration: String,
        /// Until it is among those that are asked.
        first: Option<FirstChance>,
    },
}

impl PluginOrigin {
    /// Of one that has not said its name.
    fn name(&self) -> String {
        match self {
            Self::Connected => "unknown".to_owned(),
            Self::Installed { name, .. } => name.to_string(),
        }
    }
}

/// Serves a plugin until it leaves, or is closed. One that does not do as it should is named in the log, and harms
/// nobody else.
pub(crate) async fn serve(plugins: &Plugins, stream: UnixStream, origin: PluginOrigin) {
    let Some(settings) = &plugins.0.settings else { return };
    let turned_away = &plugins.0.measures.turned_away;
    let (link, _tasks, incoming) = PluginLink::open(stream, LinkSide::Runtime);
    let (registered, registration) = oneshot::channel();
    let life = async {
        let limit = settings.registration_timeout;
        let name: Result<PluginName, String> = match timeout(limit, registration).await {
            Ok(Ok(name)) => Ok(name),
            Ok(Err(_)) => Err("it left".to_owned()),
            Err(_) => Err(format!("it did not register in {:.1} s", limit.as_secs_f64())),
        };
        match name {
            Ok(said) => {
                let installed = match &origin {
                    // As containerd: its file says how it is called.
                    PluginOrigin::Installed { name, .. } => Some(name.clone()),
                    PluginOrigin::Connected => None,
                };
                live(plugins, settings, &link, (installed.unwrap_or(said), origin)).await;
            }
            Err(reason) => {
                turned_away.increment();
                tracing::warn!(plugin = origin.name(), reason, "an NRI plugin was not let in");
            }
        }
    };
    tokio::select! {
        () = life => {}
        () = answer(plugins, &link, incoming, registered) => {}
        reason = link.closed() => tracing::debug!(reason, "an NRI plugin's connection has ended"),
    }
    link.close("it was let go".to_owned());
}

/// From the registration to the end.
async fn live(
    plugins: &Plugins,
    settings: &PluginSettings,
    link: &PluginLink,
    (name, origin): (PluginName, PluginOrigin),
) {
    let (kind, configuration, first) = match origin {
        PluginOrigin::Connected => (PluginKind::Connected, String::new(), None),
        PluginOrigin::Installed { configuration, first, .. } => (PluginKind::Installed, configuration, first),
    };
    let configured = configure(settings, link, configuration).await;
    let events = match configured {
        Ok(events) => events,
        Err(reason) => {
            plugins.0.measures.turned_away.increment();
            return tracing::warn!(plugin = %name, reason, "an NRI plugin could not be configured");
        }
    };
    let identity = PluginIdentity { name, kind, number: plugins.next_number() };
    let (timeout, measures) = (settings.request_timeout, plugins.0.measures.clone());
    let limits = PluginLimits { timeout, measures, faults: Arc::clone(&plugins.0.faults) };
    let plugin = Plugin::new(identity, events, link.clone(), limits);
    let member = Member { plugins, plugin: &plugin };
    let joining = plugins.join(Arc::clone(&plugin));
    // It is among those that are asked: whatever begins now waits for it by itself.
    drop(first);
    match member.synchronise(&joining, settings).await {
        Ok(wishes) => {
            plugin.is_synchronised();
            tracing::info!(plugin = %plugin.name, "an NRI plugin is connected");
            plugins.carry_out(wishes).await;
        }
        Err(reason) => {
            plugins.0.measures.turned_away.increment();
            tracing::warn!(plugin = %plugin.name, reason, "an NRI plugin could not be synchronised: it is closed");
            return plugin.close_at_fault(reason);
        }
    }
    let reason = link.closed().await;
    let reason = shortened(&one_line(&reason), REASON_BYTES).into_owned();
    tracing::info!(plugin = %plugin.name, reason, "an NRI plugin is gone");
}

async fn configure(settings: &PluginSettings, link: &PluginLink, configuration: String) -> Result<EventSet, String> {
    let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let request = ConfigureRequest {
        config: configuration,
        runtime_name: RUNTIME_NAME.to_owned(),
        runtime_version: settings.version.to_owned(),
        registration_timeout: millis(settings.registration_timeout),
        request_timeout: millis(settings.request_timeout),
        nri_version: NRI_VERSION.to_owned(),
        ..ConfigureRequest::default()
    };
    let asked = async { link.call(call::CONFIGURE, bytes(&request)?, settings.request_timeout).await };
    let answer = asked.await.map_err(|error| error.to_string())?;
    let answer = ConfigureResponse::parse_from_bytes(&answer).map_err(|_| PluginCallError::Malformed.to_string())?;
    EventSet::of(answer.events).ok_or_else(|| format!("it wants events that there are not: {:#x}", answer.events))
}

/// A plugin that is among those that are called, until this is dropped.
struct Member<'a> {
    plugins: &'a Plugins,
    plugin: &'a Arc<Plugin>,
}

impl Member<'_> {
    /// Tells it what there is, and answers what it wants of that. Whatever begins meanwhile waits for it.
    async fn synchronise(&self, joining: &Joining, settings: &PluginSettings) -> Result<PluginWishes, String> {
        let limit = settings.registration_timeout;
        let look = async {
            self.plugins.settled(joining).await;
            let (described, description) = oneshot::channel();
            let sent = self.plugins.0.requests.send(RuntimeRequest::Describe(described)).await;
            sent.map_err(|_| "the daemon ends".to_owned())?;
            description.await.map_err(|_| "the daemon ends".to_owned())
        };
        let looked = timeout(limit, look).await;
        let (mut pods, mut containers) = looked.unwrap_or_else(|_| {
            Err(format!("pods that were being made took more than {:.1} s", limit.as_secs_f64()))
        })?;
        pods.retain(|pod| joining.tells(&pod.id));
        containers.retain(|container| joining.tells(&container.id) && joining.tells(&container.pod_sandbox_id));
        for container in &containers {
            if container.state.enum_value() == Ok(ContainerState::CONTAINER_RUNNING) {
                self.plugins.runs(&container.id);
            }
        }
        for pod in &pods {
            self.plugins.runs(&pod.id);
        }
        // With what it does then a plugin takes longer than with a call; all that is asked meanwhile waits for it.
        let (mut wishes, began) = (PluginWishes::default(), Instant::now());
        for request in messages(pods, containers) {
            let left = limit.saturating_sub(began.elapsed());
            let call = async { self.plugin.call_for(call::SYNCHRONIZE, bytes(&request)?, left).await };
            let answer = call.await.map_err(|error| error.to_string())?;
            let answer =
                SynchronizeResponse::parse_from_bytes(&answer).map_err(|_| PluginCallError::Malformed.to_string())?;
            if request.more && !(answer.more && answer.update.is_empty()) {
                return Err("it does not take what there is in more than one message".to_owned());
            }
            wishes.updates.extend(answer.update);
        }
        if wishes.updates.len() > UPDATES {
            return Err(format!("it asks for {} updates; {UPDATES} are the most", wishes.updates.len()));
        }
        Ok(wishes)
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        self.plugins.part(self.plugin);
    }
}

/// What there is, in as many messages as it takes.
fn messages(pods: Vec<PodSandbox>, containers: Vec<Container>) -> Vec<SynchronizeRequest> {
    let (most, mut all) = (SENT_BYTES - ENVELOPE, vec![SynchronizeRequest::new()]);
    let mut filled = 0;
    let mut place = |bytes: u64, all: &mut Vec<SynchronizeRequest>| {
        // With tag and length.
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_add(16);
        filled += bytes;
        if filled > most {
            filled = bytes;
            all.push(SynchronizeRequest::new());
        }
    };
    for pod in pods {
        place(pod.compute_size(), &mut all);
        if let Some(last) = all.last_mut() {
            last.pods.push(pod);
        }
    }
    for mut container in containers {
        if container.compute_size() > u64::try_from(most).unwrap_or(u64::MAX) {
            tracing::warn!(container = %excerpt(&container.id), "NRI plugins are told its name alone: it is too long");
            container = Container {
                id: container.id,
                pod_sandbox_id: container.pod_sandbox_id,
                name: container.name,
                state: container.state,
                ..Container::default()
            };
        }
        place(container.compute_size(), &mut all);
        if let Some(last) = all.last_mut() {
            last.containers.push(container);
        }
    }
    let count = all.len();
    for (number, message) in all.iter_mut().enumerate() {
        message.more = number + 1 < count;
    }
    all
}

/// Answers what a plugin asks, one request after the other.
async fn answer(
    plugins: &Plugins,
    link: &PluginLink,
    mut incoming: mpsc::Receiver<IncomingCall>,
    registered: oneshot::Sender<PluginName>,
) {
    let mut registered = Some(registered);
    while let Some(IncomingCall { stream, call }) = incoming.recv().await {
        let result = match (call.service.as_str(), call.method.as_str()) {
            (call::RUNTIME, call::REGISTER) => register(plugins, &call.payload, &mut registered),
            (call::RUNTIME, call::UPDATE_CONTAINERS) if registered.is_none() => {
                update_unasked(plugins, &call.payload).await
            }
            (_, method) => Err((call::UNIMPLEMENTED, format!("there is no {} here, or not yet", excerpt(method)))),
        };
        link.answer(stream, result).await;
    }
    // Somebody else says why.
    link.closed().await;
}

fn register(
    plugins: &Plugins,
    payload: &[u8],
    registered: &mut Option<oneshot::Sender<PluginName>>,
) -> Result<Vec<u8>, (i32, String)> {
    let invalid = |reason: String| (call::INVALID_ARGUMENT, reason);
    let request = RegisterPluginRequest::parse_from_bytes(payload).map_err(|error| invalid(error.to_string()))?;
    let name = PluginName::new(&request.plugin_idx, &request.plugin_name);
    let name = name.map_err(|error| invalid(error.to_string()))?;
    if let Some(pause) = lock(&plugins.0.faults).pause(&name, Instant::now()) {
        let seconds = pause.as_secs() + 1;
        return Err((
            call::UNAVAILABLE,
            format!("{name} was closed for a fault: it can register in {seconds} s again"),
        ));
    }
    let registered = registered.take().ok_or_else(|| invalid("this plugin has registered before".to_owned()))?;
    tracing::debug!(plugin = %name, version = %excerpt(&request.nri_version), "an NRI plugin registers");
    // If nobody waits, it was too late.
    let _ = registered.send(name);
    bytes(&Empty::new()).map_err(|error| (call::UNKNOWN, error.to_string()))
}

async fn update_unasked(plugins: &Plugins, payload: &[u8]) -> Result<Vec<u8>, (i32, String)> {
    let request = UpdateContainerResponse::parse_from_bytes(payload);
    let request = request.map_err(|error| (call::INVALID_ARGUMENT, error.to_string()))?;
    let count = request.update.len() + request.evict.len();
    if count > UPDATES {
        return Err((call::RESOURCE_EXHAUSTED, format!("{count} updates at once; {UPDATES} are the most")));
    }
    let wishes = PluginWishes { updates: request.update, evictions: request.evict };
    let failed = plugins.carry_out(wishes).await;
    let response = UpdateContainersResponse { failed, ..UpdateContainersResponse::default() };
    bytes(&response).map_err(|error| (call::UNKNOWN, error.to_string()))
}
