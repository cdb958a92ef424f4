//! A pod's namespaces held by one process, and containers in them, each runtime call in a mount namespace of its own
//! (crun refuses the mixed cgroup layout of some machines, so the v2 part is taken away there).

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::container::{ContainerMount, MountSource, Propagation, Resources};
use crate::tests::fixture::{Case, GROUP, PASSWD, words};
use crate::{
    CapabilitySet, Config, NamespacePaths, PidNamespace, PodFiles, ResolvedMount, SourcePropagation, linux_resources,
    resources_json, update_resources,
};

const CGROUPS: &str = "/sys/fs/cgroup";
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Holder of namespaces and files.
pub(super) struct Pod {
    dir: tempfile::TempDir,
    holder: Child,
    init: u32,
    name: String,
}

impl Pod {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["bundle", "tree/sub", "shm"] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        std::fs::write(dir.path().join("hosts"), "10.0.0.9 hosts-of-the-pod\n").unwrap();
        let rootfs = dir.path().join("bundle/rootfs");
        for name in ["dev", "etc", "proc", "sys", "tmp", "usr"] {
            std::fs::create_dir_all(rootfs.join(name)).unwrap();
        }
        for name in ["bin", "lib", "lib64"] {
            std::os::unix::fs::symlink(format!("usr/{name}"), rootfs.join(name)).unwrap();
        }
        std::fs::set_permissions(rootfs.join("tmp"), Permissions::from_mode(0o1777)).unwrap();
        std::fs::write(rootfs.join("etc/passwd"), PASSWD).unwrap();
        std::fs::write(rootfs.join("etc/group"), GROUP).unwrap();
        let holder = Command::new("unshare")
            .args(words("-m -n -i -u -p -f --mount-proc --kill-child sh -c"))
            .arg("hostname podname; exec sleep 600")
            .spawn()
            .unwrap();
        let init = wait_for("the pod's first process", || {
            let children = format!("/proc/{0}/task/{0}/children", holder.id());
            let child: u32 = std::fs::read_to_string(children).ok()?.trim().parse().ok()?;
            let name = std::fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
            (name.trim() == "sleep").then_some(child)
        });
        let name = format!("peapod-spec-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self { dir, holder, init, name }
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A container that runs a shell script, with what this process may really grant.
    pub(super) fn case(&self, script: &str) -> Case {
        let mut case = Case::new();
        case.container.command = words("/bin/sh -c");
        case.container.args = vec![script.to_owned()];
        let namespace = |kind| Some(PathBuf::from(format!("/proc/{}/ns/{kind}", self.init)));
        case.namespaces = NamespacePaths {
            network: namespace("net"),
            ipc: namespace("ipc"),
            uts: namespace("uts"),
            user: None,
            pid: namespace("pid").map_or(PidNamespace::Host, PidNamespace::Path),
        };
        case.files = PodFiles {
            hosts: Some(self.dir().join("hosts")),
            shm: Some(self.dir().join("shm")),
            ..PodFiles::default()
        };
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap();
        case.node.capabilities = u64::from_str_radix(bounding.trim(), 16).unwrap();
        case.node.may_lower_oom =
            CapabilitySet::from_mask(case.node.capabilities).contains(oci_spec::runtime::Capability::SysResource);
        case.node.oom_score_adj = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim().parse().unwrap();
        case.container.resources.oom_score_adj = 500;
        case.node.cgroup_v2 = Path::new(CGROUPS).join("cgroup.controllers").exists();
        case.node.swap_accounting =
            case.node.cgroup_v2 || Path::new(CGROUPS).join("memory/memory.memsw.limit_in_bytes").exists();
        case.node.hugepage_sizes = Vec::new();
        case.cgroups_path = format!("/{0}/{0}", self.name);
        case.mounts.push(ResolvedMount {
            source: "/usr".into(),
            lacks: Vec::new(),
            propagation: SourcePropagation::Private,
        });
        case.container.mounts.push(ContainerMount {
            container_path: "/usr".into(),
            source: MountSource::Host("/usr".into()),
            readonly: true,
            recursive_read_only: false,
            selinux_relabel: false,
            propagation: Propagation::Private,
            options: Vec::new(),
            users: None,
        });
        case
    }

    fn write_config(&self, case: &Case) -> Config {
        let config = case.config().unwrap().config;
        std::fs::write(self.dir().join("bundle/config.json"), config.json().unwrap()).unwrap();
        config
    }

    /// One call of the runtime. `DIR/tree` is a shared mount there with a tmpfs in it.
    fn call(&self, runtime: &Path, args: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(words("-m --propagation private sh -c"))
            .arg(
                "umount /sys/fs/cgroup/unified 2>/dev/null; dir=$1; shift
                 mount --bind $dir/tree $dir/tree && mount --make-shared $dir/tree && mount -t tmpfs sub $dir/tree/sub
                 cd $dir && exec \"$@\"",
            )
            .arg("sh")
            .arg(self.dir())
            .arg(runtime)
            .arg("--root")
            .arg(self.dir().join("state"))
            .args(args)
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        // unshare gives its child a KILL when it ends.
        self.holder.kill().ok();
        self.holder.wait().ok();
        for hierarchy in std::fs::read_dir(CGROUPS).into_iter().flatten().flatten() {
            std::fs::remove_dir(hierarchy.path().join(&self.name)).ok();
        }
        std::fs::remove_dir(Path::new(CGROUPS).join(&self.name)).ok();
    }
}

/// Runs a container to its end; what it wrote to its standard output.
pub(super) fn run(runtime: &Path, pod: &Pod, case: &Case) -> String {
    pod.write_config(case);
    let output = pod.call(runtime, &["run", "--bundle", "bundle", &pod.name]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {}: {errors}", runtime.display(), output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// A container that goes on running.
pub(super) struct Running<'a> {
    runtime: &'a Path,
    pod: &'a Pod,
    case: &'a Case,
    config: Config,
}

impl<'a> Running<'a> {
    pub(super) fn start(runtime: &'a Path, pod: &'a Pod, case: &'a Case) -> Self {
        let config = pod.write_config(case);
        let running = Self { runtime, pod, case, config };
        let mut run = pod.call(runtime, &["run", "--detach", "--bundle", "bundle", &pod.name]);
        let status = run.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.success(), "{}: {status}", runtime.display());
        running
    }

    pub(super) fn exec(&self, script: &str) -> String {
        let mut args = words("/bin/sh -c");
        args.push(script.to_owned());
        std::fs::write(
            self.pod.dir().join("process.json"),
            self.config.exec_template().unwrap().process(&args, false).unwrap(),
        )
        .unwrap();
        let output =
            self.pod.call(self.runtime, &["exec", "--process", "process.json", &self.pod.name]).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {errors}", self.runtime.display());
        String::from_utf8(output.stdout).unwrap()
    }

    /// Changes limits; returns what holds then.
    pub(super) fn update(&self, current: &Resources, change: &Resources) -> Resources {
        let after = update_resources(current, change).unwrap();
        let json = resources_json(&linux_resources(&after, &self.case.node)).unwrap();
        std::fs::write(self.pod.dir().join("resources.json"), json).unwrap();
        let output = self.pod.call(self.runtime, &["update", "-r", "resources.json", &self.pod.name]).output().unwrap();
        assert!(output.status.success(), "{}: {}", self.runtime.display(), String::from_utf8_lossy(&output.stderr));
        after
    }

    pub(super) fn cgroup_file(&self, v1: &str, v2: &str) -> String {
        let path = if self.case.node.cgroup_v2 {
            format!("{CGROUPS}{}/{v2}", self.case.cgroups_path)
        } else {
            let (controller, _) = v1.split_once('.').unwrap();
            format!("{CGROUPS}/{controller}{}/{v1}", self.case.cgroups_path)
        };
        std::fs::read_to_string(&path).unwrap().trim().to_owned()
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.pod.call(self.runtime, &["delete", "--force", &self.pod.name]).status().ok();
    }
}

fn wait_for<T>(what: &str, condition: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}
