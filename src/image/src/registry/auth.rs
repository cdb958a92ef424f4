//! Credentials to what a registry accepts: basic, or a token from the server that it names.

use super::challenge::{Challenge, parse};
use super::client::innermost;
use crate::hosts::Host;
use crate::model::Credentials;
use reqwest::{Client, RequestBuilder, Response, StatusCode, header};
use serde::Deserialize;
use std::fmt;
use std::time::Duration;

/// What is sent with requests to one host.
#[derive(Clone)]
pub(super) enum Authorization {
    Basic { username: String, password: String },
    Bearer(String),
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic",
            Self::Bearer(_) => "Bearer",
        })
    }
}

impl Authorization {
    pub(super) fn put_on(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Basic { username, password } => request.basic_auth(username, Some(password)),
            Self::Bearer(token) => request.bearer_auth(token),
        }
    }
}

/// Why there is nothing to send.
#[derive(Debug)]
pub(super) enum AuthFailure {
    /// The credentials do not do, or there are none.
    Refused(String),
    /// The token server failed or is out of reach.
    Unavailable(String),
}

/// A token server's answer is small.
const MAX_TOKEN: usize = 1 << 20;

/// Answers the challenge of a 401.
pub(super) async fn answer(
    client: &Client,
    host: &Host,
    refused: &Response,
    credentials: Option<&Credentials>,
    repository: &str,
    timeout: Duration,
) -> Result<Authorization, AuthFailure> {
    let credentials = credentials.filter(|credentials| may_have(host, credentials));
    if let Some(token) = credentials.map(|c| &c.registry_token).filter(|token| !token.is_empty()) {
        return Ok(Authorization::Bearer(token.clone()));
    }
    let challenges: Vec<Challenge> = refused
        .headers()
        .get_all(header::WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(parse)
        .collect();
    let bearer = challenges.iter().find_map(|challenge| match challenge {
        Challenge::Bearer { realm, service, scope } => Some((realm, service, scope)),
        Challenge::Basic => None,
    });
    if let Some((realm, service, scope)) = bearer {
        if host.is_https() && !realm.starts_with("https://") {
            return Err(AuthFailure::Refused(format!("wants credentials sent unencrypted to {realm}")));
        }
        let scope = scope.clone().unwrap_or_else(|| format!("repository:{repository}:pull"));
        let ask = Ask { realm, service: service.as_deref(), scope: &scope, credentials };
        return ask.token(client, timeout).await.map(Authorization::Bearer);
    }
    let basic = credentials.filter(|c| !c.username.is_empty() || !c.password.is_empty());
    match basic {
        Some(basic) if challenges.contains(&Challenge::Basic) => {
            Ok(Authorization::Basic { username: basic.username.clone(), password: basic.password.clone() })
        }
        Some(_) => {
            Err(AuthFailure::Refused("refuses, and asks for neither basic nor bearer authentication".to_owned()))
        }
        None => Err(AuthFailure::Refused("wants credentials; none were given for it".to_owned())),
    }
}

/// Credentials that name a server go to that one alone.
fn may_have(host: &Host, credentials: &Credentials) -> bool {
    let named = credentials.server_address.as_str();
    if named.is_empty() {
        return true;
    }
    let named = named.split_once("://").map_or(named, |(_, rest)| rest);
    let named = named.split('/').next().unwrap_or(named);
    let hub = |name: &str| matches!(name, "docker.io" | "index.docker.io" | "registry-1.docker.io");
    named == host.address || (hub(named) && hub(&host.address))
}

struct Ask<'a> {
    realm: &'a str,
    service: Option<&'a str>,
    scope: &'a str,
    credentials: Option<&'a Credentials>,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
}

impl Ask<'_> {
    async fn token(&self, client: &Client, timeout: Duration) -> Result<String, AuthFailure> {
        let unavailable = |reason: String| AuthFailure::Unavailable(format!("token server {}: {reason}", self.realm));
        let identity = self.credentials.map(|c| c.identity_token.as_str()).filter(|token| !token.is_empty());
        let service = self.service.unwrap_or_default();
        let request = match identity {
            Some(identity) => client.post(self.realm).form(&[
                ("grant_type", "refresh_token"),
                ("refresh_token", identity),
                ("service", service),
                ("scope", self.scope),
                ("client_id", "peapod"),
            ]),
            None => {
                let mut query = vec![("scope", self.scope)];
                if !service.is_empty() {
                    query.push(("service", service));
                }
                let request = client.get(self.realm).query(&query);
                match self.credentials.filter(|c| !c.username.is_empty() || !c.password.is_empty()) {
                    Some(basic) => request.basic_auth(&basic.username, Some(&basic.password)),
                    None => request,
                }
            }
        };
        let mut response = request.timeout(timeout).send().await.map_err(|error| unavailable(innermost(&error)))?;
        match response.status() {
            StatusCode::OK => {}
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Err(unavailable(status.to_string()));
            }
            status => {
                let given = if self.credentials.is_some() { "these credentials" } else { "an anonymous pull" };
                return Err(AuthFailure::Refused(format!("token server {} refuses {given}: {status}", self.realm)));
            }
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| unavailable(innermost(&error)))? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_TOKEN {
                return Err(unavailable("answers with more than 1 MiB".to_owned()));
            }
        }
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|_| unavailable("does not answer with a token".to_owned()))?;
        let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
        token.ok_or_else(|| unavailable("does not answer with a token".to_owned()))
    }
}
