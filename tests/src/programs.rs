//! Where the built binaries are, from the environment.

use std::path::PathBuf;
use std::sync::LazyLock;

/// What the tests run.
#[derive(Debug)]
pub struct Programs {
    /// The daemon and client.
    pub peapod: PathBuf,
    /// The shim.
    pub shim: PathBuf,
    /// The oldest shim that the daemon drives.
    pub old_shim: PathBuf,
    /// Debian's crun.
    pub crun: PathBuf,
    /// The Go tools' runc.
    pub runc: PathBuf,
    /// The Go tools' crictl.
    pub crictl: PathBuf,
    /// The Go tools' plugin of the Node Resource Interface.
    pub nri_plugin: PathBuf,
    /// The folder of the Go tools' CNI plugins.
    pub cni: PathBuf,
    /// `host:port` of the local registry.
    pub registry: String,
    /// Who is to make cgroups.
    pub cgroup_driver: String,
    /// The node's folder: everything that a test writes is below it.
    pub node: PathBuf,
}

impl Programs {
    /// Reads the environment once.
    ///
    /// # Panics
    /// When something is missing: these tests are never skipped silently.
    pub fn get() -> &'static Self {
        static PROGRAMS: LazyLock<Programs> = LazyLock::new(Programs::find);
        &PROGRAMS
    }

    fn find() -> Self {
        let variable = |name: &str| {
            std::env::var(name)
                .unwrap_or_else(|_| panic!("{name} is not set: these tests run in a node, by `make test-integration`"))
        };
        let program = |name: &str| {
            let path = PathBuf::from(variable(name));
            assert!(path.is_file(), "{name}={} is not there: `make build` first", path.display());
            path
        };
        Self {
            peapod: program("PEAPOD_BIN"),
            shim: program("PEAPOD_SHIM"),
            old_shim: program("PEAPOD_OLD_SHIM"),
            crun: program("PEAPOD_CRUN"),
            runc: program("PEAPOD_RUNC"),
            crictl: PathBuf::from(variable("PEAPOD_GOTOOLS")).join("crictl"),
            nri_plugin: PathBuf::from(variable("PEAPOD_GOTOOLS")).join("nriplugin"),
            cni: PathBuf::from(variable("PEAPOD_CNI")),
            registry: variable("PEAPOD_REGISTRY"),
            cgroup_driver: std::env::var("PEAPOD_CGROUP_DRIVER").unwrap_or_else(|_| "cgroupfs".to_owned()),
            node: PathBuf::from(variable("NODE_DIR")),
        }
    }
}
