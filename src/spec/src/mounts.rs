//! Mounts of a container: what every container has, the pod's files, the client's own.

use std::collections::BTreeMap;
use std::path::Path;

use oci_spec::runtime::{LinuxIdMapping, LinuxIdMappingBuilder, Mount};

use crate::SpecError;
use crate::bounds::{DEV_INODES, MOUNTS, TERMINALS};
use crate::container::{self, ContainerSpec, MountOption, Propagation};
use crate::inputs::{ImageVolume, Inputs, ResolvedMount, SourcePropagation};
use crate::json::text;
use crate::mount_points::{can_be_folder, is_below_a_mount};
use crate::node_folders::may_relabel;
use crate::note::Note;
use crate::pod::{Namespaces, Scope};
use crate::user_namespace::IdRange;

/// What containers have of their pod.
pub const POD_FILES: [&str; 4] = [HOSTNAME, HOSTS, RESOLV_CONF, SHM];
const HOSTNAME: &str = "/etc/hostname";
const HOSTS: &str = "/etc/hosts";
const RESOLV_CONF: &str = "/etc/resolv.conf";
const SHM: &str = "/dev/shm";
/// What can't be done with files of an image that is mounted beside the root file system. Programs of it can be run.
const OF_IMAGES: [MountOption; 2] = [MountOption::NoDev, MountOption::NoSuid];
/// The group that terminals belong to.
const TTY: u32 = 5;

/// All mounts in the order in which they are made: a parent before what lies in it, and of the same depth as listed.
///
/// A mount of the client replaces a file system of the kernel at that path or below. What the pod has for its
/// containers it replaces only there: a volume at /etc says nothing about the pod's resolv.conf.
pub(crate) fn mounts(inputs: &Inputs<'_>, notes: &mut Vec<Note>) -> Result<Vec<Mount>, SpecError> {
    let spec = inputs.container;
    if spec.mounts.len() != inputs.mounts.len() {
        return Err(SpecError::MountCount { wanted: spec.mounts.len(), resolved: inputs.mounts.len() });
    }
    if spec.mounts.len() > MOUNTS {
        let (count, most) = (spec.mounts.len(), MOUNTS);
        return Err(SpecError::TooMany { field: "mounts", what: "mounts", count, most });
    }
    let clients: BTreeMap<&Path, &ResolvedMount> =
        spec.mounts.iter().map(|mount| mount.container_path.as_path()).zip(inputs.mounts).collect();
    let covered = |path: &Path| path.ancestors().any(|above| clients.contains_key(above));
    let mut all = system_mounts(inputs);
    all.retain(|own| !covered(own.destination()));
    for (path, mount) in pod_files(inputs)? {
        let above = Path::new(path).ancestors().find_map(|above| clients.get(above));
        if above.is_some_and(|client| client.lacks.contains(&path)) {
            notes.push(Note::PodFile(path));
        } else if !clients.contains_key(Path::new(path)) {
            all.push(mount);
        }
    }
    let labels = inputs.labels()?;
    for (mount, resolved) in spec.mounts.iter().zip(inputs.mounts) {
        if mount.selinux_relabel && mount.host_path().is_some() && inputs.node.selinux.is_some() {
            if labels.is_some() && !may_relabel(&resolved.source) {
                return Err(SpecError::SelinuxRelabel(resolved.source.clone()));
            }
            if labels.is_none() && !notes.contains(&Note::Relabel) {
                notes.push(Note::Relabel);
            }
        }
        all.push(client_mount(mount, resolved)?);
    }
    sort(&mut all);
    Ok(all)
}

/// Parents first.
pub(crate) fn sort(mounts: &mut [Mount]) {
    mounts.sort_by_key(|mount| mount.destination().components().count());
}

/// Mounts the image's volumes, where a root file system that can't be written needs that: in one that can be written
/// they are written to as the folders that they are. Those of an earlier start are replaced.
pub(crate) fn set_volumes(
    mounts: &mut Vec<Mount>,
    container: &ContainerSpec,
    volumes: &[ImageVolume],
) -> Result<(), SpecError> {
    if !container.security.readonly_rootfs {
        return Ok(());
    }
    for volume in volumes {
        let (path, source) = (volume.container_path.as_path(), text(&volume.source)?);
        mounts.retain(|mount| mount.source().as_deref() != Some(&volume.source));
        // A mount of a device, which is no folder of the image's.
        let is_taken = mounts.iter().any(|mount| mount.destination() == path);
        if can_be_folder(path) && !is_below_a_mount(container, path) && !is_taken {
            mounts.push(mount(text(path)?, "bind", source, &["rbind", "rprivate", "rw"]));
        }
    }
    sort(mounts);
    Ok(())
}

/// The container's root must let through what its mounts are to pass on. Unset, the runtime cuts it off.
pub(crate) fn rootfs_propagation(spec: &ContainerSpec) -> Option<String> {
    let any = |wanted| spec.mounts.iter().any(|mount| mount.propagation == wanted);
    if any(Propagation::Bidirectional) {
        Some("rshared".to_owned())
    } else if any(Propagation::HostToContainer) {
        Some("rslave".to_owned())
    } else {
        None
    }
}

/// `/proc`, `/dev`, `/sys`: writable kernel settings only for a privileged container.
fn system_mounts(inputs: &Inputs<'_>) -> Vec<Mount> {
    let access = if inputs.container.security.privileged { "rw" } else { "ro" };
    let (inodes, terminals) = (format!("nr_inodes={DEV_INODES}"), format!("max={TERMINALS}"));
    let mut of_terminals = vec!["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    // The group of terminals, where there is such a one.
    if inputs.pod.namespaces.users.is_none_or(|users| users.gids.on_node(TTY).is_some()) {
        of_terminals.push("gid=5");
    }
    of_terminals.push(&terminals);
    vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k", &inodes]),
        mount("/dev/pts", "devpts", "devpts", &of_terminals),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        sys(inputs, access),
        cgroups(inputs, access),
    ]
}

/// With users of its own and the node's network, a container can't mount a sysfs, which would show that network: it
/// sees the node's, as users see it who are nobody there. Read-only with all that is mounted below.
fn sys(inputs: &Inputs<'_>, access: &str) -> Mount {
    let Namespaces { network, users, .. } = &inputs.pod.namespaces;
    if *network == Scope::Node && users.is_some() {
        let access = if access == "rw" { "rw" } else { "rro" };
        return mount("/sys", "bind", "/sys", &["rbind", "rprivate", "nosuid", "noexec", "nodev", access]);
    }
    mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", access])
}

/// Where containers have their control groups.
pub(crate) const CGROUPS: &str = "/sys/fs/cgroup";

/// A privileged container on cgroup v2 has the node's tree, so it gets the node's mount of it. A new one would be of
/// the same superblock, and change options of that for the whole node: `nsdelegate` and `memory_recursiveprot` go when
/// a mount in the node's cgroup namespace does not repeat them.
fn cgroups(inputs: &Inputs<'_>, access: &str) -> Mount {
    if inputs.node.cgroup_v2 && inputs.container.security.privileged {
        return mount(
            CGROUPS,
            "bind",
            CGROUPS,
            &["rbind", "rprivate", "nosuid", "noexec", "nodev", "relatime", access],
        );
    }
    // Its cgroup namespace shows the container's own group alone. That its limits can't be written from inside is the
    // kernel's business (nsdelegate), which who sets this has looked at.
    let access = if inputs.node.cgroup_v2 && inputs.defaults.writable_cgroups { "rw" } else { access };
    mount(CGROUPS, "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", access])
}

/// Goes with the IPC namespace.
fn shm(inputs: &Inputs<'_>) -> Result<Mount, SpecError> {
    const BIND: [&str; 5] = ["rbind", "rprivate", "nosuid", "noexec", "nodev"];
    match (&inputs.files.shm, inputs.pod.namespaces.ipc) {
        (Some(path), _) => Ok(mount(SHM, "bind", text(path)?, &BIND)),
        (None, Scope::Node) => Ok(mount(SHM, "bind", "/dev/shm", &BIND)),
        (None, Scope::Pod) => {
            Ok(mount(SHM, "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]))
        }
    }
}

fn pod_files(inputs: &Inputs<'_>) -> Result<Vec<(&'static str, Mount)>, SpecError> {
    let files = inputs.files;
    let access = if inputs.container.security.readonly_rootfs { "ro" } else { "rw" };
    let mut mounts = vec![(SHM, shm(inputs)?)];
    for (destination, source) in [(HOSTNAME, &files.hostname), (HOSTS, &files.hosts), (RESOLV_CONF, &files.resolv_conf)]
    {
        if let Some(source) = source {
            mounts.push((destination, mount(destination, "bind", text(source)?, &["rbind", "rprivate", access])));
        }
    }
    Ok(mounts)
}

fn client_mount(wanted: &container::ContainerMount, resolved: &ResolvedMount) -> Result<Mount, SpecError> {
    if wanted.image().is_some() && (!wanted.readonly || wanted.propagation != Propagation::Private) {
        return Err(SpecError::ImageMount(wanted.container_path.clone()));
    }
    if wanted.recursive_read_only && (!wanted.readonly || wanted.propagation != Propagation::Private) {
        return Err(SpecError::RecursiveReadOnly(wanted.container_path.clone()));
    }
    check_propagation(wanted, &resolved.source, resolved.propagation)?;
    let propagation = match wanted.propagation {
        Propagation::Private => "rprivate",
        Propagation::HostToContainer => "rslave",
        Propagation::Bidirectional => "rshared",
    };
    // "ro" is for the top alone: mounts below it stay as they are, which is what Kubernetes promises.
    let access = match (wanted.readonly, wanted.recursive_read_only) {
        // An image has none below it.
        (_, true) if wanted.image().is_none() => "rro",
        (true, _) => "ro",
        (false, _) => "rw",
    };
    let mut options = vec!["rbind", propagation, access];
    if wanted.image().is_some() {
        // Whatever is asked for: files of strangers make no devices, and nobody root.
        options.extend(OF_IMAGES.map(MountOption::name));
    }
    for option in wanted.options.iter().map(|option| option.name()) {
        if !options.contains(&option) {
            options.push(option);
        }
    }
    let mut mount = mount(text(&wanted.container_path)?, "bind", text(&resolved.source)?, &options);
    // The shim has mapped an image's layers already.
    if let Some(users) = wanted.users.filter(|_| wanted.image().is_none()) {
        mount.set_uid_mappings(Some(mapping(users.uids)?)).set_gid_mappings(Some(mapping(users.gids)?));
    }
    Ok(mount)
}

pub(crate) fn mapping(ids: IdRange) -> Result<Vec<LinuxIdMapping>, SpecError> {
    let mapping = LinuxIdMappingBuilder::default().host_id(ids.first()).container_id(0_u32).size(ids.count()).build();
    mapping.map(|mapping| vec![mapping]).map_err(|error| SpecError::Json(error.to_string()))
}

/// Whether a source on a mount that propagates so gives a container's mount what it asks for: it would be silently
/// useless, and for a CSI driver that is lost data.
///
/// # Errors
/// It does not; the message says how to change that.
pub fn check_propagation(
    wanted: &container::ContainerMount,
    source: &Path,
    found: SourcePropagation,
) -> Result<(), SpecError> {
    let (name, needed) = match (wanted.propagation, found) {
        (Propagation::Bidirectional, SourcePropagation::Private | SourcePropagation::Slave) => {
            ("bidirectional propagation", "shared")
        }
        (Propagation::HostToContainer, SourcePropagation::Private) => {
            ("host-to-container propagation", "shared or slave")
        }
        _ => return Ok(()),
    };
    Err(SpecError::Propagation {
        container_path: wanted.container_path.clone(),
        source_path: source.to_owned(),
        wanted: name,
        needed,
        found: match found {
            SourcePropagation::Private => "private",
            SourcePropagation::Slave => "slave",
            SourcePropagation::Shared => "shared",
        },
    })
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(Path::new(destination).to_owned())
        .set_typ(Some(kind.to_owned()))
        .set_source(Some(source.into()))
        .set_options(Some(options.iter().map(|&option| option.to_owned()).collect()));
    mount
}
