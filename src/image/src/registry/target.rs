//! Where one request goes: to a host of the registry, or to where that one redirected it.

use crate::bounds::HEADER_BYTES;
use crate::hosts::RegistryHost;
use crate::model::Credentials;
use reqwest::{Response, Url, header};

/// An address to be asked, and whether it is that of the host which hosts.toml or the reference names.
pub(super) struct RequestTarget<'h> {
    pub(super) host: &'h RegistryHost,
    pub(super) url: Url,
}

impl<'h> RequestTarget<'h> {
    /// A path below the host's base.
    pub(super) fn of(host: &'h RegistryHost, path: &str) -> Result<Self, String> {
        let url = format!("{}/{path}", host.base);
        let url = Url::parse(&url).map_err(|error| format!("{} is no URL: {error}", host.base))?;
        Ok(Self { host, url })
    }

    /// Scheme, host and port: what credentials are for.
    pub(super) fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// Whether this is the host itself. What hosts.toml says about headers is for nobody else.
    pub(super) fn is_own(&self) -> bool {
        Url::parse(&self.host.base).is_ok_and(|base| base.origin() == self.url.origin())
    }

    pub(super) fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Credentials that name a server go to that one alone, others to the host that was asked and not to where it
    /// redirects.
    pub(super) fn may_have(&self, credentials: &Credentials) -> bool {
        let named = credentials.server_address.as_str();
        if named.is_empty() {
            return self.is_own();
        }
        let named = named.split_once("://").map_or(named, |(_, rest)| rest);
        let named = named.split('/').next().unwrap_or(named);
        let hub = |name: &str| matches!(name, "docker.io" | "index.docker.io" | "registry-1.docker.io");
        let address = if self.is_own() { self.host.address.clone() } else { self.address() };
        named == address || (hub(named) && hub(&address))
    }

    fn address(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Where an answer redirects to.
    pub(super) fn redirected(&self, response: &Response) -> Result<Self, String> {
        let status = response.status();
        let location = response.headers().get(header::LOCATION).map(header::HeaderValue::as_bytes);
        let location = location.filter(|location| location.len() <= HEADER_BYTES);
        let url = location
            .and_then(|location| std::str::from_utf8(location).ok())
            .and_then(|location| self.url.join(location).ok())
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| format!("answers {status} without a usable address"))?;
        let target = Self { host: self.host, url };
        if self.is_https() && !target.is_https() {
            return Err(format!("redirects to {}, which is not encrypted", target.origin()));
        }
        Ok(target)
    }
}

#[cfg(test)]
mod tests {
    use super::RequestTarget;
    use crate::hosts::{Connection, RegistryHost};
    use crate::model::Credentials;
    use reqwest::Url;

    #[test]
    fn credentials_stay_with_whom_they_are_for() {
        let host = RegistryHost {
            base: "https://r.example/v2".to_owned(),
            address: "r.example".to_owned(),
            resolves: true,
            pulls: true,
            mirror: false,
            authority: true,
            headers: Vec::new(),
            connection: Connection::default(),
        };
        let at = |url: &str| RequestTarget { host: &host, url: Url::parse(url).unwrap() };
        let named = |server: &str| Credentials { server_address: server.to_owned(), ..Credentials::default() };
        let own = at("https://r.example/v2/a/manifests/1");
        assert!(own.is_own() && own.may_have(&named("")) && own.may_have(&named("https://r.example/v1/")));
        assert!(!own.may_have(&named("other.example")));
        for other in ["https://other.example/x", "http://r.example/v2/", "https://r.example:444/v2/"] {
            assert!(!at(other).is_own() && !at(other).may_have(&named("")), "{other}");
        }
        assert!(at("https://other.example/x").may_have(&named("other.example")));
        assert!(at("https://other.example:5000/x").may_have(&named("https://other.example:5000")));
        assert!(!at("https://other.example/x").may_have(&named("r.example")));
    }
}
