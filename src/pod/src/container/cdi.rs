//! Devices by CDI name: what their files say, and what the node has of it.

use std::collections::HashMap;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Hook, LinuxIntelRdt};
use peapod_cdi::{CdiEdits, CdiHook, CdiMount, CdiName, CdiNode, CdiRdt, DeviceCache};
use peapod_spec::container::ContainerSpec;
use peapod_spec::{DeviceKind, EditMount, Edits, HostDevice, NodeOwner, normal_path};
use peapod_text::excerpt;

use crate::error::Error;
use crate::features::Features;

/// The request's field; annotations mean the same.
const FIELD: &str = "CDI_devices";
/// There where the kernel shares caches and bandwidth.
const RESCTRL: &str = "/sys/fs/resctrl/schemata";

/// What a container gets of its CDI devices.
#[derive(Debug, Default)]
pub(super) struct CdiDevices {
    pub(super) nodes: Vec<HostDevice>,
    pub(super) edits: Edits,
}

/// What a container's surroundings can't all do.
#[derive(Clone, Copy, Debug)]
pub(super) struct CdiSurroundings {
    /// Of the pod's OCI runtime.
    pub(super) features: Features,
    pub(super) own_users: bool,
    pub(super) own_network: bool,
}

/// Looks up all devices that a container names. Blocks, for the file system.
pub(super) fn resolve(cache: &DeviceCache, spec: &ContainerSpec, around: CdiSurroundings) -> Result<CdiDevices, Error> {
    let mut all = CdiDevices::default();
    if spec.cdi_devices.is_empty() {
        return Ok(all);
    }
    let names = spec.cdi_devices.iter().map(|name| CdiName::parse(name)).collect::<Result<Vec<_>, _>>();
    let names = names.map_err(|error| invalid(error.to_string()))?;
    let index = cache.look();
    let mut places = HashMap::new();
    for edits in index.edits(&names).map_err(|error| invalid(error.to_string()))? {
        all.add(edits, around, &mut places)?;
    }
    Ok(all)
}

impl CdiDevices {
    fn add(
        &mut self,
        edits: &CdiEdits,
        around: CdiSurroundings,
        places: &mut HashMap<PathBuf, usize>,
    ) -> Result<(), Error> {
        let CdiEdits { env, device_nodes, net_devices, hooks, mounts, intel_rdt, additional_gids } = edits;
        self.edits.env.extend_from_slice(env);
        for wanted in device_nodes {
            let node = node(wanted, around).map_err(|why| invalid(format!("{}: {why}", excerpt(&wanted.path))))?;
            // Of the same device a later word counts.
            match places.get(&node.container_path).and_then(|place| self.nodes.get_mut(*place)) {
                Some(other) if number(other) == number(&node) => *other = node,
                Some(_) => {
                    let path = excerpt(&node.container_path);
                    return Err(invalid(format!("{path}: two different devices are given under this name")));
                }
                None => {
                    places.insert(node.container_path.clone(), self.nodes.len());
                    self.nodes.push(node);
                }
            }
        }
        for device in net_devices {
            let why = match (around.features.net_devices, around.own_network) {
                (_, false) => "the pod has the node's network, in which they are already",
                (false, _) => "the OCI runtime of the pod's handler does not say that it can move them",
                (true, true) => {
                    self.edits.net_devices.insert(device.host_interface_name.clone(), device.name.clone());
                    continue;
                }
            };
            return Err(invalid(format!("network device {}: {why}", excerpt(&device.host_interface_name))));
        }
        for hook in hooks {
            // Its name was checked with the file.
            self.edits.hooks.extend(hook.hook_name.parse().ok().map(|moment| (moment, oci_hook(hook))));
        }
        for wanted in mounts {
            let mount = mount(wanted);
            self.edits
                .mounts
                .push(mount.map_err(|why| invalid(format!("{}: {why}", excerpt(&wanted.container_path))))?);
        }
        if let Some(rdt) = intel_rdt {
            self.edits.intel_rdt = Some(shares(rdt, around.features)?);
        }
        self.edits.groups.extend_from_slice(additional_gids);
        Ok(())
    }
}

fn invalid(reason: String) -> Error {
    Error::Invalid { field: FIELD.to_owned(), reason }
}

fn number(device: &HostDevice) -> (DeviceKind, u32, u32) {
    (device.kind, device.major, device.minor)
}

/// What the node has at a path.
struct DeviceOnNode {
    kind: DeviceKind,
    major: u32,
    minor: u32,
    mode: u32,
    owner: (u32, u32),
}

fn look(path: &Path) -> Result<DeviceOnNode, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    let kind = match metadata.file_type() {
        kind if kind.is_char_device() => DeviceKind::Char,
        kind if kind.is_block_device() => DeviceKind::Block,
        kind if kind.is_fifo() => DeviceKind::Fifo,
        _ => return Err("is no device".to_owned()),
    };
    let device = metadata.rdev();
    Ok(DeviceOnNode {
        kind,
        major: rustix::fs::major(device),
        minor: rustix::fs::minor(device),
        mode: metadata.mode() & 0o7777,
        owner: (metadata.uid(), metadata.gid()),
    })
}

/// What a file leaves out is as the node has it.
fn node(wanted: &CdiNode, around: CdiSurroundings) -> Result<HostDevice, String> {
    let host_path = normal_path(wanted.host_path());
    let found = look(&host_path);
    let kind = match wanted.kind.as_str() {
        "b" => Some(DeviceKind::Block),
        "c" | "u" => Some(DeviceKind::Char),
        "p" => Some(DeviceKind::Fifo),
        _ => None,
    };
    let on_node = |why: &str| format!("{} of the node {why}", excerpt(&host_path));
    let (kind, major, minor) = match (kind, &found) {
        (Some(DeviceKind::Fifo), _) => (DeviceKind::Fifo, 0, 0),
        // Numbers were checked with the file.
        (Some(kind), _) if wanted.is_complete() => {
            (kind, u32::try_from(wanted.major).unwrap_or_default(), u32::try_from(wanted.minor).unwrap_or_default())
        }
        (_, Err(why)) => return Err(on_node(&format!("can't be used: {why}"))),
        (Some(kind), Ok(found)) if kind != found.kind => {
            return Err(on_node(&format!("is of another type than {}", excerpt(&wanted.kind))));
        }
        (_, Ok(found)) if wanted.major == 0 => (found.kind, found.major, found.minor),
        (_, Ok(found)) => (
            found.kind,
            u32::try_from(wanted.major).unwrap_or_default(),
            u32::try_from(wanted.minor).unwrap_or_default(),
        ),
    };
    let same = found.as_ref().ok().filter(|found| (found.kind, found.major, found.minor) == (kind, major, minor));
    if let Some(same) = same.filter(|_| around.own_users) {
        as_on_node(wanted, same)?;
    }
    let owner = |id: Option<u32>| id.map_or(NodeOwner::Process, NodeOwner::Id);
    Ok(HostDevice {
        container_path: normal_path(&wanted.path),
        kind,
        major,
        minor,
        mode: wanted.file_mode.or(found.as_ref().ok().map(|found| found.mode)).unwrap_or(0o666) & 0o7777,
        uid: owner(wanted.uid),
        gid: owner(wanted.gid),
        permissions: match wanted.permissions.as_str() {
            "" => "rwm".to_owned(),
            "none" => String::new(),
            some => some.to_owned(),
        },
        host_path: same.filter(|_| kind != DeviceKind::Fifo).map(|_| host_path.clone()),
    })
}

/// With users of its own a container is shown the node's device, with the node's owner and mode.
fn as_on_node(wanted: &CdiNode, found: &DeviceOnNode) -> Result<(), String> {
    let differs = match wanted {
        CdiNode { file_mode: Some(mode), .. } if mode & 0o7777 != found.mode => "fileMode",
        CdiNode { uid: Some(uid), .. } if *uid != found.owner.0 => "uid",
        CdiNode { gid: Some(gid), .. } if *gid != found.owner.1 => "gid",
        _ => return Ok(()),
    };
    Err(format!(
        "its {differs} can't be another one than on the node in a pod with users of its own, which is shown the node's"
    ))
}

fn mount(wanted: &CdiMount) -> Result<EditMount, String> {
    let container_path = normal_path(&wanted.container_path);
    let mut options = wanted.options.clone();
    if !wanted.is_bind() {
        return Ok(EditMount {
            source: wanted.host_path.clone().into(),
            container_path,
            kind: wanted.kind.clone(),
            options,
        });
    }
    if !wanted.says_bind() {
        options.push("rbind".to_owned());
    }
    let source = std::fs::canonicalize(&wanted.host_path)
        .map_err(|error| format!("{} of the node can't be mounted: {error}", excerpt(&wanted.host_path)))?;
    Ok(EditMount { source, container_path, kind: "bind".to_owned(), options })
}

fn oci_hook(hook: &CdiHook) -> Hook {
    let some = |list: &Vec<String>| Some(list.clone()).filter(|list| !list.is_empty());
    let mut oci = Hook::default();
    oci.set_path(hook.path.clone().into())
        .set_args(some(&hook.args))
        .set_env(some(&hook.env))
        .set_timeout(hook.timeout);
    oci
}

fn shares(rdt: &CdiRdt, features: Features) -> Result<LinuxIntelRdt, Error> {
    if !features.intel_rdt {
        let why = "the OCI runtime of the pod's handler does not say that it can set these";
        return Err(invalid(format!("intelRdt: {why}")));
    }
    if !Path::new(RESCTRL).exists() {
        let way_out = "mount -t resctrl resctrl /sys/fs/resctrl";
        return Err(invalid(format!("intelRdt: {RESCTRL} is not there: `{way_out}`, if the processor has it")));
    }
    let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let mut oci = LinuxIntelRdt::default();
    oci.set_clos_id(text(&rdt.clos_id))
        .set_l3_cache_schema(text(&rdt.l3_cache_schema))
        .set_mem_bw_schema(text(&rdt.mem_bw_schema))
        .set_schemata(rdt.schemata.clone())
        .set_enable_monitoring(rdt.enable_monitoring.then_some(true));
    Ok(oci)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::samples;

    const AROUND: CdiSurroundings = CdiSurroundings {
        features: Features {
            recursive_read_only: true,
            user_namespaces: true,
            no_limits: None,
            net_devices: true,
            intel_rdt: false,
            memory_policy: false,
            priorities: false,
            checkpoints: false,
            presence: crate::features::Presence::Answers,
        },
        own_users: false,
        own_network: true,
    };

    /// What a container gets of device `d` with these edits.
    fn given(edits: &str, around: CdiSurroundings) -> Result<CdiDevices, String> {
        let dir = tempfile::tempdir().unwrap();
        let text = format!(
            r#"{{"cdiVersion": "1.1.0", "kind": "v.com/c", "devices": [{{"name": "d", "containerEdits": {edits}}}]}}"#
        );
        fs::write(dir.path().join("a.json"), text).unwrap();
        let mut spec = samples::container_spec("main", 0);
        spec.cdi_devices = vec!["v.com/c=d".to_owned()];
        resolve(&DeviceCache::new(vec![dir.path().to_owned()]), &spec, around).map_err(|error| error.to_string())
    }

    fn nodes(edits: &str) -> Result<Vec<HostDevice>, String> {
        given(&format!(r#"{{"deviceNodes": [{edits}]}}"#), AROUND).map(|given| given.nodes)
    }

    #[test]
    fn what_a_file_leaves_out_is_as_the_node_has_it() {
        let node = nodes(r#"{"path": "/dev/mine", "hostPath": "/dev/null", "permissions": "r", "gid": 7}"#).unwrap();
        let [node] = node.as_slice() else { panic!("{node:?}") };
        assert_eq!((node.kind, node.major, node.minor, node.mode), (DeviceKind::Char, 1, 3, 0o666));
        assert_eq!((node.uid, node.gid, node.permissions.as_str()), (NodeOwner::Process, NodeOwner::Id(7), "r"));
        assert_eq!(node.host_path.as_deref(), Some(Path::new("/dev/null")));
        // What it says counts, whether the node has it or not.
        let node = nodes(r#"{"path": "/dev/gone", "type": "b", "major": 7, "minor": 200, "fileMode": 384}"#).unwrap();
        assert_eq!((node[0].kind, node[0].major, node[0].minor, node[0].mode), (DeviceKind::Block, 7, 200, 0o600));
        assert_eq!((node[0].host_path.as_deref(), node[0].permissions.as_str()), (None, "rwm"));
        let fifo = nodes(r#"{"path": "/dev/pipe", "type": "p", "permissions": "none"}"#).unwrap();
        assert_eq!((fifo[0].kind, fifo[0].permissions.as_str()), (DeviceKind::Fifo, ""));
        // The last word counts.
        let twice = nodes(r#"{"path": "/dev/null"}, {"path": "/dev/null", "uid": 3}"#).unwrap();
        assert_eq!((twice.len(), twice[0].uid), (1, NodeOwner::Id(3)));
    }

    #[test]
    fn what_the_node_has_not_is_named() {
        for (edits, part) in [
            (r#"{"deviceNodes": [{"path": "/dev/gone"}]}"#, "\"/dev/gone\" of the node can't be used: No such file"),
            (r#"{"deviceNodes": [{"path": "/dev/a", "hostPath": "/etc/passwd"}]}"#, "is no device"),
            (r#"{"deviceNodes": [{"path": "/dev/null", "type": "b"}]}"#, "another type"),
            (
                r#"{"deviceNodes": [{"path": "/dev/a", "hostPath": "/dev/null"}, {"path": "/dev/a", "hostPath": "/dev/zero"}]}"#,
                "two different devices",
            ),
            (r#"{"mounts": [{"hostPath": "/gone", "containerPath": "/b"}]}"#, "\"/gone\" of the node can't be mounted"),
            (r#"{"intelRdt": {"closID": "gold"}}"#, "intelRdt: the OCI runtime"),
        ] {
            let said = given(edits, AROUND).unwrap_err();
            assert!(said.starts_with("CDI_devices: ") && said.contains(part), "{said}");
        }
        let net = r#"{"netDevices": [{"hostInterfaceName": "eth7", "name": "net1"}]}"#;
        assert_eq!(given(net, AROUND).unwrap().edits.net_devices["eth7"], "net1");
        let said = given(net, CdiSurroundings { own_network: false, ..AROUND }).unwrap_err();
        assert!(said.contains("\"eth7\": the pod has the node's network"), "{said}");
        let said = given(net, CdiSurroundings { features: Features::default(), ..AROUND }).unwrap_err();
        assert!(said.contains("does not say that it can move them"), "{said}");
        let around = CdiSurroundings { own_users: true, ..AROUND };
        let said = given(r#"{"deviceNodes": [{"path": "/dev/null", "gid": 7}]}"#, around).unwrap_err();
        assert!(said.contains("its gid can't be another one"), "{said}");
        given(r#"{"deviceNodes": [{"path": "/dev/null", "gid": 0, "fileMode": 438}]}"#, around).unwrap();
    }

    #[test]
    fn mounts_and_hooks_are_as_the_file_has_them() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("lib.so.1"), dir.path().join("lib.so"));
        fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink("lib.so.1", &link).unwrap();
        let edits = format!(
            r#"{{"mounts": [{{"hostPath": {link:?}, "containerPath": "/lib/./lib.so", "options": ["ro"]}},
                            {{"hostPath": {link:?}, "containerPath": "/b", "options": ["bind", "nosuid"], "type": "none"}},
                            {{"hostPath": "tmpfs", "containerPath": "/c", "type": "tmpfs", "options": ["size=1m"]}}],
                "hooks": [{{"hookName": "poststop", "path": "/bin/true", "timeout": 3}}], "additionalGids": [5]}}"#
        );
        let Edits { mounts, hooks, groups, .. } = given(&edits, AROUND).unwrap().edits;
        let file = file.canonicalize().unwrap();
        assert_eq!((&mounts[0].source, mounts[0].container_path.as_path()), (&file, Path::new("/lib/lib.so")));
        assert_eq!((mounts[0].kind.as_str(), mounts[0].options.join(",").as_str()), ("bind", "ro,rbind"));
        assert_eq!((mounts[1].kind.as_str(), mounts[1].options.join(",").as_str()), ("bind", "bind,nosuid"));
        assert_eq!((mounts[2].kind.as_str(), mounts[2].source.as_path()), ("tmpfs", Path::new("tmpfs")));
        assert_eq!((hooks[0].1.timeout(), hooks[0].1.args()), (Some(3), &None));
        assert_eq!(groups, [5]);
    }
}
