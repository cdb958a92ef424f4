//! A plugin for tests, which does what it is told.

use std::pin::Pin;
use std::time::Duration;

use protobuf::{Message, MessageField};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::api::{
    ConfigureResponse, ContainerAdjustment, ContainerUpdate, CreateContainerResponse, Empty, RegisterPluginRequest,
    UpdateContainerResponse, UpdateContainersResponse,
};
use crate::call;
use crate::link::{LinkSide, PluginLink};

/// How long its own calls may take.
const LIMIT: Duration = Duration::from_secs(20);

/// What it was called.
#[derive(Clone, Debug, PartialEq)]
pub struct HeardCall {
    /// `CreateContainer`, …
    pub method: String,
    /// The message.
    pub payload: Vec<u8>,
}

impl HeardCall {
    /// The message, taken apart. An empty one if it is another.
    #[must_use]
    pub fn message<T: Message>(&self) -> T {
        T::parse_from_bytes(&self.payload).unwrap_or_default()
    }
}

/// What it answers.
pub type Reply = Result<Vec<u8>, (i32, String)>;
type Answering = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// A plugin that is connected. Dropped, it leaves.
#[derive(Debug)]
pub struct StandIn {
    link: PluginLink,
    /// All that it was called, in order.
    pub heard: mpsc::UnboundedReceiver<HeardCall>,
    _tasks: JoinSet<()>,
}

/// A message as an answer.
pub fn reply(message: &impl Message) -> Reply {
    message.write_to_bytes().map_err(|error| (call::UNKNOWN, error.to_string()))
}

/// An answer that adjusts a container.
pub fn adjusting(adjust: ContainerAdjustment) -> Reply {
    reply(&CreateContainerResponse { adjust: MessageField::some(adjust), ..CreateContainerResponse::default() })
}

impl StandIn {
    /// Registers under an index and a name, for these events (none: all), and answers calls as `answer` does; what that
    /// has no answer for gets an empty one.
    ///
    /// # Errors
    /// The runtime's, in its words.
    pub async fn connect<F, A>(
        stream: UnixStream,
        (index, name): (&str, &str),
        events: i32,
        answer: F,
    ) -> Result<Self, String>
    where
        F: Fn(HeardCall) -> A + Send + Sync + 'static,
        A: Future<Output = Option<Reply>> + Send + 'static,
    {
        let (link, tasks, mut incoming) = PluginLink::open(stream, LinkSide::Plugin);
        let (hear, heard) = mpsc::unbounded_channel();
        let (mut own, answering) = (JoinSet::new(), link.clone());
        own.spawn(async move {
            let _tasks = tasks;
            let mut calls = JoinSet::new();
            while let Some(call) = incoming.recv().await {
                let told = HeardCall { method: call.call.method, payload: call.call.payload };
                let _ = hear.send(told.clone());
                let usual = if told.method == call::CONFIGURE {
                    reply(&ConfigureResponse { events, ..ConfigureResponse::default() })
                } else if told.method == call::SYNCHRONIZE {
                    let more = told.message::<crate::api::SynchronizeRequest>().more;
                    reply(&crate::api::SynchronizeResponse { more, ..crate::api::SynchronizeResponse::default() })
                } else {
                    reply(&Empty::new())
                };
                let answer = answer(told);
                let answer: Answering = Box::pin(async move { answer.await.unwrap_or(usual) });
                let (link, stream) = (answering.clone(), call.stream);
                calls.spawn(async move { link.answer(stream, answer.await).await });
            }
        });
        let plugin = Self { link, heard, _tasks: own };
        let request = RegisterPluginRequest {
            plugin_name: name.to_owned(),
            plugin_idx: index.to_owned(),
            ..RegisterPluginRequest::default()
        };
        plugin.call(call::REGISTER, &request).await?;
        Ok(plugin)
    }

    /// Asks for updates of containers, and answers the ids of those that failed.
    ///
    /// # Errors
    /// The runtime's, in its words.
    pub async fn update(&self, request: &UpdateContainerResponse) -> Result<Vec<ContainerUpdate>, String> {
        let answer = self.call(call::UPDATE_CONTAINERS, request).await?;
        let answer = UpdateContainersResponse::parse_from_bytes(&answer);
        answer.map(|answer| answer.failed).map_err(|error| error.to_string())
    }

    /// The next call of that method, whatever comes before it.
    pub async fn next(&mut self, method: &str) -> Option<HeardCall> {
        loop {
            let heard = tokio::time::timeout(LIMIT, self.heard.recv()).await.ok()??;
            if heard.method == method {
                return Some(heard);
            }
        }
    }

    /// Waits until the runtime ends it.
    pub async fn ended(&self) -> bool {
        tokio::time::timeout(LIMIT, self.link.closed()).await.is_ok()
    }

    async fn call(&self, method: &str, request: &impl Message) -> Result<Vec<u8>, String> {
        let payload = request.write_to_bytes().map_err(|error| error.to_string())?;
        self.link.call(method, payload, LIMIT).await.map_err(|error| error.to_string())
    }
}
