//! What a test wants of its daemon.

/// Differences from the defaults of a test daemon.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub(crate) handler: Option<&'static str>,
    pub(crate) settings: Vec<String>,
    pub(crate) hosts: Vec<(String, String)>,
    pub(crate) ipv6: bool,
    pub(crate) started_by: Option<String>,
    pub(crate) state_disk: Option<u32>,
}

impl Options {
    /// A private daemon with crun, a network of its own and the local registry's images.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The runtime handler of pods that name none.
    #[must_use]
    pub fn handler(mut self, name: &'static str) -> Self {
        self.handler = Some(name);
        self
    }

    pub(crate) fn handler_name(&self) -> &'static str {
        self.handler.unwrap_or("crun")
    }

    /// One more `KEY=VALUE` of the configuration.
    #[must_use]
    pub fn set(mut self, setting: impl Into<String>) -> Self {
        self.settings.push(setting.into());
        self
    }

    /// A `hosts.toml` for a registry's name.
    #[must_use]
    pub fn hosts(mut self, host: impl Into<String>, toml: impl Into<String>) -> Self {
        self.hosts.push((host.into(), toml.into()));
        self
    }

    /// The state root is a disk of its own with so many MiB.
    #[must_use]
    pub fn state_disk(mut self, mib: u32) -> Self {
        self.state_disk = Some(mib);
        self
    }

    /// The daemon is started by a shell after these words, which end with `exec` and what else comes before a command.
    #[must_use]
    pub fn started_by(mut self, script: impl Into<String>) -> Self {
        self.started_by = Some(script.into());
        self
    }

    /// Pods also get an IPv6 address.
    #[must_use]
    pub fn ipv6(mut self) -> Self {
        self.ipv6 = true;
        self
    }
}
