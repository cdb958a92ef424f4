//! Credentials to what a registry accepts: basic, or a token from the server that it names.

use super::challenge::{Challenge, parse};
use super::complaint::complaint;
use super::target::RequestTarget;
use crate::bounds::{ERROR_TEXT, TOKEN_BYTES};
use crate::lenient::{self, Field, Shape, Text};
use crate::model::Credentials;
use peapod_text::collapsed;
use peapod_text::innermost;
use reqwest::{Client, RequestBuilder, Response, StatusCode, header};
use serde::de::{IgnoredAny, MapAccess};
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
pub(super) enum AuthError {
    /// The credentials do not do, or there are none.
    Refused(String),
    /// The host's own challenge can't be answered; its body may say more.
    Unanswerable(&'static str),
    /// The token server failed or is out of reach.
    Unavailable(String),
}

/// Answers the challenge of a 401. `client` follows no redirects: what it sends is meant for the server that the
/// registry named, and for no other.
pub(super) async fn answer(
    client: &Client,
    target: &RequestTarget<'_>,
    refused: &Response,
    credentials: Option<&Credentials>,
    repository: &str,
    timeout: Duration,
) -> Result<Authorization, AuthError> {
    let credentials = credentials.filter(|credentials| target.may_have(credentials));
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
        if target.is_https() && !realm.starts_with("https://") {
            let realm = collapsed(realm, ERROR_TEXT);
            return Err(AuthError::Refused(format!("wants credentials sent unencrypted to {realm}")));
        }
        let scope = scope.clone().unwrap_or_else(|| format!("repository:{repository}:pull"));
        let token = TokenRequest { realm, service: service.as_deref(), scope: &scope, credentials };
        return token.send(client, timeout).await.map(Authorization::Bearer);
    }
    let basic = credentials.filter(|c| !c.username.is_empty() || !c.password.is_empty());
    match basic {
        Some(basic) if challenges.contains(&Challenge::Basic) => {
            Ok(Authorization::Basic { username: basic.username.clone(), password: basic.password.clone() })
        }
        Some(_) => Err(AuthError::Unanswerable("refuses, and asks for neither basic nor bearer authentication")),
        None => Err(AuthError::Unanswerable("wants credentials; none were given for it")),
    }
}

struct TokenRequest<'a> {
    realm: &'a str,
    service: Option<&'a str>,
    scope: &'a str,
    credentials: Option<&'a Credentials>,
}

impl TokenRequest<'_> {
    fn build(&self, client: &Client) -> RequestBuilder {
        let identity = self.credentials.map(|c| c.identity_token.as_str()).filter(|token| !token.is_empty());
        let service = self.service.unwrap_or_default();
        if let Some(identity) = identity {
            return client.post(self.realm).form(&[
                ("grant_type", "refresh_token"),
                ("refresh_token", identity),
                ("service", service),
                ("scope", self.scope),
                ("client_id", "peapod"),
            ]);
        }
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

    async fn send(&self, client: &Client, timeout: Duration) -> Result<String, AuthError> {
        let realm = collapsed(self.realm, ERROR_TEXT);
        let unavailable = |reason: String| AuthError::Unavailable(format!("token server {realm}: {reason}"));
        let broken = |error: reqwest::Error| unavailable(innermost(&error));
        let mut response = self.build(client).timeout(timeout).send().await.map_err(broken)?;
        match response.status() {
            status if status.is_success() => {}
            status if status.is_redirection() => {
                let message = format!("token server {realm} answers {status}; redirects of it are not followed");
                return Err(AuthError::Refused(message));
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Err(unavailable(complaint(response).await));
            }
            _ => {
                let given = if self.credentials.is_some() { "these credentials" } else { "an anonymous pull" };
                let message = complaint(response).await;
                return Err(AuthError::Refused(format!("token server {realm} refuses {given}: {message}")));
            }
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if body.len() + chunk.len() > TOKEN_BYTES {
                return Err(unavailable(format!("answers with more than {} KiB", TOKEN_BYTES >> 10)));
            }
            body.extend_from_slice(&chunk);
        }
        token(&body).ok_or_else(|| unavailable("does not answer with a token".to_owned()))
    }
}

/// The first token of an answer that is not empty; servers give it one of two names, or both.
fn token(body: &[u8]) -> Option<String> {
    match lenient::read::<Answer>(body) {
        Ok(Field::Is(Answer { token, access_token })) => {
            let usable =
                |field: Field<Text<TOKEN_BYTES>>| field.usable().map(|text| text.0).filter(|text| !text.is_empty());
            usable(token).or_else(|| usable(access_token))
        }
        _ => None,
    }
}

struct Answer {
    token: Field<Text<TOKEN_BYTES>>,
    access_token: Field<Text<TOKEN_BYTES>>,
}

impl Shape for Answer {
    const WHAT: &'static str = "an object";

    fn object<'de, A: MapAccess<'de>>(mut members: A) -> Result<Field<Self>, A::Error> {
        let mut answer = Self { token: Field::Absent, access_token: Field::Absent };
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "token" => answer.token = members.next_value()?,
                "access_token" => answer.access_token = members.next_value()?,
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Field::Is(answer))
    }
}

#[cfg(test)]
mod tests {
    use super::token;

    #[test]
    fn the_first_token_that_is_one() {
        for (body, wanted) in [
            (r#"{"token":"a","access_token":"b"}"#, Some("a")),
            (r#"{"token":"","access_token":"b"}"#, Some("b")),
            (r#"{"access_token":"b","token":null,"expires_in":1e999}"#, Some("b")),
            (r#"{"token":5,"access_token":"b","expires_in":"soon"}"#, Some("b")),
            (r#"{"token":"","access_token":""}"#, None),
            ("[]", None),
            ("", None),
        ] {
            assert_eq!(token(body.as_bytes()).as_deref(), wanted, "{body}");
        }
    }
}
