//! Our own service.

use std::time::Duration;

use async_trait::async_trait;
use nix::sched::CloneFlags;
use peapod_shim_protocol::extension::{
    EnsureInitRequest, EnsureInitResponse, HelloRequest, HelloResponse, MakeNamespacesRequest, MakeNamespacesResponse,
    OpenAttachRequest, OpenExecRequest, OpenPortForwardRequest, OpenSessionResponse, PauseForRequest, PauseForResponse,
    ReopenLogRequest, ReopenLogResponse, SetUpRequest, StopRequest, StopResponse, WatchRequest, WatchResponse,
};
use peapod_shim_protocol::extension_ttrpc::Extension;
use peapod_shim_protocol::{OLDEST_MASTER, PROTOCOL};
use protobuf::MessageField;
use ttrpc::r#async::TtrpcContext;

use super::Service;
use crate::container::checkpoint;
use crate::error::Error;
use crate::init::User;
use crate::session::{self, AttachSessionRequest, ExecSessionRequest, SessionPlace};

/// The longest a Watch may wait.
const WATCH: Duration = Duration::from_secs(300);

impl Service {
    fn about_itself(&self) -> HelloResponse {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        HelloResponse {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            boot_id: boot_id.trim().to_owned(),
            namespaces: MessageField::some(self.shim.sandbox.namespaces()),
            last_seq: self.shim.events.last(),
            oldest_master: OLDEST_MASTER,
            ..HelloResponse::default()
        }
    }
}

#[async_trait]
impl Extension for Service {
    async fn hello(&self, _: &TtrpcContext, request: HelloRequest) -> ttrpc::Result<HelloResponse> {
        if request.protocol == 0 {
            return Err(Error::Invalid { field: "protocol", why: "0 is no version".to_owned() }.into());
        }
        Ok(self.about_itself())
    }

    async fn make_namespaces(
        &self,
        _: &TtrpcContext,
        request: MakeNamespacesRequest,
    ) -> ttrpc::Result<MakeNamespacesResponse> {
        self.check_sandbox(&request.sandbox_id)?;
        let mut kinds = CloneFlags::empty();
        kinds.set(CloneFlags::CLONE_NEWNET, request.network);
        kinds.set(CloneFlags::CLONE_NEWUTS, request.uts);
        kinds.set(CloneFlags::CLONE_NEWIPC, request.ipc);
        let (uids, gids) = (request.uids.unwrap_or_default(), request.gids.unwrap_or_default());
        self.shim.sandbox.prepare(uids, gids, kinds)?;
        let namespaces = MessageField::some(self.shim.sandbox.namespaces());
        Ok(MakeNamespacesResponse { namespaces, ..MakeNamespacesResponse::default() })
    }

    async fn set_up(&self, _: &TtrpcContext, request: SetUpRequest) -> ttrpc::Result<HelloResponse> {
        self.check_sandbox(&request.sandbox_id)?;
        let (netns, options) = (request.netns_path, request.options.unwrap_or_default());
        self.work(|shim| async move { shim.sandbox.create(netns, options).await }).await?;
        Ok(self.about_itself())
    }

    async fn watch(&self, _: &TtrpcContext, request: WatchRequest) -> ttrpc::Result<WatchResponse> {
        let wait = Duration::from_millis(u64::from(request.wait_ms)).min(WATCH);
        let events = self.shim.events.after(request.after, wait).await;
        Ok(WatchResponse { events, ..WatchResponse::default() })
    }

    async fn stop(&self, _: &TtrpcContext, request: StopRequest) -> ttrpc::Result<StopResponse> {
        // One that is being created has no process to be asked: there will be none.
        if !self.shim.containers.interrupt_create(&request.container_id) {
            self.shim.containers.get(&request.container_id)?.stop(request.signal, request.deadline_boottime_ns)?;
        }
        Ok(StopResponse::new())
    }

    async fn reopen_log(&self, _: &TtrpcContext, request: ReopenLogRequest) -> ttrpc::Result<ReopenLogResponse> {
        self.shim.containers.get(&request.container_id)?.reopen_log()?;
        Ok(ReopenLogResponse::new())
    }

    async fn ensure_init(&self, _: &TtrpcContext, request: EnsureInitRequest) -> ttrpc::Result<EnsureInitResponse> {
        let user = User { uid: request.uid, gid: request.gid, groups: request.groups };
        self.work(|shim| async move { shim.sandbox.ensure_init(user).await }).await?;
        let namespaces = MessageField::some(self.shim.sandbox.namespaces());
        Ok(EnsureInitResponse { namespaces, ..EnsureInitResponse::default() })
    }

    async fn open_exec(&self, _: &TtrpcContext, request: OpenExecRequest) -> ttrpc::Result<OpenSessionResponse> {
        let session = ExecSessionRequest {
            address: SessionPlace::parse(request.session.unwrap_or_default())?,
            container: request.container_id,
            exec: request.exec_id,
            process: request.process,
            streams: session::streams(&request.streams)?,
            leave: request.leave,
        };
        self.work(|shim| session.open(shim)).await?;
        Ok(OpenSessionResponse::new())
    }

    async fn open_attach(&self, _: &TtrpcContext, request: OpenAttachRequest) -> ttrpc::Result<OpenSessionResponse> {
        let session = AttachSessionRequest {
            address: SessionPlace::parse(request.session.unwrap_or_default())?,
            container: request.container_id,
            streams: session::streams(&request.streams)?,
            stdin_once: request.stdin_once,
        };
        self.work(|shim| session.open(shim)).await?;
        Ok(OpenSessionResponse::new())
    }

    async fn open_port_forward(
        &self,
        _: &TtrpcContext,
        request: OpenPortForwardRequest,
    ) -> ttrpc::Result<OpenSessionResponse> {
        self.check_sandbox(&request.sandbox_id)?;
        let address = SessionPlace::parse(request.session.unwrap_or_default())?;
        self.work(|shim| async move { session::forward::open(&shim, &address).await }).await?;
        Ok(OpenSessionResponse::new())
    }

    async fn pause_for(&self, _: &TtrpcContext, request: PauseForRequest) -> ttrpc::Result<PauseForResponse> {
        let container = self.shim.containers.get(&request.container_id)?;
        let limit = Duration::from_millis(u64::from(request.limit_ms));
        self.work(|_| checkpoint::pause_for(container, limit)).await?;
        Ok(PauseForResponse::new())
    }
}
