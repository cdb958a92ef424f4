//! Who makes the groups of containers: the OCI runtime by itself, or systemd when the runtime asks it. What differs is
//! how groups are called, by us and towards the runtime. Nothing else asks for the driver.

use std::path::Path;

use crate::{DriverError, Hierarchy, Limits, PathError, ScopePrefix};

/// What stands before a pod's id in the name of its own group, as a kubelet calls those that it makes.
const POD: &str = "pod";

/// A way of making containers' groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum CgroupDriver {
    /// The runtime makes directories: `/kubepods/pod1/<id>`.
    #[default]
    Cgroupfs,
    /// systemd makes scopes in slices: `/kubepods.slice/kubepods-pod1.slice/cri-containerd-<id>.scope`.
    Systemd,
}

impl CgroupDriver {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Cgroupfs, Self::Systemd];

    /// Its name, as in configurations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cgroupfs => "cgroupfs",
            Self::Systemd => "systemd",
        }
    }

    /// The one that fits a node: systemd where it manages the groups, and version 2 is alone.
    #[must_use]
    pub fn of_node(cgroup_root: &Path, systemd: &Path) -> Self {
        if Self::Systemd.check(cgroup_root, systemd).is_ok() { Self::Systemd } else { Self::Cgroupfs }
    }

    /// Whether a node has what it needs. `systemd` is the directory that is there when systemd is PID 1,
    /// `/run/systemd/system`.
    ///
    /// # Errors
    /// Naming what is missing.
    pub fn check(self, cgroup_root: &Path, systemd: &Path) -> Result<(), DriverError> {
        match self {
            Self::Cgroupfs => Ok(()),
            Self::Systemd if !systemd.is_dir() => Err(DriverError::NoSystemd { looked_for: systemd.to_path_buf() }),
            Self::Systemd => match Hierarchy::detect(cgroup_root) {
                Ok(hierarchy) if hierarchy.is_v2() => Ok(()),
                _ => Err(DriverError::NotV2 { root: cgroup_root.to_path_buf() }),
            },
        }
    }

    /// The parent of pods that name none.
    #[must_use]
    pub fn default_parent(self) -> &'static str {
        match self {
            Self::Cgroupfs => "/peapod",
            Self::Systemd => "/peapod.slice",
        }
    }

    /// The path of a parent's group. For systemd the last element is a slice's name, which says where it is by itself.
    ///
    /// # Errors
    /// When the text is no group's path, or no slice.
    pub fn parent(self, text: &str) -> Result<String, PathError> {
        let wrong = |why| PathError { path: text.to_owned(), why };
        match self {
            Self::Cgroupfs => crate::hierarchy::clean(text),
            Self::Systemd => {
                let path = text.trim_end_matches('/');
                if path.split('/').any(|part| part == "..") {
                    return Err(wrong(PathError::PLAIN));
                }
                let name = path.rsplit('/').next().unwrap_or_default();
                expand(name).ok_or_else(|| wrong(PathError::SLICE))
            }
        }
    }

    /// The path of a container's group below a parent that [`CgroupDriver::parent`] has answered.
    #[must_use]
    pub fn group(self, parent: &str, prefix: &ScopePrefix, id: &str) -> String {
        match self {
            Self::Cgroupfs => format!("{parent}/{id}"),
            Self::Systemd => format!("{parent}/{prefix}-{id}.scope"),
        }
    }

    /// The path of a pod's own group below a parent that [`CgroupDriver::parent`] has answered. `None` where peapod
    /// makes none: a slice of systemd's would have to be begun and ended by it.
    #[must_use]
    pub fn pod_group(self, parent: &str, id: &str) -> Option<String> {
        match self {
            Self::Cgroupfs => Some(format!("{parent}/{POD}{id}")),
            Self::Systemd => None,
        }
    }

    /// Whether [`CgroupDriver::pod_group`] answers one.
    #[must_use]
    pub fn has_pod_groups(self) -> bool {
        self.pod_group("", "").is_some()
    }

    /// How a group that [`CgroupDriver::group`] has answered is called in a runtime's configuration.
    #[must_use]
    pub fn runtime_path(self, group: &str) -> String {
        match self {
            Self::Cgroupfs => group.to_owned(),
            Self::Systemd => {
                let (parent, scope) = group.rsplit_once('/').unwrap_or_default();
                let slice = parent.rsplit('/').next().unwrap_or_default();
                let (prefix, id) = scope_parts(scope).unwrap_or(("", scope));
                format!("{slice}:{prefix}:{id}")
            }
        }
    }

    /// What runtimes are told besides, as annotations. crun would put the processes into a group below the scope. A
    /// scope that failed, which one of a killed container has for systemd, would be listed until somebody resets it.
    /// Limits that systemd does not know, and crun 1.8 tells it none but the share of processors, are lifted by every
    /// `systemctl daemon-reload`. Of tasks a scope has a limit by default, which is no business of systemd's here.
    #[must_use]
    pub fn annotations(self, limits: &Limits) -> Vec<(String, String)> {
        if self == Self::Cgroupfs {
            return Vec::new();
        }
        let number = |value: u64| format!("uint64 {value}");
        let settings = [
            ("run.oci.systemd.subgroup", String::new()),
            ("org.systemd.property.CollectMode", "'inactive-or-failed'".to_owned()),
            ("org.systemd.property.TasksMax", number(u64::MAX)),
        ];
        let unlimited = Limits::default().properties();
        let told = limits.properties().into_iter().filter(|property| !unlimited.contains(property));
        let settings = settings.map(|(name, value)| (name.to_owned(), value)).into_iter();
        settings.chain(told.map(|(name, value)| (format!("org.systemd.property.{name}"), number(value)))).collect()
    }
}

impl std::str::FromStr for CgroupDriver {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|driver| driver.name() == text).ok_or(())
    }
}

/// Prefix and id in the name of a scope: ids have no `-`.
fn scope_parts(scope: &str) -> Option<(&str, &str)> {
    scope.strip_suffix(".scope")?.rsplit_once('-')
}

/// The container's id in the name of a group as [`CgroupDriver::group`] makes it with one of these prefixes; `None` for
/// a name that it does not make.
#[must_use]
pub fn id_of(name: &str, is_prefix: impl FnOnce(&str) -> bool) -> Option<&str> {
    let id = match scope_parts(name) {
        Some((prefix, id)) => is_prefix(prefix).then_some(id)?,
        None => name,
    };
    is_id(id).then_some(id)
}

/// The pod's id in the name of a group as [`CgroupDriver::pod_group`] makes it; `None` for a name that it does not
/// make, such as those of [`CgroupDriver::group`].
#[must_use]
pub fn pod_id_of(name: &str) -> Option<&str> {
    name.strip_prefix(POD).filter(|id| is_id(id))
}

fn is_id(text: &str) -> bool {
    const LENGTH: usize = 64;
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == LENGTH && text.bytes().all(digit)
}

/// The group that a runtime's configuration means, whichever driver it was written for.
#[must_use]
pub fn of_runtime_path(text: &str) -> Option<String> {
    if text.starts_with('/') {
        return crate::hierarchy::clean(text).ok();
    }
    let mut parts = text.splitn(3, ':');
    let (slice, prefix, name) = (parts.next()?, parts.next()?, parts.next()?);
    Some(format!("{}/{prefix}-{name}.scope", expand(slice)?))
}

/// Where a slice is: `a-b.slice` is `/a.slice/a-b.slice`. `None` for what is no slice's name, and for the root.
fn expand(slice: &str) -> Option<String> {
    const LONGEST: usize = 255;
    let name = slice.strip_suffix(".slice")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":_.\\-".contains(&byte);
    if slice.len() > LONGEST || !name.bytes().all(plain) || name.split('-').any(str::is_empty) {
        return None;
    }
    let mut path = String::new();
    for (at, _) in name.match_indices('-').chain([(name.len(), "")]) {
        path.push('/');
        path.push_str(name.get(..at)?);
        path.push_str(".slice");
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_say_where_they_are() {
        for (text, path) in [
            ("/kubepods.slice", "/kubepods.slice"),
            ("test.slice", "/test.slice"),
            (
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12_34.slice",
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12_34.slice",
            ),
            // What stands before the last element is not looked at: systemd does not either.
            ("/elsewhere/a-b-c.slice/", "/a.slice/a-b.slice/a-b-c.slice"),
        ] {
            assert_eq!(CgroupDriver::Systemd.parent(text).unwrap(), path);
        }
        for text in [
            "",
            "/",
            "/kubepods",
            "/a.slice/pod1",
            "-.slice",
            ".slice",
            "a--b.slice",
            "-a.slice",
            "a-.slice",
            "/../a.slice",
            "ä.slice",
        ] {
            let error = CgroupDriver::Systemd.parent(text).unwrap_err();
            assert_eq!(error.path, text);
        }
        assert!(CgroupDriver::Systemd.parent(&format!("{}.slice", "x".repeat(250))).is_err());
        assert_eq!(CgroupDriver::Systemd.parent("/kubepods/pod1").unwrap_err().why, PathError::SLICE);
    }

    #[test]
    fn groups_and_what_runtimes_call_them() {
        let (parent, id) = ("/kubepods.slice/kubepods-pod1.slice", "0123abcd");
        let prefix = ScopePrefix::default();
        let group = CgroupDriver::Systemd.group(parent, &prefix, id);
        assert_eq!(group, "/kubepods.slice/kubepods-pod1.slice/cri-containerd-0123abcd.scope");
        assert_eq!(CgroupDriver::Systemd.runtime_path(&group), "kubepods-pod1.slice:cri-containerd:0123abcd");
        let group = CgroupDriver::Cgroupfs.group("/kubepods/pod1", &prefix, id);
        assert_eq!(
            (group.as_str(), CgroupDriver::Cgroupfs.runtime_path(&group).as_str()),
            ("/kubepods/pod1/0123abcd", group.as_str())
        );
        for driver in CgroupDriver::ALL {
            let group = driver.group(&driver.parent(driver.default_parent()).unwrap(), &prefix, id);
            assert_eq!(of_runtime_path(&driver.runtime_path(&group)), Some(group));
            assert_eq!(driver.name().parse(), Ok(driver));
        }
        for text in ["", "a:b:c", "a.slice:b", "/a/../b", "relative"] {
            assert_eq!(of_runtime_path(text), None, "{text}");
        }
    }

    #[test]
    fn knows_its_own_names() {
        let id = "0123456789abcdef".repeat(4);
        let own = |prefix: &str| ScopePrefix::BUILT_IN.contains(&prefix);
        for driver in CgroupDriver::ALL {
            for prefix in ScopePrefix::BUILT_IN {
                let group = driver.group("/p.slice", &prefix.parse().unwrap(), &id);
                assert_eq!(id_of(group.rsplit('/').next().unwrap(), own), Some(id.as_str()));
            }
        }
        for other in ["", "node", &id[1..], &format!("crio-{id}.scope"), &format!("{id}.scope"), &id.to_uppercase()] {
            assert_eq!(id_of(other, own), None, "{other}");
        }
    }

    #[test]
    fn a_pods_own_group_is_nobody_elses() {
        let id = "0123456789abcdef".repeat(4);
        let group = CgroupDriver::Cgroupfs.pod_group("/peapod", &id).unwrap();
        let name = group.strip_prefix("/peapod/").unwrap();
        assert_eq!((pod_id_of(name), id_of(name, |_| true)), (Some(id.as_str()), None));
        assert_eq!(CgroupDriver::Cgroupfs.parent(&group).unwrap(), group);
        let prefix = ScopePrefix::default();
        for driver in CgroupDriver::ALL {
            assert_eq!(driver.has_pod_groups(), driver == CgroupDriver::Cgroupfs);
            let group = driver.group("/p.slice", &prefix, &id);
            assert_eq!(pod_id_of(group.rsplit('/').next().unwrap()), None);
        }
        // As a kubelet calls those of its pods.
        for other in ["pod", "pod8f5d2c1e-0000-4000-8000-000000000000", "pod0123456789abcdef0123456789abcdef", &id] {
            assert_eq!(pod_id_of(other), None, "{other}");
        }
    }

    #[test]
    fn systemd_knows_the_limits() {
        let limits = Limits {
            memory_max: Some(64 << 20),
            swap_max: Some(0),
            memory_high: Some(48 << 20),
            memory_min: Some(1 << 20),
            cpu: Some((50_000, 100_000)),
            ..Limits::default()
        };
        assert!(CgroupDriver::Cgroupfs.annotations(&limits).is_empty());
        let told = CgroupDriver::Systemd.annotations(&limits);
        for (name, value) in [
            ("MemoryMax", "uint64 67108864"),
            ("MemorySwapMax", "uint64 0"),
            ("MemoryHigh", "uint64 50331648"),
            ("MemoryMin", "uint64 1048576"),
            ("CPUQuotaPerSecUSec", "uint64 500000"),
            ("CPUQuotaPeriodUSec", "uint64 100000"),
            ("TasksMax", "uint64 18446744073709551615"),
        ] {
            let name = format!("org.systemd.property.{name}");
            assert!(told.iter().any(|(key, told)| *key == name && told == value), "{name}: {told:?}");
        }
        assert_eq!((told.len(), CgroupDriver::Systemd.annotations(&Limits::default()).len()), (9, 3));
    }

    #[test]
    fn a_node_without_systemd_has_no_driver_of_that_name() {
        let (dir, root) = (tempfile::tempdir().unwrap(), Path::new("/sys/fs/cgroup"));
        let missing = dir.path().join("system");
        let error = CgroupDriver::Systemd.check(root, &missing).unwrap_err().to_string();
        assert!(error.contains("systemd is not PID 1"), "{error}");
        assert!(error.contains("cgroupfs"), "{error}");
        assert_eq!(CgroupDriver::of_node(root, &missing), CgroupDriver::Cgroupfs);
        let error = CgroupDriver::Systemd.check(dir.path(), dir.path()).unwrap_err().to_string();
        assert!(error.contains("cgroup v2"), "{error}");
    }
}
