//! Image references: what people write, and the one form that records and registries see.

use crate::digest::Digest;
use std::fmt;

/// A reference in full: registry, repository, and a tag or a digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// Host and port, such as `docker.io` or `127.0.0.1:5000`.
    pub registry: String,
    /// The path within the registry, such as `library/busybox`.
    pub repository: String,
    /// Which image of the repository.
    pub selector: Selector,
}

/// Which image of a repository is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// Whatever the tag leads to now.
    Tag(String),
    /// Exactly this one.
    Digest(Digest),
}

/// What was written is no image reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an image reference: {reason}")]
pub struct ReferenceError {
    /// As it was written.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// The length to which the distribution specification limits a name, registry included.
const MAX_NAME: usize = 255;

impl Reference {
    /// Reads `[registry/]repository[:tag][@digest]`.
    ///
    /// A name without a registry belongs to `default_registry`; on Docker Hub one without a folder is in `library/`.
    /// Neither tag nor digest means `latest`; where both stand, the digest rules and the tag is dropped.
    ///
    /// # Errors
    /// [`ReferenceError`] says which part is wrong.
    pub fn parse(text: &str, default_registry: &str) -> Result<Self, ReferenceError> {
        let wrong = |reason| ReferenceError { text: text.chars().take(300).collect(), reason };
        let (rest, digest) = match text.split_once('@') {
            None => (text, None),
            Some((rest, digest)) => {
                let digest = Digest::parse(digest).ok_or_else(|| wrong("its digest is not sha256:<64 hex digits>"))?;
                (rest, Some(digest))
            }
        };
        // A colon in the last part starts a tag; one before it belongs to the registry's port.
        let after_slash = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest.get(after_slash..).and_then(|last| last.find(':')) {
            None => (rest, None),
            Some(colon) => (&rest[..after_slash + colon], Some(&rest[after_slash + colon + 1..])),
        };
        if name.is_empty() {
            return Err(wrong("it has no name"));
        }
        let (registry, path) = match name.split_once('/') {
            Some((first, path)) if is_registry(first) => (first, path),
            _ => (default_registry, name),
        };
        // Docker Hub's old names.
        let registry =
            if matches!(registry, "index.docker.io" | "registry-1.docker.io") { "docker.io" } else { registry };
        if !valid_registry(registry) {
            return Err(wrong("its registry is not a host name with an optional port"));
        }
        let repository =
            if registry == "docker.io" && !path.contains('/') { format!("library/{path}") } else { path.to_owned() };
        if !repository.split('/').all(valid_component) {
            return Err(wrong("names are lower-case letters and digits, separated by one of . _ __ - or /"));
        }
        if registry.len() + 1 + repository.len() > MAX_NAME {
            return Err(wrong("its name is longer than 255 characters"));
        }
        if tag.is_some_and(|tag| !valid_tag(tag)) {
            return Err(wrong("its tag is not 1 to 128 letters, digits, _ . or -"));
        }
        let selector = digest.map_or_else(|| Selector::Tag(tag.unwrap_or("latest").to_owned()), Selector::Digest);
        Ok(Self { registry: registry.to_owned(), repository, selector })
    }

    /// Registry and repository.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// This repository's image with that digest.
    #[must_use]
    pub fn with_digest(&self, digest: &Digest) -> String {
        format!("{}@{digest}", self.name())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        match &self.selector {
            Selector::Tag(tag) => write!(f, ":{tag}"),
            Selector::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

/// Whether the first part of a name is a registry and not a folder of the default one.
fn is_registry(first: &str) -> bool {
    first.contains('.') || first.contains(':') || first == "localhost" || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn valid_registry(registry: &str) -> bool {
    let (host, port) = match registry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            match rest.strip_prefix(':') {
                Some(port) => (None, Some(port)),
                None if rest.is_empty() => (None, None),
                None => return false,
            }
        }
        None => match registry.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(registry), None),
        },
    };
    let host_ok = host.is_none_or(|host| {
        host.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
    });
    let port_ok = port.is_none_or(|port| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok());
    host_ok && port_ok
}

/// Runs of lower-case letters and digits, separated by one `.`, one or two `_`, or any number of `-`.
fn valid_component(component: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    if !bytes.first().copied().is_some_and(alphanumeric) || !bytes.last().copied().is_some_and(alphanumeric) {
        return false;
    }
    component
        .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-'))
}

fn valid_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&tag.len())
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::Reference;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn check(text: &str, expected: &str) {
        let found =
            Reference::parse(text, "docker.io").map_or_else(|error| format!("! {}", error.reason), |r| r.to_string());
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn what_people_write_becomes_one_full_form() {
        check("busybox", "docker.io/library/busybox:latest");
        check("busybox:1.36", "docker.io/library/busybox:1.36");
        check("index.docker.io/busybox", "docker.io/library/busybox:latest");
        check("foo/bar", "docker.io/foo/bar:latest");
        check("registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.9");
        check("localhost/a", "localhost/a:latest");
        check("127.0.0.1:5000/a/b_c/d--e:T.1-x", "127.0.0.1:5000/a/b_c/d--e:T.1-x");
        check("[::1]:5000/a", "[::1]:5000/a:latest");
        check(&format!("a@sha256:{HEX}"), &format!("docker.io/library/a@sha256:{HEX}"));
        check(&format!("x.io/a:v1@sha256:{HEX}"), &format!("x.io/a@sha256:{HEX}"));
    }

    #[test]
    fn what_is_no_reference_is_refused_with_the_reason() {
        check("", "! it has no name");
        check(":tag", "! it has no name");
        check("a@sha256:12", "! its digest is not sha256:<64 hex digits>");
        check("a@sha512:12", "! its digest is not sha256:<64 hex digits>");
        let names = "! names are lower-case letters and digits, separated by one of . _ __ - or /";
        for bad in ["Foo", "a//b", "a/", "/a", "a..b", "a___b", "-a", "a b", "x.io/a/../b"] {
            check(bad, names);
        }
        check("a:", "! its tag is not 1 to 128 letters, digits, _ . or -");
        check("a:-x", "! its tag is not 1 to 128 letters, digits, _ . or -");
        check("x.io:port/a", "! its registry is not a host name with an optional port");
        check("x.io:99999/a", "! its registry is not a host name with an optional port");
        check("../a", "! its registry is not a host name with an optional port");
        check("-x.io/a", "! its registry is not a host name with an optional port");
        check(&format!("x.io/{}", "a".repeat(260)), "! its name is longer than 255 characters");
    }
}
