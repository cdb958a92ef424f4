//! HTTP clients: one for each way of connecting, shared by all pulls.

use crate::bounds::{CLIENTS, COOLING_HOSTS, LARGE_DOCUMENTS};
use crate::config::Config;
use crate::hosts::Connection;
use crate::permits::Permits;
use peapod_sys::sync::lock;
use peapod_text::innermost;
use reqwest::Client;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// All clients, and which hosts were out of reach a moment ago.
pub(crate) struct Clients {
    connect_timeout: Duration,
    stall_timeout: Duration,
    cooldown: Duration,
    /// Of all pulls, for large documents.
    pub(super) large_documents: Arc<Permits>,
    /// A client is made when it is first needed: it reads all certificates that the node trusts.
    made: Mutex<HashMap<Connection, Client>>,
    cooling: Mutex<HashMap<String, Instant>>,
}

impl Clients {
    pub(crate) fn new(config: &Config) -> Self {
        // Another crate may have installed it before; it is the same one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        Self {
            connect_timeout: config.requests.connect_timeout,
            stall_timeout: config.requests.stall_timeout,
            cooldown: config.requests.host_cooldown,
            large_documents: Permits::new(LARGE_DOCUMENTS),
            made: Mutex::default(),
            cooling: Mutex::default(),
        }
    }

    /// The client for such a connection. Reads certificates the first time.
    pub(crate) async fn get(&self, connection: &Connection) -> Result<Client, String> {
        if let Some(client) = lock(&self.made).get(connection) {
            return Ok(client.clone());
        }
        let base = Base { connect_timeout: self.connect_timeout, stall_timeout: self.stall_timeout };
        let wanted = connection.clone();
        let built = tokio::task::spawn_blocking(move || base.build(&wanted)).await;
        let client = built.map_err(|error| error.to_string())??;
        let mut made = lock(&self.made);
        if made.len() >= CLIENTS {
            made.clear();
        }
        made.insert(connection.clone(), client.clone());
        Ok(client)
    }

    /// The host could not be reached: for a while others are asked first, so that a dead mirror does not slow down
    /// every blob of every pull.
    pub(crate) fn cool_down(&self, origin: &str) {
        let mut cooling = lock(&self.cooling);
        if cooling.len() >= COOLING_HOSTS {
            cooling.clear();
        }
        cooling.insert(origin.to_owned(), Instant::now() + self.cooldown);
    }

    /// The host answered.
    pub(crate) fn reached(&self, origin: &str) {
        lock(&self.cooling).remove(origin);
    }

    pub(crate) fn is_cooling(&self, origin: &str) -> bool {
        let cooling = lock(&self.cooling);
        cooling.get(origin).is_some_and(|until| *until > Instant::now())
    }
}

struct Base {
    connect_timeout: Duration,
    stall_timeout: Duration,
}

impl Base {
    fn build(&self, connection: &Connection) -> Result<Client, String> {
        let mut builder = Client::builder()
            .user_agent(concat!("peapod/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(connection.dial_timeout.unwrap_or(self.connect_timeout))
            // Counts from the last byte: what stalls is broken off, what is slow is not.
            .read_timeout(self.stall_timeout)
            .pool_max_idle_per_host(8)
            // Sessions follow redirects themselves: they know what may be sent where, and token servers get none.
            .redirect(reqwest::redirect::Policy::none());
        let special = !connection.ca.is_empty() || !connection.client.is_empty() || connection.skip_verify;
        if special {
            builder = builder.tls_backend_preconfigured(super::tls::config(connection)?);
        }
        builder.build().map_err(|error| innermost(&error))
    }
}
