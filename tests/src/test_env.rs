//! A place of its own for each test daemon: folders, and names that no other daemon of the node uses.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

use nix::mount::{MsFlags, mount};
use tempfile::TempDir;

use crate::{Options, Programs, cgroups};

/// Where one daemon lives. The folders are gone when it is dropped.
pub(crate) struct TestEnv {
    dir: TempDir,
    /// As everywhere, on a tmpfs.
    run: TempDir,
    slot: u16,
}

impl TestEnv {
    pub(crate) fn new(options: &Options) -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        // Short: paths of unix sockets have 107 bytes.
        let folder = |at: &Path| tempfile::Builder::new().prefix("t").rand_bytes(4).tempdir_in(at).unwrap();
        let (dir, run) = (folder(&Programs::get().node), folder(Path::new("/run")));
        let env = Self { dir, run, slot: NEXT.fetch_add(1, Ordering::Relaxed) };
        fs::create_dir_all(env.netns_dir()).unwrap();
        if let Some(mib) = options.state_disk {
            let (root, size) = (env.state_root(), format!("size={mib}m"));
            fs::create_dir(&root).unwrap();
            mount(Some("tmpfs"), &root, Some("tmpfs"), MsFlags::empty(), Some(size.as_str())).unwrap();
        }
        for (host, toml) in &options.hosts {
            let dir = env.path("certs.d").join(host);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("hosts.toml"), toml).unwrap();
        }
        fs::write(env.config(), env.toml(options)).unwrap();
        env
    }

    /// A path in the daemon's folder.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("config.toml")
    }

    pub(crate) fn state_root(&self) -> PathBuf {
        self.path("state")
    }

    pub(crate) fn run_root(&self) -> PathBuf {
        self.run.path().to_path_buf()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.run_root().join("peapod.sock")
    }

    pub(crate) fn netns_dir(&self) -> PathBuf {
        self.path("netns")
    }

    pub(crate) fn bridge(&self) -> String {
        format!("pt{}", self.slot)
    }

    /// Parent of the pods' cgroups.
    pub(crate) fn cgroup(&self) -> String {
        cgroups::parent("", &format!("pt{}", self.slot))
    }

    pub(crate) fn shims_cgroup(&self) -> String {
        format!("/pt{}-shims", self.slot)
    }

    /// The first three numbers of the pods' addresses.
    pub(crate) fn subnet(&self) -> String {
        format!("10.{}.{}", 100 + self.slot / 256, self.slot % 256)
    }

    fn toml(&self, options: &Options) -> String {
        let programs = Programs::get();
        let subnet = self.subnet();
        let ipv6 = if options.ipv6 { format!(", \"fd00:7065:6170:{:x}::/64\"", self.slot) } else { String::new() };
        format!(
            "state_root = {state:?}\nrun_root = {run:?}\n\
             [log]\nlevel = \"info,peapod_daemon=debug,peapod_pod=debug,peapod_image=debug,peapod_network=debug\"\n\
             [shim]\npath = {shim:?}\n\
             [cgroup]\ndriver = {driver:?}\nparent = {cgroup:?}\nshims = {shims:?}\n\
             [checkpoint]\nrestore = \"trusted\"\n\
             [runtimes]\ndefault = {default:?}\n\
             [runtimes.handlers.crun]\npath = {crun:?}\n\
             [runtimes.handlers.runc]\npath = {runc:?}\n\
             [image]\nhosts_dirs = [{certs:?}]\n\
             [network]\nbridge = {bridge:?}\nsubnets = [\"{subnet}.0/24\"{ipv6}]\nnetns_dir = {netns:?}\ncni_conf_dir = {cni:?}\n",
            state = self.state_root(),
            run = self.run_root(),
            shim = programs.shim,
            driver = programs.cgroup_driver,
            cgroup = self.cgroup(),
            shims = self.shims_cgroup(),
            default = options.handler_name(),
            crun = programs.crun,
            runc = programs.runc,
            certs = self.path("certs.d"),
            bridge = self.bridge(),
            netns = self.netns_dir(),
            cni = self.path("cni"),
        )
    }
}
