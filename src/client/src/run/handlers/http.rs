//! Requests over HTTP/1.1, as a kubelet makes them: a bounded answer, redirects followed on the same host.

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST, LOCATION, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;

use super::dial;
use crate::bounds::{PROBE_BODY_BYTES, PROBE_REDIRECTS};
use crate::manifest::HttpGet;

/// What servers that look for a kubelet's probes look for.
const AGENT: &str = "kube-probe/1.36";

/// What an answer has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WantedAnswer {
    /// A status from 200 to 399.
    Success,
    /// Hooks only tell.
    Anything,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HttpPlace {
    tls: bool,
    host: String,
    port: u16,
    path: String,
}

/// Asks, and says what came, or what is wrong with it.
pub(super) async fn get(get: &HttpGet, host: &str, wanted: WantedAnswer) -> Result<String, String> {
    let first = HttpPlace { tls: get.tls, host: host.to_owned(), port: get.port, path: get.path.clone() };
    let mut place = first.clone();
    for _ in 0..=PROBE_REDIRECTS {
        let response = ask(&place, &get.headers).await?;
        let status = response.status();
        if let Some(next) = place.redirected(&response) {
            // Another host's answer says nothing about this one.
            if next.host != first.host {
                return Ok(format!("HTTP status {status}, to another host"));
            }
            place = next;
            continue;
        }
        let body = Limited::new(response.into_body(), PROBE_BODY_BYTES).collect().await;
        let body = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
        let is_good = wanted == WantedAnswer::Anything || (200..400).contains(&status.as_u16());
        return if is_good { Ok(body) } else { Err(format!("HTTP status {status} {body}")) };
    }
    Err(format!("more than {PROBE_REDIRECTS} redirects"))
}

async fn ask(place: &HttpPlace, headers: &[(String, String)]) -> Result<Response<Incoming>, String> {
    let broken = |error: hyper::Error| peapod_text::chain(&error);
    let stream: Box<dyn dial::HandlerWire> = if place.tls {
        dial::tls(&place.host, place.port).await?
    } else {
        Box::new(dial::tcp(&place.host, place.port).await?)
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // It ends with the answer's last byte, or when that is dropped.
    tokio::spawn(connection);
    let mut request = Request::get(place.path.as_str());
    let has =
        |name: &hyper::header::HeaderName| headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name.as_str()));
    for (name, value) in [(HOST, place.authority().as_str()), (USER_AGENT, AGENT), (ACCEPT, "*/*")] {
        if !has(&name) {
            request = request.header(name, value);
        }
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    sender.send_request(request).await.map_err(broken)
}

impl HttpPlace {
    fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.tls, self.port) {
            (false, 80) | (true, 443) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// Where an answer leads, if it leads anywhere.
    fn redirected<T>(&self, response: &Response<T>) -> Option<Self> {
        if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
            return None;
        }
        let location = response.headers().get(LOCATION)?.to_str().ok()?;
        let location = location.split('#').next().unwrap_or_default();
        let folder =
            self.path.split('?').next().and_then(|path| path.rsplit_once('/')).map_or("", |(folder, _)| folder);
        let at = |path: String| Some(Self { path, ..self.clone() });
        if location.starts_with('/') && !location.starts_with("//") {
            return at(location.to_owned());
        }
        if !location.contains("//") {
            return at(format!("{folder}/{location}"));
        }
        let scheme = if self.tls { "https:" } else { "http:" };
        let whole = if location.starts_with("//") { format!("{scheme}{location}") } else { location.to_owned() };
        let uri: Uri = whole.parse().ok()?;
        let tls = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        Some(Self {
            tls,
            host: uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_where_a_browser_would_go() {
        let place = HttpPlace { tls: false, host: "10.0.0.1".into(), port: 8080, path: "/a/b?c=/d".into() };
        for (location, expected) in [
            ("/x", "http://10.0.0.1:8080/x"),
            ("x?y", "http://10.0.0.1:8080/a/x?y"),
            ("https://10.0.0.1/x#z", "https://10.0.0.1/x"),
            ("//other:81", "http://other:81/"),
            ("ftp://10.0.0.1/", "nowhere"),
            ("http://", "nowhere"),
        ] {
            let response = Response::builder().status(302).header(LOCATION, location).body(()).unwrap();
            let next = place.redirected(&response);
            let next =
                next.map(|next| format!("http{}://{}{}", if next.tls { "s" } else { "" }, next.authority(), next.path));
            assert_eq!(next.as_deref().unwrap_or("nowhere"), expected, "{location}");
        }
        let response = Response::builder().status(304).header(LOCATION, "/x").body(()).unwrap();
        assert_eq!(place.redirected(&response), None);
    }
}
