//! Probes and hooks, made: in the container by the runtime, over the network by this process.

mod dial;
mod grpc;
mod http;

use std::time::Duration;

use peapod_api::v1;
use peapod_text::collapsed;
use tonic::Code;

use super::machine::Probed;
use crate::bounds::{HANDLER_SAYING, HOOK_ANSWER};
use crate::connect::{CallError, CriClient, QUICK, call};
use crate::manifest::{LifecycleHook, Probe, ProbeHandler};

/// A container that is asked.
pub(super) struct AskedContainer<'a> {
    pub(super) connection: &'a CriClient,
    pub(super) id: &'a str,
    /// Of the pod, or of the node for a pod in the node's network.
    pub(super) address: &'a str,
}

/// What became of a probe or a hook, and what there is to say about it, on one line.
pub(super) struct HandlerAnswer {
    pub(super) result: Probed,
    pub(super) text: String,
}

impl HandlerAnswer {
    fn new(result: Probed, text: &str) -> Self {
        Self { result, text: collapsed(text, HANDLER_SAYING) }
    }

    fn of(asked: Result<String, String>) -> Self {
        match asked {
            Ok(text) => Self::new(Probed::Success, &text),
            Err(text) => Self::new(Probed::Failure, &text),
        }
    }
}

impl AskedContainer<'_> {
    /// Makes a probe, within its time.
    pub(super) async fn probe(&self, probe: &Probe) -> HandlerAnswer {
        let limit = probe.timeout;
        let host = |host: &Option<String>| host.clone().unwrap_or_else(|| self.address.to_owned());
        let asked = async {
            match &probe.handler {
                ProbeHandler::Exec(command) => self.exec(command, limit).await,
                ProbeHandler::HttpGet(get) => {
                    HandlerAnswer::of(http::get(get, &host(&get.host), http::WantedAnswer::Success).await)
                }
                ProbeHandler::TcpSocket { host: other, port } => {
                    HandlerAnswer::of(dial::tcp(&host(other), *port).await.map(|_| String::new()))
                }
                ProbeHandler::Grpc { port, service } => {
                    HandlerAnswer::of(grpc::check(self.address, *port, service).await)
                }
            }
        };
        // A runtime ends a command by itself when its time is over.
        let patience = if matches!(probe.handler, ProbeHandler::Exec(_)) { limit + QUICK } else { limit };
        tokio::time::timeout(patience, asked)
            .await
            .unwrap_or_else(|_| HandlerAnswer::new(Probed::Failure, &format!("no answer within {} s", limit.as_secs())))
    }

    /// Carries out a hook. Who has a limit for it drops this.
    pub(super) async fn hook(&self, hook: &LifecycleHook) -> HandlerAnswer {
        match hook {
            LifecycleHook::Exec(command) => self.exec(command, Duration::ZERO).await,
            LifecycleHook::HttpGet(get) => {
                let host = get.host.as_deref().unwrap_or(self.address);
                let asked = tokio::time::timeout(HOOK_ANSWER, http::get(get, host, http::WantedAnswer::Anything)).await;
                HandlerAnswer::of(
                    asked.unwrap_or_else(|_| Err(format!("no answer within {} s", HOOK_ANSWER.as_secs()))),
                )
            }
            LifecycleHook::Sleep(time) => {
                tokio::time::sleep(*time).await;
                HandlerAnswer::new(Probed::Success, "")
            }
        }
    }

    /// Zero is as long as it takes.
    async fn exec(&self, command: &[String], limit: Duration) -> HandlerAnswer {
        let request = v1::ExecSyncRequest {
            container_id: self.id.to_owned(),
            cmd: command.to_vec(),
            timeout: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        };
        let deadline = if limit.is_zero() { Duration::from_secs(u64::from(u32::MAX)) } else { limit + QUICK };
        let mut runtime = self.connection.runtime.clone();
        match call("ExecSync", deadline, runtime.exec_sync(request)).await {
            Ok(answer) => {
                let begin =
                    |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(HANDLER_SAYING)]).into_owned();
                let said = format!("{} {}", begin(&answer.stdout), begin(&answer.stderr));
                match answer.exit_code {
                    0 => HandlerAnswer::new(Probed::Success, &said),
                    code => HandlerAnswer::new(Probed::Failure, &format!("{} ended with {code} {said}", command[0])),
                }
            }
            Err(CallError::Refused { status, .. }) if status.code() == Code::DeadlineExceeded => {
                HandlerAnswer::new(Probed::Failure, &format!("{} took longer than {} s", command[0], limit.as_secs()))
            }
            // It says nothing about the container, but what can't be carried out at all is the user's to know.
            Err(error) => {
                let passes = [Code::NotFound, Code::FailedPrecondition, Code::Aborted, Code::Unavailable];
                let may_pass = error.is_unanswered() || passes.iter().any(|code| error.is(*code));
                let result = if may_pass { Probed::Unknown } else { Probed::Refused };
                HandlerAnswer::new(result, &error.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests;
