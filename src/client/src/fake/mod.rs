//! A CRI runtime for tests, whose containers are plain processes of this machine.
//!
//! A container's mounts are told to its process by variables: `AT_www` is the host's path of `/www`.

mod image;
mod lost;
mod process;
mod runtime;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use peapod_api::v1;
use peapod_api::v1::image_service_server::ImageServiceServer;
use peapod_api::v1::runtime_service_server::RuntimeServiceServer;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;

pub(crate) use lost::LostCall;
use process::Process;

/// The runtime; clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<State>>);

#[derive(Default)]
pub(crate) struct State {
    pub(crate) pods: BTreeMap<String, (v1::PodSandboxConfig, bool)>,
    pub(crate) containers: BTreeMap<String, Container>,
    pub(crate) images: Vec<v1::Image>,
    /// Names of the calls, in their order, but for lists and statuses.
    pub(crate) calls: Vec<String>,
    /// This call fails with this message.
    pub(crate) fails: Option<(&'static str, &'static str)>,
    /// The next answer to each of these calls is lost.
    pub(crate) loses: Vec<(&'static str, LostCall)>,
    /// This call waits as long as this stands here.
    pub(crate) hangs: Option<&'static str>,
    /// How many such calls came.
    pub(crate) hung: usize,
    /// Connections, to be cut.
    connections: Vec<tokio::task::AbortHandle>,
    count: usize,
}

pub(crate) struct Container {
    pub(crate) pod: String,
    pub(crate) config: v1::ContainerConfig,
    process: Option<Process>,
}

impl Fake {
    /// Serves on a socket in a directory; answers the endpoint.
    pub(crate) fn serve(&self, dir: &std::path::Path) -> String {
        let (path, inner): (PathBuf, PathBuf) = (dir.join("fake.sock"), dir.join("inner.sock"));
        let listener = UnixListener::bind(&inner).unwrap();
        let server = tonic::transport::Server::builder()
            .add_service(RuntimeServiceServer::new(self.clone()))
            .add_service(ImageServiceServer::new(self.clone()))
            .serve_with_incoming(UnixListenerStream::new(listener));
        tokio::spawn(server);
        tokio::spawn(lost::forward(self.clone(), UnixListener::bind(&path).unwrap(), inner));
        format!("unix://{}", path.display())
    }

    /// Looks at the state, or changes it.
    pub(crate) fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// What `pull` finds in the one registry that there is.
    pub(crate) fn with_image(self, name: &str) -> Self {
        self.state(|state| state.add_image(name));
        self
    }

    /// The calls so far, without those that only look.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.state(|state| state.calls.clone())
    }

    fn called(&self, name: &'static str, about: &str) -> Result<(), tonic::Status> {
        self.state(|state| {
            state.calls.push(format!("{name} {about}").trim_end().to_owned());
            match state.fails {
                Some((rpc, message)) if rpc == name => Err(tonic::Status::unknown(message)),
                _ => Ok(()),
            }
        })
    }
}

impl State {
    fn new_id(&mut self) -> String {
        self.count += 1;
        format!("{:064x}", 0xfa4e_0000_0000_u64 + self.count as u64)
    }

    fn add_image(&mut self, name: &str) {
        let id = format!("sha256:{:064x}", self.images.len() + 1);
        let image = v1::Image { id, repo_tags: vec![name.to_owned()], size: 1_500_000, ..Default::default() };
        self.images.push(image);
    }
}

fn missing(id: &str) -> tonic::Status {
    tonic::Status::not_found(format!("there is no {id}"))
}
