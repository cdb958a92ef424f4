//! Talking to registries: the distribution protocol over HTTP, with credentials, mirrors and retries.

mod allowance;
mod auth;
mod challenge;
mod client;
mod complaint;
mod failures;
#[cfg(test)]
mod fuzz;
mod manifests;
mod session;
mod target;
mod tls;

pub(crate) use allowance::Allowance;
pub(crate) use client::Clients;
pub(crate) use failures::{Collected, RequestError};
pub(crate) use manifests::Fetched;
pub(crate) use session::{BlobResponse, Session};
