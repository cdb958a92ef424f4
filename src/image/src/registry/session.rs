//! One pull's dealings with the hosts of its registry.

use super::allowance::Allowance;
use super::auth::{AuthError, Authorization, answer};
use super::client::Clients;
use super::complaint::complaint;
use super::failures::{RequestError, judge};
use super::target::RequestTarget;
use crate::bounds::REDIRECTS;
use crate::config::Config;
use crate::digest::Digest;
use crate::hosts::RegistryHost;
use crate::model::Credentials;
use crate::pull_refusal::PullRefusal;
use crate::reference::Reference;
use crate::stages;
use peapod_sys::sync::lock;
use peapod_text::innermost;
use peapod_trace::Span;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, header};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

/// The hosts, credentials and tokens of one pull.
pub(crate) struct Session {
    pub(crate) reference: Reference,
    pub(super) timeout: Duration,
    pub(crate) retries: u32,
    clients: Arc<Clients>,
    hosts: Vec<RegistryHost>,
    credentials: Option<Credentials>,
    authorizations: Mutex<HashMap<String, Authorization>>,
    /// How many of this pull's blobs are on their way, or wait for a slot of their registry: a pull with many layers
    /// does not fill the queue before one with few.
    pub(crate) transfers: Semaphore,
    pub(crate) allowance: Allowance,
    pub(crate) refusal: PullRefusal,
    /// Of the pull.
    pub(crate) span: Span,
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
        hosts: Vec<RegistryHost>,
        reference: Reference,
        credentials: Option<Credentials>,
        span: Span,
    ) -> Self {
        Self {
            span,
            refusal: PullRefusal::default(),
            allowance: Allowance::new(&clients.large_documents),
            reference,
            timeout: config.requests.request_timeout,
            retries: config.requests.retries,
            clients,
            hosts,
            credentials,
            authorizations: Mutex::default(),
            transfers: Semaphore::new(config.max_downloads.max(1)),
        }
    }

    /// The hosts that may be asked, those first that were not out of reach a moment ago.
    pub(crate) fn hosts(&self, for_tag: bool) -> Vec<&RegistryHost> {
        let able = self.hosts.iter().filter(|host| if for_tag { host.resolves } else { host.pulls });
        let (cooling, ready): (Vec<&RegistryHost>, Vec<&RegistryHost>) =
            able.partition(|host| self.clients.is_cooling(host.origin()));
        ready.into_iter().chain(cooling).collect()
    }

    /// Asks `host` for a blob, from `offset` on. What it sends may begin before that.
    pub(crate) async fn blob(
        &self,
        host: &RegistryHost,
        digest: &Digest,
        offset: u64,
    ) -> Result<BlobResponse, RequestError> {
        match self.blob_from(host, digest, offset).await {
            // It may know no ranges, and say so in its own way.
            Err(RequestError::Refused(_) | RequestError::Misunderstood(_)) if offset > 0 => {
                self.blob_from(host, digest, 0).await
            }
            other => other,
        }
    }

    async fn blob_from(&self, host: &RegistryHost, digest: &Digest, offset: u64) -> Result<BlobResponse, RequestError> {
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
                _ => return Err(RequestError::Refused("answers another range than was asked for".to_owned())),
            }
        } else {
            0
        };
        Ok(BlobResponse { response, offset })
    }

    /// Sends a request, follows where it leads, with authentication where a host asks for it. The answer is a success
    /// or a [`RequestError`].
    pub(super) async fn send<F>(
        &self,
        host: &RegistryHost,
        method: &Method,
        path: &str,
        shape: F,
    ) -> Result<Response, RequestError>
    where
        F: Fn(RequestBuilder) -> RequestBuilder,
    {
        let client = self.clients.get(&host.connection).await.map_err(RequestError::Refused)?;
        let repository = &self.reference.repository;
        let mut target = RequestTarget::of(host, &format!("{repository}/{path}")).map_err(RequestError::Refused)?;
        if host.mirror {
            target.url.query_pairs_mut().append_pair("ns", &self.reference.registry);
        }
        for _ in 0..=REDIRECTS {
            let response =
                self.authenticated(&client, &target, |url| shape(client.request(method.clone(), url))).await?;
            if !is_redirect(response.status()) {
                return judge(response, self.identity(&target)).await;
            }
            target = target.redirected(&response).map_err(RequestError::Refused)?;
        }
        Err(RequestError::Refused(format!("redirects more than {REDIRECTS} times")))
    }

    /// Sends a request to one host, and once more with authentication if the host wants it.
    async fn authenticated<F>(
        &self,
        client: &Client,
        target: &RequestTarget<'_>,
        request: F,
    ) -> Result<Response, RequestError>
    where
        F: Fn(Url) -> RequestBuilder,
    {
        let build = || {
            let mut request = request(target.url.clone());
            if target.is_own() {
                for (name, value) in &target.host.headers {
                    request = request.header(name, value);
                }
            }
            match self.authorization(target) {
                Some(authorization) => authorization.put_on(request),
                None => request,
            }
        };
        let first = self.once(target, build()).await?;
        if first.status() != StatusCode::UNAUTHORIZED {
            return Ok(first);
        }
        // Beside what is being asked for: of the pull or of one of its layers.
        let _token = self.span.begin_on(&stages::TOKEN, target.origin());
        let (credentials, repository) = (self.credentials.as_ref(), &self.reference.repository);
        let answered = answer(client, target, &first, credentials, repository, self.timeout).await;
        let authorization = match answered {
            Ok(authorization) => authorization,
            Err(AuthError::Refused(message)) => return Err(RequestError::Unauthorised(message)),
            Err(AuthError::Unanswerable(message)) => {
                return Err(RequestError::Unauthorised(format!("{message}: {}", complaint(first).await)));
            }
            Err(AuthError::Unavailable(message)) => return Err(RequestError::Passing(message, None)),
        };
        lock(&self.authorizations).insert(target.origin(), authorization);
        self.once(target, build()).await
    }

    async fn once(&self, target: &RequestTarget<'_>, request: RequestBuilder) -> Result<Response, RequestError> {
        let origin = target.host.origin();
        let failure = match tokio::time::timeout(self.timeout, request.send()).await {
            Ok(Ok(response)) => {
                self.clients.reached(origin);
                return Ok(response);
            }
            Ok(Err(error)) if error.is_builder() => return Err(RequestError::Refused(error.to_string())),
            Ok(Err(error)) if !(error.is_connect() || error.is_timeout()) => {
                return Err(RequestError::Passing(innermost(&error), None));
            }
            Ok(Err(error)) => innermost(&error),
            Err(_) => format!("no answer within {} s", self.timeout.as_secs()),
        };
        if target.is_own() {
            self.clients.cool_down(origin);
            return Err(RequestError::Unreachable(failure));
        }
        // The host itself did answer.
        Err(RequestError::Passing(format!("redirects to {}: {failure}", target.origin()), None))
    }

    fn authorization(&self, target: &RequestTarget<'_>) -> Option<Authorization> {
        lock(&self.authorizations).get(&target.origin()).cloned()
    }

    /// As whom it was asked, for messages.
    fn identity(&self, target: &RequestTarget<'_>) -> &'static str {
        let given = self.credentials.as_ref().is_some_and(|credentials| target.may_have(credentials));
        if given { "these credentials" } else { "an anonymous pull" }
    }

    /// Waits before a request is repeated: twice as long each time, or as long as the host asked for, within reason.
    pub(crate) async fn back_off(&self, tries: u32, after: Option<Duration>) {
        let own = Duration::from_millis(200) * 2_u32.saturating_pow(tries.min(5));
        tokio::time::sleep(after.unwrap_or(own).min(Duration::from_secs(10))).await;
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}
