//! containerd's Sandbox service.

use async_trait::async_trait;
use containerd_shim_protos::sandbox_api::{
    CreateSandboxRequest, CreateSandboxResponse, PingRequest, PingResponse, PlatformRequest, PlatformResponse,
    SandboxMetricsRequest, SandboxMetricsResponse, SandboxStatusRequest, SandboxStatusResponse, ShutdownSandboxRequest,
    ShutdownSandboxResponse, StartSandboxRequest, StartSandboxResponse, StopSandboxRequest, StopSandboxResponse,
    WaitSandboxRequest, WaitSandboxResponse,
};
use containerd_shim_protos::sandbox_async::Sandbox;
use containerd_shim_protos::types::platform::Platform;
use peapod_shim_protocol::SANDBOX_OPTIONS_URL;
use peapod_shim_protocol::extension::SandboxOptions;
use protobuf::{Message, MessageField};
use ttrpc::r#async::TtrpcContext;

use super::Service;
use crate::clock::timestamp;
use crate::error::Error;
use crate::sandbox::SandboxStop;
use crate::settle;

impl Service {
    /// A shim serves one pod.
    pub(super) fn check_sandbox(&self, id: &str) -> Result<(), Error> {
        if id == self.shim.sandbox.id { Ok(()) } else { Err(Error::NotFound { kind: "sandbox", id: id.to_owned() }) }
    }

    fn created(&self, id: &str) -> Result<i64, Error> {
        self.check_sandbox(id)?;
        match self.shim.sandbox.created_at() {
            0 => Err(Error::State { kind: "sandbox", id: id.to_owned(), is: "not created", wanted: "created" }),
            at => Ok(at),
        }
    }
}

fn options(request: &CreateSandboxRequest) -> Result<SandboxOptions, Error> {
    let invalid = |why: String| Error::Invalid { field: "options", why };
    let any = request.options.as_ref().ok_or_else(|| invalid("are missing".to_owned()))?;
    if any.type_url != SANDBOX_OPTIONS_URL {
        return Err(invalid(format!("are of type {:?}; {SANDBOX_OPTIONS_URL:?} is understood", any.type_url)));
    }
    SandboxOptions::parse_from_bytes(&any.value).map_err(|error| invalid(error.to_string()))
}

#[async_trait]
impl Sandbox for Service {
    async fn create_sandbox(
        &self,
        _: &TtrpcContext,
        request: CreateSandboxRequest,
    ) -> ttrpc::Result<CreateSandboxResponse> {
        self.check_sandbox(&request.sandbox_id)?;
        let options = options(&request)?;
        self.work(|shim| async move { shim.sandbox.create(request.netns_path, options).await }).await?;
        settle::soon();
        Ok(CreateSandboxResponse::new())
    }

    async fn start_sandbox(
        &self,
        _: &TtrpcContext,
        request: StartSandboxRequest,
    ) -> ttrpc::Result<StartSandboxResponse> {
        let created_at = timestamp(self.created(&request.sandbox_id)?);
        let pid = self.shim.sandbox.init_pid();
        Ok(StartSandboxResponse { pid, created_at, ..StartSandboxResponse::default() })
    }

    async fn platform(&self, _: &TtrpcContext, request: PlatformRequest) -> ttrpc::Result<PlatformResponse> {
        self.check_sandbox(&request.sandbox_id)?;
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let platform =
            Platform { os: "linux".to_owned(), architecture: architecture.to_owned(), ..Platform::default() };
        Ok(PlatformResponse { platform: MessageField::some(platform), ..PlatformResponse::default() })
    }

    async fn stop_sandbox(&self, _: &TtrpcContext, request: StopSandboxRequest) -> ttrpc::Result<StopSandboxResponse> {
        self.check_sandbox(&request.sandbox_id)?;
        self.work(|shim| async move { shim.stop().await }).await?;
        Ok(StopSandboxResponse::new())
    }

    async fn wait_sandbox(&self, _: &TtrpcContext, request: WaitSandboxRequest) -> ttrpc::Result<WaitSandboxResponse> {
        self.check_sandbox(&request.sandbox_id)?;
        let exited_at = timestamp(self.shim.sandbox.wait_stopped().await);
        Ok(WaitSandboxResponse { exited_at, ..WaitSandboxResponse::default() })
    }

    async fn sandbox_status(
        &self,
        _: &TtrpcContext,
        request: SandboxStatusRequest,
    ) -> ttrpc::Result<SandboxStatusResponse> {
        self.check_sandbox(&request.sandbox_id)?;
        let sandbox = &self.shim.sandbox;
        let (state, exited_at) = match sandbox.stop_state() {
            SandboxStop::Stopped { at } => ("SANDBOX_NOTREADY", at),
            SandboxStop::Stopping => ("SANDBOX_NOTREADY", 0),
            SandboxStop::No if sandbox.created_at() == 0 => ("SANDBOX_NOTREADY", 0),
            SandboxStop::No => ("SANDBOX_READY", 0),
        };
        Ok(SandboxStatusResponse {
            sandbox_id: request.sandbox_id,
            pid: sandbox.init_pid(),
            state: state.to_owned(),
            created_at: timestamp(sandbox.created_at()),
            exited_at: timestamp(exited_at),
            ..SandboxStatusResponse::default()
        })
    }

    async fn ping_sandbox(&self, _: &TtrpcContext, request: PingRequest) -> ttrpc::Result<PingResponse> {
        self.check_sandbox(&request.sandbox_id)?;
        Ok(PingResponse::new())
    }

    async fn shutdown_sandbox(
        &self,
        _: &TtrpcContext,
        request: ShutdownSandboxRequest,
    ) -> ttrpc::Result<ShutdownSandboxResponse> {
        self.check_sandbox(&request.sandbox_id)?;
        self.work(|shim| async move { shim.stop().await.map(|()| shim.end()) }).await?;
        Ok(ShutdownSandboxResponse::new())
    }

    async fn sandbox_metrics(
        &self,
        _: &TtrpcContext,
        _: SandboxMetricsRequest,
    ) -> ttrpc::Result<SandboxMetricsResponse> {
        Self::unsupported("SandboxMetrics: the daemon reads cgroups itself, and so it")
    }
}
