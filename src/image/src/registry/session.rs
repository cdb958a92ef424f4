//! One pull's dealings with the hosts of its registry.

use super::auth::{AuthFailure, Authorization, answer};
use super::client::{Clients, innermost};
use crate::config::Config;
use crate::digest::Digest;
use crate::error::{Attempt, Attempts, PullError};
use crate::hosts::Host;
use crate::model::Credentials;
use crate::reference::Reference;
use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Why one request to one host did not serve.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// It does not have it.
    NotFound,
    /// It refuses these credentials.
    Unauthorised(String),
    /// It answered with an error that may pass; after this time, if it said so.
    Passing(String, Option<Duration>),
    /// It could not be reached at all.
    Unreachable(String),
    /// It answered something that will not change.
    Refused(String),
}

impl Failure {
    fn words(&self) -> String {
        match self {
            Self::NotFound => "not found".to_owned(),
            Self::Unauthorised(words) | Self::Passing(words, _) | Self::Unreachable(words) | Self::Refused(words) => {
                words.clone()
            }
        }
    }
}

/// Failures of several hosts, and which error they amount to.
#[derive(Default)]
pub(crate) struct Collected {
    attempts: Vec<Attempt>,
    unauthorised: bool,
    /// One that must know says that it does not exist.
    denied: bool,
    /// One has not said whether it exists.
    open: bool,
}

impl Collected {
    pub(crate) fn add(&mut self, host: &Host, failure: &Failure) {
        self.attempts.push(Attempt { host: host.origin().to_owned(), outcome: failure.words() });
        match failure {
            Failure::Unauthorised(_) => self.unauthorised = true,
            Failure::NotFound => self.denied |= host.authority,
            Failure::Passing(..) | Failure::Unreachable(_) | Failure::Refused(_) => self.open = true,
        }
    }

    /// Credentials can be mended by whoever asked, so a refusal says most. That an image does not exist is believed to
    /// the registry itself, or to mirrors if all of them say so: the one that has it may be out of reach.
    pub(crate) fn into_error(self, reference: &Reference) -> PullError {
        let (reference, tried) = (reference.to_string(), Attempts(self.attempts));
        if self.unauthorised {
            PullError::Unauthorised { reference, tried }
        } else if self.denied || !(self.open || tried.0.is_empty()) {
            PullError::NotFound { reference, tried }
        } else {
            PullError::Unavailable { reference, tried }
        }
    }
}

/// The hosts, credentials and tokens of one pull.
pub(crate) struct Session {
    pub(crate) reference: Reference,
    pub(super) timeout: Duration,
    pub(crate) retries: u32,
    clients: Arc<Clients>,
    hosts: Vec<Host>,
    credentials: Option<Credentials>,
    authorizations: Mutex<HashMap<String, Authorization>>,
}

/// Bytes of a blob on their way.
pub(crate) struct BlobResponse {
    pub(crate) response: Response,
    /// Where in the blob they begin.
    pub(crate) offset: u64,
}

impl Session {
    pub(crate) fn new(
        config: &Config,
        clients: Arc<Clients>,
        hosts: Vec<Host>,
        reference: Reference,
        credentials: Option<Credentials>,
    ) -> Self {
        Self {
            reference,
            timeout: config.request_timeout,
            retries: config.retries,
            clients,
            hosts,
            credentials,
            authorizations: Mutex::default(),
        }
    }

    /// The hosts that may be asked, those first that were not out of reach a moment ago.
    pub(crate) fn hosts(&self, for_tag: bool) -> Vec<&Host> {
        let able = self.hosts.iter().filter(|host| if for_tag { host.resolves } else { host.pulls });
        let (cooling, ready): (Vec<&Host>, Vec<&Host>) = able.partition(|host| self.clients.is_cooling(host.origin()));
        ready.into_iter().chain(cooling).collect()
    }

    /// Asks `host` for a blob, from `offset` on.
    pub(crate) async fn blob(&self, host: &Host, digest: &Digest, offset: u64) -> Result<BlobResponse, Failure> {
        let path = format!("blobs/{digest}");
        let response = self
            .send(host, &Method::GET, &path, |request| {
                if offset == 0 { request } else { request.header(header::RANGE, format!("bytes={offset}-")) }
            })
            .await?;
        let offset = if response.status() == StatusCode::PARTIAL_CONTENT {
            let range = response.headers().get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
            let start = range
                .and_then(|range| range.strip_prefix("bytes "))
                .and_then(|range| range.split('-').next())
                .and_then(|start| start.parse().ok());
            match start {
                Some(start) if start <= offset => start,
                _ => return Err(Failure::Refused("answers another range than was asked for".to_owned())),
            }
        } else {
            0
        };
        Ok(BlobResponse { response, offset })
    }

    /// Sends a request, with authentication if the host asks for it. The answer is a success or a [`Failure`].
    pub(super) async fn send<F>(&self, host: &Host, method: &Method, path: &str, shape: F) -> Result<Response, Failure>
    where
        F: Fn(RequestBuilder) -> RequestBuilder,
    {
        let client = self.clients.get(&host.connection).await.map_err(Failure::Refused)?;
        let repository = &self.reference.repository;
        let url = format!("{}/{repository}/{path}", host.base);
        let build = || {
            let mut request = shape(client.request(method.clone(), &url));
            if host.mirror {
                request = request.query(&[("ns", self.reference.registry.as_str())]);
            }
            for (name, value) in &host.headers {
                request = request.header(name, value);
            }
            match self.authorization(host) {
                Some(authorization) => authorization.put_on(request),
                None => request,
            }
        };
        let send = |request: RequestBuilder| async {
            match tokio::time::timeout(self.timeout, request.send()).await {
                Err(_) => Err(Failure::Unreachable(format!("no answer within {} s", self.timeout.as_secs()))),
                Ok(Ok(response)) => Ok(response),
                Ok(Err(error)) if error.is_connect() || error.is_timeout() => {
                    Err(Failure::Unreachable(innermost(&error)))
                }
                Ok(Err(error)) if error.is_builder() => Err(Failure::Refused(error.to_string())),
                Ok(Err(error)) => Err(Failure::Passing(innermost(&error), None)),
            }
        };
        let first = send(build()).await.inspect_err(|failure| {
            if matches!(failure, Failure::Unreachable(_)) {
                self.clients.cool_down(host.origin());
            }
        })?;
        self.clients.reached(host.origin());
        if first.status() != StatusCode::UNAUTHORIZED {
            return judge(first);
        }
        let credentials = self.credentials.as_ref();
        let authorization = answer(&client, host, &first, credentials, repository, self.timeout).await.map_err(
            |failure| match failure {
                AuthFailure::Refused(words) => Failure::Unauthorised(words),
                AuthFailure::Unavailable(words) => Failure::Passing(words, None),
            },
        )?;
        self.authorizations.lock().unwrap_or_else(PoisonError::into_inner).insert(host.base.clone(), authorization);
        judge(send(build()).await?)
    }

    fn authorization(&self, host: &Host) -> Option<Authorization> {
        self.authorizations.lock().unwrap_or_else(PoisonError::into_inner).get(&host.base).cloned()
    }

    /// Waits before a request is repeated: twice as long each time, or as long as the host asked for, within reason.
    pub(crate) async fn back_off(&self, tries: u32, asked: Option<Duration>) {
        let own = Duration::from_millis(200) * 2_u32.saturating_pow(tries.min(5));
        tokio::time::sleep(asked.unwrap_or(own).min(Duration::from_secs(10))).await;
    }
}

fn judge(response: Response) -> Result<Response, Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    Err(match status {
        StatusCode::NOT_FOUND => Failure::NotFound,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Failure::Unauthorised(format!("refuses these credentials: {status}"))
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            let after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
            Failure::Passing(status.to_string(), after.and_then(|text| text.parse().ok()).map(Duration::from_secs))
        }
        status if status.is_server_error() => Failure::Passing(status.to_string(), None),
        status => Failure::Refused(format!("answers {status}")),
    })
}
