//! Which hosts serve a registry's images: the registry itself, and what `hosts.toml` says about it.
//!
//! The format is containerd's, so that a node's existing files and everybody's documentation hold.

mod file;
#[cfg(test)]
mod fuzz;

use crate::bounds::HOSTS_FILE_BYTES;
use crate::config::Config;
use crate::error::PullError;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A host that may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegistryHost {
    /// Scheme, host, port and path to which `/<repository>/manifests/…` is added.
    pub(crate) base: String,
    /// Host and port.
    pub(crate) address: String,
    /// May turn a tag into a digest.
    pub(crate) resolves: bool,
    /// May serve what a digest names.
    pub(crate) pulls: bool,
    /// Has another address than the registry and is told for which one it stands.
    pub(crate) mirror: bool,
    /// The last word: what this one does not have does not exist.
    pub(crate) authority: bool,
    /// Sent with every request to it.
    pub(crate) headers: Vec<(String, String)>,
    /// How to connect to it.
    pub(crate) connection: Connection,
}

/// What a connection to a host needs; hosts with the same needs share a client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Connection {
    /// Further certificate authorities, PEM files.
    pub(crate) ca: Vec<PathBuf>,
    /// Client certificate and key, PEM files; the key may stand in the first.
    pub(crate) client: Vec<(PathBuf, Option<PathBuf>)>,
    /// Trust whatever certificate it shows.
    pub(crate) skip_verify: bool,
    /// Instead of the configured time-out.
    pub(crate) dial_timeout: Option<Duration>,
}

impl RegistryHost {
    /// Scheme and address, for messages.
    pub(crate) fn origin(&self) -> &str {
        let after_scheme = self.base.find("://").map_or(0, |at| at + 3);
        let end = self
            .base
            .get(after_scheme..)
            .and_then(|rest| rest.find('/'))
            .map_or(self.base.len(), |at| after_scheme + at);
        self.base.get(..end).unwrap_or(&self.base)
    }
}

/// The hosts of `registry`, in the order in which to ask them. Reads files; blocks.
pub(crate) fn hosts(config: &Config, registry: &str) -> Result<Vec<RegistryHost>, PullError> {
    let Some((path, text)) = find(config, registry) else { return Ok(upstream(registry)) };
    let text = match text {
        Ok(text) => text,
        Err(error) => return Err(PullError::Hosts { path, problem: format!("cannot be read: {error}") }),
    };
    let folder = path.parent().unwrap_or(&path);
    file::parse(&text, registry, folder).map_err(|problem| PullError::Hosts { path: path.clone(), problem })
}

/// The file by which those are known, if there is one. Reads files; blocks.
pub(crate) fn hosts_file(config: &Config, registry: &str) -> Option<PathBuf> {
    find(config, registry).map(|(path, _)| path)
}

/// The first file that is there, and its text.
fn find(config: &Config, registry: &str) -> Option<(PathBuf, std::io::Result<String>)> {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    for directory in &config.hosts_dirs {
        for name in names(registry) {
            let path = directory.join(name).join("hosts.toml");
            match read(&path) {
                Err(error) if matches!(error.kind(), NotFound | NotADirectory) => {}
                text => return Some((path, text)),
            }
        }
    }
    None
}

/// Reads one byte more than the parser takes: it says that this is too much.
fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(HOSTS_FILE_BYTES as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

/// The folder names under which a registry is looked for; `:` can't stand in every file name.
fn names(registry: &str) -> Vec<String> {
    let mut names = vec![registry.to_owned()];
    if let Some((host, port)) = registry.rsplit_once(':') {
        names.push(format!("{host}_{port}_"));
    }
    names.push("_default".to_owned());
    names
}

/// The registry itself. One on this machine may well speak plain HTTP; it is asked by HTTPS first.
fn upstream(registry: &str) -> Vec<RegistryHost> {
    let address = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
    let schemes: &[&str] = if is_local(address) { &["https", "http"] } else { &["https"] };
    schemes
        .iter()
        .map(|scheme| RegistryHost {
            base: format!("{scheme}://{address}/v2"),
            address: address.to_owned(),
            resolves: true,
            pulls: true,
            mirror: false,
            authority: true,
            headers: Vec::new(),
            connection: Connection::default(),
        })
        .collect()
}

/// Whether an address with or without a port is this machine's loopback.
fn is_local(address: &str) -> bool {
    let host = match address.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => address.split(':').next().unwrap_or(address),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Relative paths in a hosts.toml start at its folder.
fn beside(folder: &Path, path: &str) -> PathBuf {
    folder.join(path)
}
