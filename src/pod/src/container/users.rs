//! Containers of pods with users of their own.

use std::io;
use std::path::Path;

use peapod_spec::UserNamespace;
use peapod_spec::container::ContainerSpec;
use peapod_spec::pod::{PidMode, PodSpec};

use crate::error::Error;

/// Whether a container's request goes with the users of its pod.
pub(super) fn check(pod: &PodSpec, spec: &ContainerSpec) -> Result<(), Error> {
    let own = pod.namespaces.users;
    let refused = |field: String, reason: &str| Err(Error::Invalid { field, reason: reason.to_owned() });
    let options = "linux.security_context.namespace_options";
    if !spec.security.users.are_of(own) {
        let reason = "is not what the pod sandbox was run with: all containers of a pod have its users";
        return refused(format!("{options}.userns_options"), reason);
    }
    if own.is_some() && spec.security.pid == PidMode::Node {
        return refused(format!("{options}.pid"), "the node's processes can't be seen in a pod with users of its own");
    }
    match spec.mounts.iter().position(|mount| mount.users.is_some() && mount.users != own) {
        Some(index) => {
            refused(format!("mounts[{index}].uidMappings"), "a mount's mappings are those of its pod's users")
        }
        None => Ok(()),
    }
}

/// Makes root of the pod the owner of a container's root folder, which is the top of the writable layer.
pub(super) fn give(upper: &Path, users: Option<UserNamespace>) -> io::Result<()> {
    let Some((uid, gid)) = users.map(UserNamespace::root) else { return Ok(()) };
    std::os::unix::fs::chown(upper, Some(uid), Some(gid))
}

#[cfg(test)]
mod tests {
    use peapod_spec::container::{ContainerMount, MountSource, Propagation};
    use peapod_spec::{ContainerUsers, IdRange};

    use super::*;
    use crate::samples;

    fn users(first: u32) -> UserNamespace {
        let range = IdRange::new(first, 65_536).unwrap();
        UserNamespace { uids: range, gids: range }
    }

    #[test]
    fn a_container_has_the_users_of_its_pod_and_so_have_its_mounts() {
        let refused = |own: Option<UserNamespace>, change: &dyn Fn(&mut ContainerSpec)| {
            let (mut pod, mut spec) = (samples::pod_spec("web"), samples::container_spec("main", 0));
            pod.namespaces.users = own;
            change(&mut spec);
            check(&pod, &spec).err().map(|error| error.to_string()).unwrap_or_default()
        };
        let mount = |users| ContainerMount {
            container_path: "/data".into(),
            source: MountSource::Host("/data".into()),
            readonly: false,
            recursive_read_only: false,
            selinux_relabel: false,
            propagation: Propagation::Private,
            options: Vec::new(),
            users,
        };
        for own in [None, Some(users(7))] {
            assert_eq!(refused(own, &|spec| spec.mounts = vec![mount(None), mount(own)]), "");
        }
        let own = Some(users(7));
        assert_eq!(refused(own, &|spec| spec.security.users = ContainerUsers::Own(users(7))), "");
        let node = refused(own, &|spec| spec.security.users = ContainerUsers::Node);
        assert!(node.starts_with("linux.security_context.namespace_options.userns_options: "), "{node}");
        assert!(refused(own, &|spec| spec.security.pid = PidMode::Node).contains("namespace_options.pid"));
        for own in [None, own] {
            let other = refused(own, &|spec| spec.mounts = vec![mount(None), mount(Some(users(8)))]);
            assert!(other.starts_with("mounts[1].uidMappings: "), "{other}");
        }
    }
}
