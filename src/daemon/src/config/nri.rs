//! `[nri]`: where the node's plugins connect, and what they may do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use peapod_nri::{InstalledSettings, PluginName, Rejected, Rules};

use super::section::{Section, absolute, socket_path};

/// Where plugins look for a runtime.
const SOCKET: &str = "/var/run/nri/nri.sock";
/// The run root of the one daemon that a node has, as a rule. Others have their sockets below their own.
const USUAL_RUN_ROOT: &str = "/run/peapod";
/// Where plugins are installed that a runtime starts, and where what each of them is handed.
const PROGRAMS: &str = "/opt/nri/plugins";
const CONFIGURATIONS: &str = "/etc/nri/conf.d";
const REGISTRATION: Duration = Duration::from_secs(5);
const REQUEST: Duration = Duration::from_secs(2);

/// The Node Resource Interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NriSettings {
    /// None: nobody can connect.
    pub(crate) socket: Option<PathBuf>,
    /// Which plugins are started; none: the node's are another daemon's.
    pub(crate) installed: Option<InstalledSettings>,
    pub(crate) registration_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) rules: Rules,
}

impl NriSettings {
    pub(super) fn read(mut section: Section<'_>, run_root: &Path) -> Self {
        let is_usual = run_root == Path::new(USUAL_RUN_ROOT);
        let usual = if is_usual { SOCKET.into() } else { run_root.join("nri.sock") };
        let socket = section.text("socket", Some(usual), |text| match text {
            "" => Ok(None),
            text => absolute(text).and_then(socket_path).map(Some),
        });
        let programs = section.text("plugin_dir", is_usual.then(|| PROGRAMS.into()), |text| match text {
            "" => Ok(None),
            text => absolute(text).map(Some),
        });
        let configurations = section.path("plugin_config_dir", CONFIGURATIONS);
        let installed = programs.map(|programs| InstalledSettings { programs, configurations });
        let registration_timeout = section.duration("registration_timeout", REGISTRATION);
        let request_timeout = section.duration("request_timeout", REQUEST);
        let required = section.texts("required_plugins", Vec::new(), |text| {
            let name = PluginName::new("00", text);
            name.map(|_| text.to_owned()).map_err(|_| "is no name of a plugin, which has no index here".to_owned())
        });
        let tolerate_missing_annotation =
            section.text("tolerate_missing_annotation", String::new(), |text| Ok(text.to_owned()));
        let reject = section.texts("reject", Vec::new(), |text| {
            text.parse::<Rejected>().map_err(|()| {
                "is none of hooks, namespaces, sysctls, seccomp-default, seccomp-unconfined and seccomp-localhost"
                    .to_owned()
            })
        });
        section.finish();
        let rules = Rules { required, tolerate_missing_annotation, reject: reject.into_iter().collect() };
        Self { socket, installed, registration_timeout, request_timeout, rules }
    }
}
