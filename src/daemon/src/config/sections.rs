//! Tables of the configuration that other crates are set up from.

use std::path::{Path, PathBuf};

use peapod_cgroup::{CgroupDriver, NoScopePrefix, ScopePrefix};
use peapod_pod::{RestorePolicy, SelinuxLabels};
use peapod_spec::{Ulimit, Ulimits};

use super::section::{Section, absolute};

/// There when systemd is PID 1.
const SYSTEMD: &str = "/run/systemd/system";

/// `[cgroup]`.
pub(super) struct CgroupSection {
    pub(super) root: PathBuf,
    pub(super) driver: CgroupDriver,
    pub(super) parent: String,
    pub(super) scope_prefix: ScopePrefix,
    pub(super) shims: String,
}

impl CgroupSection {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let root = section.path("root", "/sys/fs/cgroup");
        let systemd = Path::new(SYSTEMD);
        let driver = section.text("driver", None, |text| match (text, text.parse::<CgroupDriver>()) {
            ("auto", _) => Ok(None),
            (_, Ok(driver)) => {
                driver.check(&root, systemd).map(|()| Some(driver)).map_err(|error| format!("can't be: {error}"))
            }
            (_, Err(())) => Err("should be \"auto\", \"cgroupfs\" or \"systemd\"".into()),
        });
        let driver = driver.unwrap_or_else(|| CgroupDriver::of_node(&root, systemd));
        let parent = section.text("parent", driver.default_parent().to_owned(), |text| {
            driver.parent(text).map_err(|error| format!("{} (the driver is {})", error.why, driver.name()))
        });
        let scope_prefix = section.text("scope_prefix", ScopePrefix::default(), |text| {
            text.parse().map_err(|error: NoScopePrefix| error.to_string())
        });
        let shims = section.text("shims", "/peapod-shims".to_owned(), cgroup_path);
        if shims == parent || shims.starts_with(&format!("{parent}/")) {
            section
                .problem("shims", format!("{shims:?} is inside of parent, whose processes may be killed as a whole"));
        }
        section.finish();
        Self { root, driver, parent, scope_prefix, shims }
    }
}

/// A cgroup below the mount point.
fn cgroup_path(text: &str) -> Result<String, String> {
    match absolute(text) {
        Ok(path) if path != Path::new("/") => Ok(path.to_string_lossy().into_owned()),
        _ => Err("is not a cgroup's path such as \"/peapod\"".into()),
    }
}

/// `[image]`.
pub(super) fn images(mut section: Section<'_>, state_root: &Path) -> peapod_image::Config {
    let mut config = peapod_image::Config::new(state_root.to_owned());
    config.hosts_dirs = section.texts("hosts_dirs", config.hosts_dirs, absolute);
    config.default_registry = section.text("default_registry", config.default_registry, |text| {
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b));
        if plain { Ok(text.to_owned()) } else { Err("is not a host such as \"docker.io\"".into()) }
    });
    config.max_downloads = count(&mut section, "max_downloads", config.max_downloads);
    config.max_unpacks = count(&mut section, "max_unpacks", config.max_unpacks);
    config.requests.connect_timeout = section.duration("connect_timeout", config.requests.connect_timeout);
    config.requests.stall_timeout = section.duration("stall_timeout", config.requests.stall_timeout);
    config.requests.request_timeout = section.duration("request_timeout", config.requests.request_timeout);
    config.partial.keep = section.duration("keep_partial", config.partial.keep);
    let bytes = i64::try_from(config.partial.max_bytes).unwrap_or(i64::MAX);
    config.partial.max_bytes = section.number("max_partial_bytes", bytes, 0..=i64::MAX).cast_unsigned();
    config.requests.retries =
        u32::try_from(section.number("retries", i64::from(config.requests.retries), 0..=20)).unwrap_or_default();
    config.limits.layer_entries = bound(&mut section, "max_layer_entries", config.limits.layer_entries);
    config.limits.layer_bytes = bound(&mut section, "max_layer_bytes", config.limits.layer_bytes);
    config.limits.image_entries = bound(&mut section, "max_image_entries", config.limits.image_entries);
    config.limits.image_bytes = bound(&mut section, "max_image_bytes", config.limits.image_bytes);
    let reserve = section.number("disk_reserve_percent", config.limits.reserve_percent.cast_signed(), 0..=50);
    config.limits.reserve_percent = reserve.cast_unsigned();
    config.import_dir = section.path("import_dir", config.import_dir);
    section.finish();
    config
}

/// How much of something there may be.
fn bound(section: &mut Section<'_>, key: &'static str, default: u64) -> u64 {
    section.number(key, default.cast_signed(), 1..=i64::MAX).cast_unsigned()
}

/// `[checkpoint]`: whether containers can be made of such.
pub(super) fn checkpoint(mut section: Section<'_>) -> RestorePolicy {
    let restores = section.text("restore", RestorePolicy::default(), |text| match text {
        "never" => Ok(RestorePolicy::Never),
        "trusted" => Ok(RestorePolicy::Trusted),
        _ => Err("should be \"never\" or \"trusted\"".into()),
    });
    section.finish();
    restores
}

/// `[containers]`: resource limits of their processes, and which of them have SELinux labels.
pub(super) fn containers(mut section: Section<'_>) -> (Ulimits, SelinuxLabels) {
    let limits = section.texts("default_ulimits", Vec::new(), str::parse::<Ulimit>);
    let ulimits = Ulimits::new(limits).unwrap_or_else(|error| {
        section.problem("default_ulimits", error.to_string());
        Ulimits::default()
    });
    let selinux = section.text("selinux", SelinuxLabels::default(), |text| match text {
        "all" => Ok(SelinuxLabels::All),
        "asked" => Ok(SelinuxLabels::Asked),
        _ => Err("should be \"all\" or \"asked\"".into()),
    });
    section.finish();
    (ulimits, selinux)
}

/// `[cdi]`: folders of files that describe devices.
pub(super) fn cdi(mut section: Section<'_>) -> Vec<PathBuf> {
    let dirs = section.texts("spec_dirs", CDI_DIRS.map(PathBuf::from).into(), absolute);
    section.finish();
    dirs
}

/// Those of the specification. What it calls `/var/run/cdi` is the second.
const CDI_DIRS: [&str; 2] = ["/etc/cdi", "/run/cdi"];

/// How many of something may go on at once.
fn count(section: &mut Section<'_>, key: &'static str, default: usize) -> usize {
    let default = i64::try_from(default).unwrap_or(1);
    usize::try_from(section.number(key, default, 1..=64)).unwrap_or(1)
}

/// `[network]`. Its crate says what is wrong with the values as a whole.
pub(super) fn network(mut section: Section<'_>) -> peapod_network::Config {
    let subnets = DEFAULT_SUBNETS.iter().filter_map(|text| text.parse().ok()).collect();
    let bridge = section.text("bridge", "peapod0".to_owned(), |text| Ok(text.to_owned()));
    let subnets = section.texts("subnets", subnets, |text| text.parse().map_err(|_| NO_SUBNET.to_owned()));
    let netns_dir = section.path("netns_dir", "/var/run/netns");
    // 0 stands for "as the node's default route".
    let mtu = u32::try_from(section.number("mtu", 0, 0..=65535)).ok().filter(|mtu| *mtu != 0);
    let usual = peapod_network::CniConfig::default();
    let cni = peapod_network::CniConfig {
        conf_dir: section.path("cni_conf_dir", usual.conf_dir.clone()),
        bin_dirs: section.texts("cni_bin_dirs", usual.bin_dirs.clone(), absolute),
        timeout: section.duration("cni_timeout", usual.timeout),
        give_up_after: section.duration("cni_patience", usual.give_up_after),
    };
    let config = peapod_network::Config { bridge, subnets, netns_dir, mtu, cni };
    for error in config.check().err().unwrap_or_default() {
        section.problem("", error.to_string());
    }
    section.finish();
    config
}

/// A private range that others seldom choose.
const DEFAULT_SUBNETS: [&str; 1] = ["10.213.0.0/16"];
const NO_SUBNET: &str =
    "is no range of addresses such as \"10.213.0.0/16\" or \"fd13::/64\" (without bits behind the prefix)";
