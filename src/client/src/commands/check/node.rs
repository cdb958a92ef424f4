//! `peapod check node`: what the kernel and the machine offer, read from files; nothing is changed.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use peapod_text::one_line;

use super::report::CheckReport;
use crate::bounds::{VERSION_BYTES, VERSION_TIME};

/// Between two looks whether a runtime has said its version.
const POLL: Duration = Duration::from_millis(5);

/// What is read of a machine. Paths begin at a root, which is `/`.
pub(super) struct NodeFiles {
    root: PathBuf,
}

/// OCI runtimes that peapod knows how to use without a word of configuration, and others that work as handlers.
const RUNTIMES: [&str; 2] = ["crun", "runc"];
const OTHER_RUNTIMES: [&str; 5] = ["youki", "runsc", "kata-runtime", "nvidia-container-runtime", "crun-wasm"];
const FOLDERS: [&str; 6] = ["usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin"];

impl NodeFiles {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(super) fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.root.join(path)).ok().map(|text| text.trim().to_owned())
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    pub(super) fn program(&self, name: &str) -> Option<PathBuf> {
        FOLDERS.iter().map(|folder| self.root.join(folder).join(name)).find(|path| path.is_file())
    }

    /// Names in a folder, sorted.
    pub(super) fn list(&self, path: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.root.join(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// Looks at everything.
pub(super) fn check_node(machine: &NodeFiles) -> CheckReport {
    let mut report = CheckReport::default();
    kernel(machine, &mut report);
    cgroups(machine, &mut report);
    runtimes(machine, &mut report);
    overlay(machine, &mut report);
    namespaces(machine, &mut report);
    confinement(machine, &mut report);
    report
}

fn kernel(machine: &NodeFiles, report: &mut CheckReport) {
    let release = machine.read("proc/sys/kernel/osrelease").unwrap_or_default();
    match version_of(&release) {
        Some(version) if version >= (6, 1) => report.works("kernel", release),
        Some(_) => report.fails("kernel", format!("{release}; peapod needs Linux 6.1 or newer"), "update the kernel"),
        None => report.notice("kernel", format!("its version can't be read: {release:?}"), None),
    }
}

fn version_of(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn cgroups(machine: &NodeFiles, report: &mut CheckReport) {
    let systemd = machine.has("run/systemd/system");
    if let Some(controllers) = machine.read("sys/fs/cgroup/cgroup.controllers") {
        let driver = if systemd { "systemd" } else { "cgroupfs" };
        report.works("cgroups", format!("version 2; by default the driver is {driver}"));
        let missing: Vec<&str> =
            ["cpu", "memory", "pids"].into_iter().filter(|name| !controllers.split(' ').any(|c| c == *name)).collect();
        if missing.is_empty() {
            report.works("controllers", controllers);
        } else {
            let found = format!("{} are missing: limits of them can't be set", missing.join(", "));
            report.fails(
                "controllers",
                found,
                "enable them on the kernel's command line, such as cgroup_enable=memory",
            );
        }
        return;
    }
    let old = ["memory", "pids", "cpu"].map(|name| machine.has(&format!("sys/fs/cgroup/{name}")));
    if old.iter().all(|is_there| *is_there) {
        let better = "boot with systemd.unified_cgroup_hierarchy=1 for version 2, which Kubernetes wants from 1.35 on";
        report.notice("cgroups", "version 1; the driver is cgroupfs", Some(better));
    } else {
        let way_out = "mount them: mount -t cgroup2 cgroup2 /sys/fs/cgroup";
        report.fails("cgroups", "neither version 2 nor version 1 is mounted at /sys/fs/cgroup", way_out);
    }
}

fn runtimes(machine: &NodeFiles, report: &mut CheckReport) {
    let found: Vec<(&str, PathBuf)> =
        RUNTIMES.iter().filter_map(|name| machine.program(name).map(|path| (*name, path))).collect();
    for (name, path) in &found {
        report.works(name, format!("{}, {}", path.display(), version(path, VERSION_TIME)));
    }
    match found.first() {
        None => report.fails("OCI runtime", "neither crun nor runc is installed", "install one, for example crun"),
        Some((name, _)) => report.works("OCI runtime", format!("{name} is the default handler")),
    }
    let others = OTHER_RUNTIMES.iter().filter_map(|name| machine.program(name));
    for path in others {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let found = format!("{}; a handler where the daemon finds it, too: `peapod check handlers`", path.display());
        report.notice(&name, found, None);
    }
}

/// The first line that a runtime says about itself.
fn version(path: &Path, time: Duration) -> String {
    match said(path, time) {
        Ok(Some(said)) => {
            let first = said.lines().next().unwrap_or_default().trim();
            if first.is_empty() { "which does not say its version".to_owned() } else { one_line(first).into_owned() }
        }
        Ok(None) => format!("which does not say its version within {} s", time.as_secs()),
        Err(error) => format!("which can't be started: {error}"),
    }
}

/// What it prints; nothing if it does not end in time.
fn said(path: &Path, time: Duration) -> io::Result<Option<String>> {
    let mut command = Command::new(path);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let (mut child, begun) = (command.spawn()?, Instant::now());
    while child.try_wait()?.is_none() {
        if begun.elapsed() > time {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(POLL);
    }
    let mut said = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        // What it has started may still hold the other end.
        peapod_sys::set_nonblocking(&stdout)?;
        match stdout.take(VERSION_BYTES).read_to_end(&mut said) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
    }
    Ok(Some(String::from_utf8_lossy(&said).into_owned()))
}

fn overlay(machine: &NodeFiles, report: &mut CheckReport) {
    let systems = machine.read("proc/filesystems").unwrap_or_default();
    if systems.lines().any(|line| line.split_whitespace().last() == Some("overlay")) {
        report.works("overlay", "the kernel has it");
    } else if has_module(machine, "overlay") {
        report.works("overlay", "a module, which is loaded when it is needed");
    } else {
        report.fails("overlay", "the kernel does not have it", "modprobe overlay, or a kernel with CONFIG_OVERLAY_FS");
    }
}

/// Whether a module could be loaded, by the lists that depmod makes.
pub(super) fn has_module(machine: &NodeFiles, name: &str) -> bool {
    let release = machine.read("proc/sys/kernel/osrelease").unwrap_or_default();
    let list = machine.read(&format!("lib/modules/{release}/modules.dep")).unwrap_or_default();
    let builtin = machine.read(&format!("lib/modules/{release}/modules.builtin")).unwrap_or_default();
    let wanted = format!("/{name}.ko");
    list.lines().chain(builtin.lines()).any(|line| line.split(':').next().unwrap_or_default().contains(&wanted))
        || machine.has(&format!("sys/module/{name}"))
}

fn namespaces(machine: &NodeFiles, report: &mut CheckReport) {
    let missing: Vec<&str> = ["net", "ipc", "uts", "pid", "mnt"]
        .into_iter()
        .filter(|name| !machine.has(&format!("proc/self/ns/{name}")))
        .collect();
    if missing.is_empty() {
        report.works("namespaces", "net, ipc, uts, pid, mnt");
    } else {
        report.fails("namespaces", format!("the kernel lacks {}", missing.join(", ")), "use a kernel that has them");
    }
    let most = machine.read("proc/sys/user/max_user_namespaces").and_then(|text| text.parse::<u64>().ok());
    match most {
        None | Some(0) => {
            let way_out = Some("for pods with hostUsers: false raise the sysctl user.max_user_namespaces");
            report.notice("user namespaces", "the kernel allows none", way_out);
        }
        Some(most) => report.works("user namespaces", format!("the kernel allows {most}")),
    }
}

fn confinement(machine: &NodeFiles, report: &mut CheckReport) {
    match machine.read("proc/sys/kernel/seccomp/actions_avail") {
        Some(_) => report.works("seccomp", "filters work; RuntimeDefault is peapod's profile"),
        None => report.notice("seccomp", "the kernel has no filters: only Unconfined works", None),
    }
    match machine.read("sys/module/apparmor/parameters/enabled").as_deref() {
        Some("Y") if machine.program("apparmor_parser").is_some() => {
            report.works("AppArmor", "on; containers get the profile peapod-default");
        }
        Some("Y") => {
            let way_out = "install the package apparmor";
            report.notice("AppArmor", "on, but apparmor_parser is not installed to load profiles", Some(way_out));
        }
        _ => report.notice("AppArmor", "off: pods that ask for a profile are refused", None),
    }
    let Some(enforce) = machine.read("sys/fs/selinux/enforce") else { return };
    let mode = if enforce == "1" { "enforcing" } else { "permissive" };
    let config = machine.read("etc/selinux/config").unwrap_or_default();
    let policy = config.lines().find_map(|line| line.trim().strip_prefix("SELINUXTYPE=")).unwrap_or_default().trim();
    match machine.read(&format!("etc/selinux/{policy}/contexts/lxc_contexts")) {
        Some(_) => report.works("SELinux", format!("{mode}; containers have the label of the policy's lxc_contexts")),
        None => report.notice(
            "SELinux",
            format!("{mode}, and the policy has no label for containers: only those have one that ask for it"),
            Some("install the policy for containers (package container-selinux, or the module container)"),
        ),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::commands::check::report::Verdict;

    /// A machine that has these files.
    pub(in crate::commands::check) fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, NodeFiles) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let machine = NodeFiles::new(dir.path());
        (dir, machine)
    }

    pub(in crate::commands::check) fn verdicts(report: &CheckReport) -> Vec<(&str, Verdict)> {
        report.0.iter().map(|finding| (finding.what.as_str(), finding.verdict)).collect()
    }

    const GOOD: &[(&str, &str)] = &[
        ("proc/sys/kernel/osrelease", "6.1.0-18-amd64\n"),
        ("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n"),
        ("proc/filesystems", "nodev\tsysfs\nnodev\toverlay\n"),
        ("proc/self/ns/net", ""),
        ("proc/self/ns/ipc", ""),
        ("proc/self/ns/uts", ""),
        ("proc/self/ns/pid", ""),
        ("proc/self/ns/mnt", ""),
        ("proc/sys/user/max_user_namespaces", "63000\n"),
        ("proc/sys/kernel/seccomp/actions_avail", "kill\n"),
        ("sys/module/apparmor/parameters/enabled", "Y\n"),
        ("usr/sbin/apparmor_parser", ""),
        ("usr/bin/crun", ""),
    ];

    #[test]
    fn a_usual_machine_works() {
        let (_dir, machine) = machine(GOOD);
        let report = check_node(&machine);
        let not_fine: Vec<_> =
            verdicts(&report).into_iter().filter(|(_, verdict)| *verdict != Verdict::Works).collect();
        assert_eq!(not_fine, [], "{}", report.text());
    }

    #[test]
    fn what_is_missing_is_named_with_a_way_out() {
        let (_dir, machine) = machine(&[
            ("proc/sys/kernel/osrelease", "5.10.0"),
            ("proc/filesystems", "ext4"),
            ("proc/sys/user/max_user_namespaces", "0"),
            ("sys/fs/selinux/enforce", "1"),
        ]);
        let report = check_node(&machine);
        let failed: Vec<_> = report.0.iter().filter(|finding| finding.verdict == Verdict::Fails).collect();
        let names: Vec<_> = failed.iter().map(|finding| finding.what.as_str()).collect();
        assert_eq!(names, ["kernel", "cgroups", "OCI runtime", "overlay", "namespaces"]);
        assert!(failed.iter().all(|finding| finding.way_out.is_some()));
        assert!(report.text().contains("SELinux"));
    }

    #[test]
    fn the_policy_has_a_label_for_containers_or_not() {
        let found = |more: &[(&str, &str)]| {
            let (_dir, machine) = machine(&[GOOD, &[("sys/fs/selinux/enforce", "0")], more].concat());
            let report = check_node(&machine);
            report.0.iter().find(|finding| finding.what == "SELinux").map(|finding| finding.verdict)
        };
        let config = ("etc/selinux/config", "SELINUXTYPE=targeted\n");
        assert_eq!(found(&[]), Some(Verdict::Notice));
        assert_eq!(found(&[config]), Some(Verdict::Notice));
        let contexts = ("etc/selinux/targeted/contexts/lxc_contexts", "process = x\n");
        assert_eq!(found(&[config, contexts]), Some(Verdict::Works));
    }

    #[test]
    fn a_module_is_as_good_as_built_in() {
        let (_dir, machine) = machine(&[
            ("proc/sys/kernel/osrelease", "6.1.0"),
            ("lib/modules/6.1.0/modules.dep", "kernel/fs/overlayfs/overlay.ko.xz: kernel/x.ko\n"),
            ("lib/modules/6.1.0/modules.builtin", "kernel/net/netfilter/nf_tables.ko\n"),
        ]);
        assert!(has_module(&machine, "overlay") && has_module(&machine, "nf_tables") && !has_module(&machine, "x"));
    }

    #[test]
    fn a_runtime_that_says_nothing_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let script = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            path
        };
        let hangs = script("hangs", "exec sleep 600");
        assert_eq!(version(&hangs, Duration::ZERO), "which does not say its version within 0 s");
        let says = script("says", "echo crun 1.14; echo more");
        assert_eq!(version(&says, VERSION_TIME), "crun 1.14");
        let leaves = script("leaves", "echo crun; sleep 600 & echo $! >\"$0.pid\"");
        assert_eq!(version(&leaves, VERSION_TIME), "crun");
        let left = std::fs::read_to_string(dir.path().join("leaves.pid")).unwrap().trim().parse().unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(left), nix::sys::signal::Signal::SIGKILL).unwrap();
        assert!(version(&dir.path().join("none"), VERSION_TIME).starts_with("which can't be started"));
    }
}
