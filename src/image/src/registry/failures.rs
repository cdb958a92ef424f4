//! How requests to hosts fail, and which error of the pull that amounts to.

use super::complaint::complaint;
use crate::bounds::ERROR_TEXT;
use crate::error::{Attempt, Attempts, PullError};
use crate::hosts::RegistryHost;
use crate::reference::Reference;
use peapod_text::collapsed;
use reqwest::{Response, StatusCode, header};
use std::time::Duration;

/// Why one request to one host did not serve.
#[derive(Clone, Debug)]
pub(crate) enum RequestError {
    /// It does not have it; with what it says beside.
    NotFound(String),
    /// It refuses these credentials.
    Unauthorised(String),
    /// It answered with an error that may pass; after this time, if it said so.
    Passing(String, Option<Duration>),
    /// It could not be reached at all.
    Unreachable(String),
    /// It answered something that will not change.
    Refused(String),
    /// It serves more than peapod takes of such a document, which is as the image is.
    TooLarge(String),
    /// It does not understand the request: what servers of https say to http.
    Misunderstood(String),
}

impl RequestError {
    pub(crate) fn message(&self) -> String {
        let message = match self {
            Self::NotFound(message)
            | Self::Unauthorised(message)
            | Self::Passing(message, _)
            | Self::Unreachable(message)
            | Self::Refused(message)
            | Self::TooLarge(message)
            | Self::Misunderstood(message) => message,
        };
        collapsed(message, 2 * ERROR_TEXT)
    }

    /// Whether it says something about the image, not about the host.
    fn is_of_the_image(&self) -> bool {
        matches!(self, Self::NotFound(_) | Self::TooLarge(_))
    }

    /// How much a host says about itself by failing so. Of one that is asked by two schemes only the better answer
    /// counts.
    fn weight(&self) -> u8 {
        match self {
            Self::NotFound(_) | Self::Unauthorised(_) | Self::TooLarge(_) => 2,
            Self::Passing(..) | Self::Refused(_) => 1,
            Self::Unreachable(_) | Self::Misunderstood(_) => 0,
        }
    }
}

/// Failures of several hosts, and which error they amount to.
#[derive(Default)]
pub(crate) struct Collected {
    failed: Vec<Failed>,
}

struct Failed {
    origin: String,
    address: String,
    authority: bool,
    failure: RequestError,
}

impl Collected {
    pub(crate) fn add(&mut self, host: &RegistryHost, failure: RequestError) {
        let (origin, address, authority) = (host.origin().to_owned(), host.address.clone(), host.authority);
        self.failed.push(Failed { origin, address, authority, failure });
    }

    /// Credentials can be mended by whoever asked, so a refusal says most. That an image does not exist, or is too
    /// large, is believed to the registry itself, or to mirrors if all of them say so: the one that has it may be out
    /// of reach.
    pub(crate) fn into_error(self, reference: &Reference) -> PullError {
        let best = |address: &str| {
            self.failed.iter().filter(|one| one.address == address).map(|one| one.failure.weight()).max()
        };
        let told: Vec<&Failed> =
            self.failed.iter().filter(|one| Some(one.failure.weight()) == best(&one.address)).collect();
        let any = |what: fn(&Failed) -> bool| told.iter().any(|one| what(one));
        let unauthorised = any(|one| matches!(one.failure, RequestError::Unauthorised(_)));
        let known = told.iter().find(|one| one.authority && one.failure.is_of_the_image());
        let open = any(|one| !(one.failure.is_of_the_image() || matches!(one.failure, RequestError::Unauthorised(_))));
        let too_large = |one: &Failed| matches!(one.failure, RequestError::TooLarge(_));
        let large = known.map_or_else(|| any(too_large), |one| too_large(one));
        let attempt = |one: &&Failed| Attempt { host: one.origin.clone(), outcome: one.failure.message() };
        let (reference, tried) = (reference.to_string(), Attempts(told.iter().map(attempt).collect()));
        if unauthorised {
            PullError::Unauthorised { reference, tried }
        } else if known.is_none() && (open || tried.0.is_empty()) {
            PullError::Unavailable { reference, tried }
        } else if large {
            PullError::Manifest { reference, problem: tried.to_string() }
        } else {
            PullError::NotFound { reference, tried }
        }
    }
}

/// An answer that serves, or why it does not. `identity` is as whom it was asked.
pub(super) async fn judge(response: Response, identity: &str) -> Result<Response, RequestError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let after = after.and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let message = complaint(response).await;
    Err(match status {
        StatusCode::NOT_FOUND => RequestError::NotFound(match message.split_once(": ") {
            Some((_, said)) => format!("not found: {said}"),
            None => "not found".to_owned(),
        }),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            RequestError::Unauthorised(format!("refuses {identity}: {message}"))
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => RequestError::Passing(message, after),
        status if status.is_server_error() => RequestError::Passing(message, None),
        StatusCode::BAD_REQUEST => RequestError::Misunderstood(format!("answers {message}")),
        _ => RequestError::Refused(format!("answers {message}")),
    })
}
