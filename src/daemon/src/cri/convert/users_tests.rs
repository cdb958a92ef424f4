//! Users of a pod's own: what is accepted, and the fields that are named when it is not.

use peapod_api::v1::{self, NamespaceMode};
use peapod_spec::{ContainerUsers, IdRange, UserNamespace};

use super::namespaces::{of_container, of_pod, to_options};
use super::pod_spec;

fn mapping(container_id: u32, host_id: u32, length: u32) -> v1::IdMapping {
    v1::IdMapping { host_id, container_id, length }
}

fn options(mode: NamespaceMode, ids: &[v1::IdMapping]) -> v1::NamespaceOption {
    let users = v1::UserNamespace { mode: mode.into(), uids: ids.to_vec(), gids: ids.to_vec() };
    v1::NamespaceOption { userns_options: Some(users), ..Default::default() }
}

fn refusal(options: v1::NamespaceOption) -> String {
    of_pod(Some(options)).unwrap_err().to_string()
}

#[test]
fn a_pod_has_one_range_from_its_root_on() {
    use NamespaceMode::{Container, Node, Pod, Target};
    let good = options(Pod, &[mapping(0, 1000, 100_000)]);
    let pod = of_pod(Some(good.clone())).unwrap();
    let range = IdRange::new(1000, 100_000).unwrap();
    assert_eq!(pod.users, Some(UserNamespace { uids: range, gids: range }));
    assert_eq!(to_options(&pod).userns_options, good.userns_options);
    assert_eq!(of_pod(Some(options(Node, &[]))).unwrap().users, None);
    assert_eq!(of_pod(None).unwrap().users, None);
    for (bad, field) in [
        (options(Pod, &[]), "userns_options.uids"),
        (options(Pod, &[mapping(0, 1000, 100), mapping(0, 2000, 100)]), "userns_options.uids"),
        (options(Pod, &[mapping(1, 1000, 100)]), "userns_options.uids[0].container_id"),
        (options(Pod, &[mapping(0, 0, 100)]), "userns_options.uids[0]"),
        (options(Pod, &[mapping(0, 1000, 0)]), "userns_options.uids[0]"),
        (options(Pod, &[mapping(0, u32::MAX - 5, 10)]), "userns_options.uids[0]"),
        (options(Node, &[mapping(0, 1000, 100)]), "userns_options.mode"),
        (options(Container, &[]), "userns_options.mode"),
        (options(Target, &[mapping(0, 1000, 100)]), "userns_options.mode"),
    ] {
        let error = refusal(bad.clone());
        assert!(error.starts_with(&format!("{field}: ")), "{bad:?}: {error}");
    }
    let mut groups = good;
    groups.userns_options.as_mut().unwrap().gids.clear();
    assert!(refusal(groups).starts_with("userns_options.gids: has 0 mappings"));
}

#[test]
fn what_belongs_to_the_node_can_not_be_mounted_by_users_of_its_own() {
    let own = || options(NamespaceMode::Pod, &[mapping(0, 1000, 100_000)]);
    let node = NamespaceMode::Node.into();
    assert!(refusal(v1::NamespaceOption { pid: node, ..own() }).starts_with("pid: NODE"));
    assert!(refusal(v1::NamespaceOption { ipc: node, ..own() }).starts_with("ipc: NODE"));
    assert!(of_pod(Some(v1::NamespaceOption { network: node, ..own() })).unwrap().users.is_some());
}

#[test]
fn a_container_says_whose_users_it_has() {
    let users = |options| of_container(options).unwrap().1;
    let own = users(Some(options(NamespaceMode::Pod, &[mapping(0, 1000, 10)])));
    assert!(matches!(own, ContainerUsers::Own(users) if users.uids.count() == 10));
    assert_eq!(users(Some(options(NamespaceMode::Node, &[]))), ContainerUsers::Node);
    assert_eq!(users(Some(v1::NamespaceOption::default())), ContainerUsers::OfPod);
    assert_eq!(users(None), ContainerUsers::OfPod);
    let bad = of_container(Some(options(NamespaceMode::Target, &[]))).unwrap_err().to_string();
    assert!(bad.starts_with("userns_options.mode: "), "{bad}");
}

#[test]
fn who_runs_is_one_of_them() {
    let security = |user: i64, groups: &[i64]| v1::LinuxSandboxSecurityContext {
        namespace_options: Some(options(NamespaceMode::Pod, &[mapping(0, 1000, 100)])),
        run_as_user: Some(v1::Int64Value { value: user }),
        supplemental_groups: groups.to_vec(),
        ..Default::default()
    };
    let spec = |context| {
        let metadata = v1::PodSandboxMetadata { name: "a".into(), namespace: "b".into(), uid: "c".into(), attempt: 0 };
        let linux = v1::LinuxPodSandboxConfig { security_context: Some(context), ..Default::default() };
        let config = v1::PodSandboxConfig { metadata: Some(metadata), linux: Some(linux), ..Default::default() };
        pod_spec(Some(config), String::new()).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(spec(security(99, &[7])), Ok(()));
    let at = "config.linux.security_context";
    assert!(spec(security(100, &[])).unwrap_err().starts_with(&format!("{at}.run_as_user: 100")));
    assert!(spec(security(9, &[7, 1000])).unwrap_err().starts_with(&format!("{at}.supplemental_groups: 1000")));
}
