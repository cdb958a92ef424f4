//! A connection to a CRI socket.

use std::path::PathBuf;

use hyper_util::rt::TokioIo;
use peapod_api::v1;
use peapod_api::v1::image_service_client::ImageServiceClient;
use peapod_api::v1::runtime_service_client::RuntimeServiceClient;
use tokio::net::UnixStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

const MESSAGE_LIMIT: usize = 16 << 20;

/// A client with one connection, which is made when it is needed. Clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
}

impl Client {
    /// A client of the daemon behind this socket; to be made within a runtime.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        let channel =
            Endpoint::from_static("http://peapod").connect_with_connector_lazy(tower::service_fn(move |_| {
                let socket = socket.clone();
                async move { UnixStream::connect(socket).await.map(TokioIo::new) }
            }));
        Self { channel }
    }

    /// The connection itself, for a client with the limits that its library has.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// The runtime service.
    #[must_use]
    pub fn runtime(&self) -> RuntimeServiceClient<Channel> {
        RuntimeServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_LIMIT)
    }

    /// The image service.
    #[must_use]
    pub fn images(&self) -> ImageServiceClient<Channel> {
        ImageServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_LIMIT)
    }

    /// All pods in any state.
    ///
    /// # Errors
    /// What the daemon answers.
    pub async fn pods(&self) -> Result<Vec<v1::PodSandbox>, Status> {
        Ok(self.runtime().list_pod_sandbox(v1::ListPodSandboxRequest::default()).await?.into_inner().items)
    }

    /// All containers in any state.
    ///
    /// # Errors
    /// What the daemon answers.
    pub async fn containers(&self) -> Result<Vec<v1::Container>, Status> {
        Ok(self.runtime().list_containers(v1::ListContainersRequest::default()).await?.into_inner().containers)
    }
}
