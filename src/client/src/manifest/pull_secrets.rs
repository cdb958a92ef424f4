//! Credentials for pulls, as Secrets hold them: what `docker login` writes.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1 as k8s;
use serde::Deserialize;

use super::builder::Builder;
use super::objects::DataKind;

/// The credentials for a registry, or for a part of it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PullSecret {
    /// A host, with a path if it is for a part; `*` stands for a label of the host's name.
    pub(crate) registry: String,
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) identity_token: String,
}

/// No password is ever printed.
impl fmt::Debug for PullSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PullSecret").field("registry", &self.registry).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, DockerConfigEntry>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DockerConfigEntry {
    auth: ByteString,
    username: String,
    password: String,
    identitytoken: String,
}

/// The credentials of all Secrets that are named, in their order.
pub(super) fn build(b: &mut Builder<'_>, given: &[k8s::LocalObjectReference]) -> Vec<PullSecret> {
    let mut found = Vec::new();
    for (index, reference) in given.iter().enumerate() {
        let path = format!("spec.imagePullSecrets[{index}]");
        let (objects, namespace) = b.objects();
        let Some(data) = objects.data(DataKind::Secret, namespace, &reference.name) else {
            // As a kubelet does it: the image may be public.
            let text = format!("is `{}`, which these files do not have: images are pulled without it", reference.name);
            b.add_note(&format!("{path}.name"), text);
            continue;
        };
        let entries = match (data.get(".dockerconfigjson"), data.get(".dockercfg")) {
            (Some(text), _) => serde_json::from_slice::<DockerConfig>(text).map(|config| config.auths),
            (None, Some(text)) => serde_json::from_slice(text),
            (None, None) => {
                let text = format!("is `{}`, which has neither .dockerconfigjson nor .dockercfg", reference.name);
                b.add_mistake(&format!("{path}.name"), text);
                continue;
            }
        };
        match entries {
            Ok(entries) => found.extend(entries.into_iter().filter_map(|(registry, entry)| entry.read(registry))),
            // What the parser says may quote the password.
            Err(_) => b.add_mistake(&format!("{path}.name"), "is no configuration of `docker login`: it can't be read"),
        }
    }
    found
}

impl DockerConfigEntry {
    fn read(self, registry: String) -> Option<PullSecret> {
        let both = String::from_utf8(self.auth.0).ok()?;
        let (username, password) = match both.split_once(':') {
            Some((user, password)) => (user.to_owned(), password.trim_end_matches('\0').to_owned()),
            None => (self.username, self.password),
        };
        let some = !username.is_empty() || !self.identitytoken.is_empty();
        some.then_some(PullSecret { registry, username, password, identity_token: self.identitytoken })
    }
}

impl PullSecret {
    /// Whether it is for an image, and how much of the image's name says so: who says most comes first.
    pub(crate) fn fits(&self, image: &str) -> Option<usize> {
        let given = self.registry.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
        let given = given.strip_suffix("/v1").or_else(|| given.strip_suffix("/v2")).unwrap_or(given);
        let (host, path) = given.split_once('/').unwrap_or((given, ""));
        let (image_host, repository) = repository(image);
        let labels = |host: &str| host.split('.').map(str::to_owned).collect::<Vec<_>>();
        let (host, image_host) = (labels(hub(host)), labels(&image_host));
        let same = host.len() == image_host.len()
            && host.iter().zip(&image_host).all(|(pattern, label)| pattern == "*" || pattern == label);
        let below = path.is_empty()
            || repository.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':', '@']));
        (same && below).then_some(path.len())
    }
}

/// Docker Hub has several names.
fn hub(host: &str) -> &str {
    if matches!(host, "index.docker.io" | "registry-1.docker.io") { "docker.io" } else { host }
}

/// The host of an image and the rest of its name.
fn repository(image: &str) -> (String, String) {
    match image.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => {
            let rest =
                if hub(host) == "docker.io" && !rest.contains('/') { format!("library/{rest}") } else { rest.into() };
            (hub(host).to_owned(), rest)
        }
        Some(_) => ("docker.io".to_owned(), image.to_owned()),
        None => ("docker.io".to_owned(), format!("library/{image}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_fit_what_they_are_for() {
        for (registry, image, fits) in [
            ("https://index.docker.io/v1/", "nginx:1", Some(0)),
            ("docker.io", "me/app", Some(0)),
            ("docker.io/me", "me/app:1", Some(2)),
            ("docker.io/m", "me/app:1", None),
            ("localhost:5000", "localhost:5000/a/b@sha256:0", Some(0)),
            ("localhost:5001", "localhost:5000/a/b", None),
            ("*.example.com", "a.example.com/x", Some(0)),
            ("*.example.com", "a.b.example.com/x", None),
            ("https://r.example/v2/", "r.example/x", Some(0)),
            ("r.example/team/app", "r.example/team/app:2", Some(8)),
            ("r.example", "other.example/x", None),
        ] {
            let secret = PullSecret {
                registry: registry.into(),
                username: "u".into(),
                password: "p".into(),
                identity_token: String::new(),
            };
            assert_eq!(secret.fits(image), fits, "{registry} {image}");
            assert!(!format!("{secret:?}").contains("password"));
        }
    }
}
