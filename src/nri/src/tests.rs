//! Plugins that do as they should, and others.

use std::sync::Arc;
use std::time::Duration;

use peapod_trace::Span;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::api::{
    Container, ContainerAdjustment, ContainerUpdate, Event, EventRequest, Hook, Hooks, KeyValue, PodSandbox,
    StateChangeEvent, SynchronizeRequest, UpdateContainerResponse, ValidateContainerAdjustmentRequest,
    ValidateContainerAdjustmentResponse,
};
use crate::call;
use crate::stand_in::{HeardCall, Reply, StandIn, adjusting, reply};
use crate::{InstalledSettings, PluginRefusal, PluginSettings, PluginWishes, Plugins, Rejected, Rules, RuntimeRequest};

const REGISTRATION: Duration = Duration::from_millis(500);
const REQUEST: Duration = Duration::from_millis(300);

/// A runtime, with what it shows.
struct Runtime {
    plugins: Plugins,
    dir: tempfile::TempDir,
    shown: watch::Sender<Vec<String>>,
    wishes: mpsc::UnboundedReceiver<PluginWishes>,
    _tasks: JoinSet<()>,
}

impl Runtime {
    fn new(rules: Rules) -> Self {
        Self::with(rules, None)
    }

    fn with(rules: Rules, installed: Option<InstalledSettings>) -> Self {
        let settings = PluginSettings {
            version: "1",
            registration_timeout: REGISTRATION,
            request_timeout: REQUEST,
            rules,
            installed,
        };
        let (plugins, mut requests) = Plugins::new(Some(settings));
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("nri.sock")).unwrap();
        let (shown, shows) = watch::channel(Vec::new());
        let (wish, wishes) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        let serving = plugins.clone();
        tasks.spawn(async move { match crate::serve(&serving, listener).await {} });
        tasks.spawn(async move {
            while let Some(request) = requests.recv().await {
                match request {
                    RuntimeRequest::Describe(describe) => {
                        let containers = shows.borrow().iter().map(|id: &String| container(id)).collect();
                        let _ = describe.send((vec![pod()], containers));
                    }
                    RuntimeRequest::Update(wishes, done) => {
                        let failed = wishes.updates.iter().filter(|update| update.container_id == "gone").cloned();
                        let _ = done.send(failed.collect());
                        let _ = wish.send(wishes);
                    }
                }
            }
        });
        Self { plugins, dir, shown, wishes, _tasks: tasks }
    }

    async fn stream(&self) -> UnixStream {
        UnixStream::connect(self.dir.path().join("nri.sock")).await.unwrap()
    }

    /// A plugin that is connected and synchronised.
    async fn plugin(&self, name: (&str, &str), events: i32, answer: fn(HeardCall) -> Option<Reply>) -> StandIn {
        let count = self.plugins.names().len();
        let plugin = StandIn::connect(self.stream().await, name, events, move |heard| async move { answer(heard) });
        let plugin = plugin.await.unwrap();
        self.until(|| self.plugins.names().len() == count + 1).await;
        plugin
    }

    async fn until(&self, condition: impl Fn() -> bool) {
        let wait = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
    }

    /// Makes a container, and shows it.
    async fn create(&self, id: &str) -> Result<ContainerAdjustment, PluginRefusal> {
        let begun = self.plugins.begin(id);
        let adjusted = begun.adjust(&pod(), container(id), &Span::default()).await?;
        begun.made();
        self.show(id);
        Ok(adjusted.adjustment)
    }

    fn show(&self, id: &str) {
        self.shown.send_modify(|shown| shown.push(id.to_owned()));
        self.plugins.shows("pod", |other| other == "pod" || self.shown.borrow().iter().any(|shown| shown == other));
    }
}

fn pod() -> PodSandbox {
    PodSandbox { id: "pod".to_owned(), name: "web".to_owned(), ..PodSandbox::default() }
}

fn container(id: &str) -> Container {
    Container { id: id.to_owned(), pod_sandbox_id: "pod".to_owned(), name: id.to_owned(), ..Container::default() }
}

fn env(key: &str, value: &str) -> ContainerAdjustment {
    let variable = KeyValue { key: key.to_owned(), value: value.to_owned(), ..KeyValue::default() };
    ContainerAdjustment { env: vec![variable], ..ContainerAdjustment::default() }
}

fn nothing(_: HeardCall) -> Option<Reply> {
    None
}

fn synchronised(heard: &HeardCall) -> Vec<String> {
    heard.message::<SynchronizeRequest>().containers.into_iter().map(|container| container.id).collect()
}

#[tokio::test]
async fn a_plugin_registers_and_hears_what_happens_in_the_order_of_indices() {
    let runtime = Runtime::new(Rules::default());
    assert!(runtime.plugins.is_idle());
    runtime.show("old");
    let mut late = runtime.plugin(("20", "late"), 0, nothing).await;
    let mut early = runtime.plugin(("10", "early"), 0b1, |_| None).await;
    assert_eq!(runtime.plugins.names(), ["10-early", "20-late"]);
    assert_eq!(late.heard.recv().await.unwrap().method, "Configure");
    assert_eq!(synchronised(&late.heard.recv().await.unwrap()), ["old"]);
    let audience = runtime.plugins.all();
    audience.tell(Event::RUN_POD_SANDBOX, &pod(), None, &Span::default()).await.unwrap();
    let told: EventRequest = late.next("RunPodSandbox").await.unwrap().message();
    assert_eq!((told.pod.name.as_str(), told.container.is_none()), ("web", true));
    early.next("RunPodSandbox").await.unwrap();
    audience.tell(Event::START_CONTAINER, &pod(), Some(&container("old")), &Span::default()).await.unwrap();
    late.next("StartContainer").await.unwrap();
    assert!(early.heard.try_recv().is_err(), "it did not ask for that");
    drop(late);
    runtime.until(|| runtime.plugins.names() == ["10-early"]).await;
}

#[tokio::test]
async fn older_plugins_hear_of_it_by_state_change() {
    let runtime = Runtime::new(Rules::default());
    let answer = |heard: HeardCall| {
        (heard.method == "StopPodSandbox").then(|| Err((call::UNIMPLEMENTED, "not that".to_owned())))
    };
    let mut old = runtime.plugin(("10", "old"), 0, answer).await;
    for _ in 0..2 {
        runtime.plugins.all().tell_after(Event::STOP_POD_SANDBOX, &pod(), None, &Span::default()).await;
        let change: StateChangeEvent = old.next("StateChange").await.unwrap().message();
        assert_eq!(change.event.enum_value(), Ok(Event::STOP_POD_SANDBOX));
    }
    assert!(old.heard.try_recv().is_err(), "it is asked once");
}

#[tokio::test]
async fn who_does_not_register_as_it_should_is_not_let_in() {
    let runtime = Runtime::new(Rules::default());
    let connect = async |name| StandIn::connect(runtime.stream().await, name, 0, |_| async { None }).await;
    for (name, why) in [(("1", "a"), "no index"), (("10", "a b"), "no name"), (("10", ""), "no name")] {
        let error = connect(name).await.unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    let unknown_events = StandIn::connect(runtime.stream().await, ("10", "a"), 1 << 20, |_| async { None }).await;
    assert!(unknown_events.unwrap().ended().await);
    // One that says nothing at all, and one that talks nonsense.
    for bytes in [&b""[..], b"GET / HTTP/1.1\r\n\r\n"] {
        let stream = runtime.stream().await;
        stream.writable().await.unwrap();
        stream.try_write(bytes).unwrap();
        let ended = async {
            let mut buffer = [0; 64];
            loop {
                stream.readable().await.unwrap();
                match stream.try_read(&mut buffer) {
                    Ok(0) => break,
                    Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => break,
                    _ => {}
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
    }
    assert!(runtime.plugins.names().is_empty());
}

#[tokio::test]
async fn one_that_hangs_is_closed_and_harms_nobody_else() {
    let runtime = Runtime::new(Rules::default());
    let adjust = |heard: HeardCall| (heard.method == "CreateContainer").then(|| adjusting(env("A", "1")));
    let mut good = runtime.plugin(("20", "good"), 0, adjust).await;
    let hung = StandIn::connect(runtime.stream().await, ("10", "hung"), 0, |heard| async move {
        if heard.method == "CreateContainer" {
            std::future::pending::<()>().await;
        }
        None
    });
    let hung = hung.await.unwrap();
    runtime.until(|| runtime.plugins.names().len() == 2).await;
    let adjusted = runtime.create("one").await.unwrap();
    assert_eq!(adjusted.env.len(), 1);
    assert!(hung.ended().await);
    good.next("CreateContainer").await.unwrap();
    runtime.until(|| runtime.plugins.names() == ["20-good"]).await;
}

#[tokio::test]
async fn what_plugins_say_against_a_container_refuses_it() {
    let runtime = Runtime::new(Rules { reject: [Rejected::Hooks].into(), ..Rules::default() });
    let _one = runtime
        .plugin(("10", "one"), 0, |heard| {
            let told: EventRequest = match heard.method.as_str() {
                "CreateContainer" => heard.message(),
                _ => return None,
            };
            match told.container.id.as_str() {
                "refused" => Some(Err((2, "not\u{1b} today".to_owned()))),
                "hooks" => {
                    let hooks = Some(Hooks { prestart: vec![Hook::new()], ..Hooks::default() }).into();
                    Some(adjusting(ContainerAdjustment { hooks, ..ContainerAdjustment::default() }))
                }
                _ => Some(adjusting(env("A", "1"))),
            }
        })
        .await;
    let error = runtime.create("refused").await.unwrap_err().to_string();
    assert!(error.starts_with("NRI plugin 10-one refused it (CreateContainer): ") && error.contains("today"));
    let error = runtime.create("hooks").await.unwrap_err().to_string();
    assert_eq!(error, "NRI: 10-one changed what nri.reject forbids: hooks");
    let _two = runtime
        .plugin(("20", "two"), 1 << 3, |heard| (heard.method == "CreateContainer").then(|| adjusting(env("A", "2"))))
        .await;
    let error = runtime.create("both").await.unwrap_err().to_string();
    assert!(error.contains("plugins 10-one and 20-two both set Env \"A\""), "{error}");
}

#[tokio::test]
async fn validators_see_all_of_it_and_may_refuse() {
    let runtime = Runtime::new(Rules::default());
    let adjust = |heard: HeardCall| (heard.method == "CreateContainer").then(|| adjusting(env("A", "1")));
    let _one = runtime.plugin(("10", "one"), 1 << 3, adjust).await;
    let validator = runtime.plugin(("90", "judge"), 1 << 13, |heard| {
        let asked: ValidateContainerAdjustmentRequest = match heard.method.as_str() {
            "ValidateContainerAdjustment" => heard.message(),
            _ => return None,
        };
        assert_eq!(asked.owners.owners["c"].compound[&6].owners["A"], "10-one");
        assert_eq!((asked.plugins.len(), asked.container.env.len(), asked.adjust.env.len()), (2, 0, 1));
        let reason = "no A here".to_owned();
        let verdict = ValidateContainerAdjustmentResponse { reject: true, reason, ..Default::default() };
        Some(reply(&verdict))
    });
    let _validator = validator.await;
    let error = runtime.create("c").await.unwrap_err().to_string();
    assert_eq!(error, "NRI plugin 90-judge refused it (ValidateContainerAdjustment): \"no A here\"");
}

#[tokio::test]
async fn without_a_required_plugin_nothing_is_made() {
    let runtime = Runtime::new(Rules { required: vec!["net".to_owned()], ..Rules::default() });
    let begun = runtime.plugins.begin("c");
    assert!(begun.is_unasked(pod, Some("c")).unwrap_err().to_string().contains("plugin net is required"));
    drop(begun);
    let hang = |heard: HeardCall| async move {
        if heard.method == "RunPodSandbox" {
            std::future::pending::<()>().await;
        }
        None
    };
    let _net = StandIn::connect(runtime.stream().await, ("10", "net"), 0, hang).await.unwrap();
    runtime.until(|| !runtime.plugins.is_idle()).await;
    runtime.create("c").await.unwrap();
    // It hangs: that is no way around it.
    let told = runtime.plugins.all().tell(Event::RUN_POD_SANDBOX, &pod(), None, &Span::default()).await;
    assert!(told.unwrap_err().to_string().contains("plugin net is required"));
}

#[tokio::test]
async fn what_is_made_while_a_plugin_synchronises_is_neither_lost_nor_told_twice() {
    let runtime = Arc::new(Runtime::new(Rules::default()));
    runtime.show("before");
    // It is being made when the plugin comes, and shown after that.
    let making = runtime.plugins.begin("making");
    let (go_on, gate) = watch::channel(false);
    let answer = move |heard: HeardCall| {
        let mut gate = gate.clone();
        async move {
            if heard.method == "Synchronize" {
                gate.wait_for(|open| *open).await.unwrap();
            }
            None
        }
    };
    let mut plugin = StandIn::connect(runtime.stream().await, ("10", "slow"), 0, answer).await.unwrap();
    runtime.until(|| !runtime.plugins.is_idle()).await;
    making.made();
    runtime.show("making");
    // While it synchronises.
    let synchronise = plugin.next("Synchronize").await.unwrap();
    let creating = tokio::spawn({
        let runtime = Arc::clone(&runtime);
        async move { runtime.create("during").await.map(drop) }
    });
    runtime.until(|| runtime.plugins.0.is_under_way()).await;
    go_on.send_replace(true);
    creating.await.unwrap().unwrap();
    runtime.create("after").await.unwrap();
    assert_eq!(synchronised(&synchronise), ["before", "making"]);
    for id in ["during", "after"] {
        let told: EventRequest = plugin.next("CreateContainer").await.unwrap().message();
        assert_eq!(told.container.id, id);
    }
}

#[tokio::test]
async fn plugins_ask_for_updates_unasked() {
    let mut runtime = Runtime::new(Rules::default());
    let plugin = runtime.plugin(("10", "one"), 0, nothing).await;
    let update = |id: &str| ContainerUpdate { container_id: id.to_owned(), ..ContainerUpdate::default() };
    let request =
        UpdateContainerResponse { update: vec![update("there"), update("gone")], ..UpdateContainerResponse::default() };
    let failed = plugin.update(&request).await.unwrap();
    assert_eq!(failed.iter().map(|update| update.container_id.as_str()).collect::<Vec<_>>(), ["gone"]);
    assert_eq!(runtime.wishes.recv().await.unwrap().updates.len(), 2);
    let many = UpdateContainerResponse { update: vec![update("x"); 5000], ..UpdateContainerResponse::default() };
    assert!(plugin.update(&many).await.unwrap_err().contains("4096 are the most"));
}

#[tokio::test]
async fn what_there_is_comes_in_as_many_messages_as_it_takes() {
    let runtime = Runtime::new(Rules::default());
    let long = "x".repeat(64);
    for number in 0..60_000 {
        runtime.shown.send_modify(|shown| shown.push(format!("{number}{long}")));
    }
    let mut plugin = StandIn::connect(runtime.stream().await, ("10", "many"), 0, |_| async { None }).await.unwrap();
    let (mut told, mut messages) = (0, 0);
    loop {
        let heard = plugin.next("Synchronize").await.unwrap();
        let message: SynchronizeRequest = heard.message();
        (told, messages) = (told + message.containers.len(), messages + 1);
        if !message.more {
            break;
        }
    }
    assert!(told == 60_000 && messages > 1, "{told} in {messages}");
}

#[tokio::test]
async fn the_end_of_a_container_is_told_once() {
    let runtime = Runtime::new(Rules::default());
    let mut plugin = runtime.plugin(("10", "one"), 0, nothing).await;
    runtime.plugins.runs("c");
    let audience = runtime.plugins.ended("c");
    audience.tell_stop(&pod(), &container("c"), &Span::default()).await;
    plugin.next("StopContainer").await.unwrap();
    assert!(runtime.plugins.ended("c").is_empty());
    runtime.plugins.close(REQUEST).await;
    plugin.next("Shutdown").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_for_ever_for_plugins_that_are_being_started() {
    let missing = InstalledSettings { programs: "/nowhere".into(), configurations: "/nowhere".into() };
    let runtime = Runtime::with(Rules::default(), Some(missing));
    let installed = runtime.plugins.installed().unwrap();
    assert!(!runtime.plugins.have_started());
    // Whoever should start them does not come to it.
    runtime.plugins.started().await;
    assert!(runtime.plugins.have_started());
    drop(installed);
    assert!(runtime.plugins.have_started());
}
