//! What clients are shown of pods and containers.

use std::sync::Arc;

use peapod_api::v1;
use peapod_pod::{
    ContainerId, ContainerState, ContainerView, ExecBase, ImageMount, ParentKind, PodId, PodState, PodView,
};
use peapod_spec::UserIds;
use serde_json::json;

use super::{container, container_spec, container_status, pod_sandbox_status, pod_spec};

/// Ids come from the pod crate alone, or from a record.
pub(super) fn pod_id() -> PodId {
    serde_json::from_value(json!("p".repeat(64))).unwrap()
}

fn container_id() -> ContainerId {
    serde_json::from_value(json!("c".repeat(64))).unwrap()
}

pub(crate) fn view(state: ContainerState) -> ContainerView {
    let spec = container_spec(Some(v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: "main".into(), attempt: 3 }),
        image: Some(v1::ImageSpec {
            image: "sha256:1".into(),
            user_specified_image: "busybox".into(),
            ..Default::default()
        }),
        mounts: vec![
            v1::Mount {
                container_path: "/c".into(),
                host_path: "/h".into(),
                readonly: true,
                recursive_read_only: true,
                ..Default::default()
            },
            v1::Mount {
                container_path: "/model".into(),
                image: Some(v1::ImageSpec {
                    image: "model:1".into(),
                    user_specified_image: "model".into(),
                    ..Default::default()
                }),
                image_sub_path: "/weights/".into(),
                mount_options: vec!["noexec".into()],
                readonly: true,
                ..Default::default()
            },
        ],
        linux: Some(v1::LinuxContainerConfig {
            resources: Some(v1::LinuxContainerResources { cpu_shares: 512, ..Default::default() }),
            security_context: None,
        }),
        ..Default::default()
    }));
    ContainerView {
        id: container_id(),
        pod: pod_id(),
        spec: Arc::new(spec.unwrap()),
        image_id: "sha256:1".into(),
        image_name: "docker.io/library/busybox:latest".into(),
        image_mounts: vec![ImageMount { mount: 1, image_id: "sha256:3".into() }],
        image_ref: "docker.io/library/busybox@sha256:2".into(),
        state,
        created_at: 1,
        user: UserIds { uid: 1000, gid: 1000, groups: vec![50000, 1000, 1234] },
        stop_signal: 3,
        log_path: Some("/logs/main/3.log".into()),
        cgroup: "/peapod/c".into(),
        bundle: "/b".into(),
        upper: "/u".into(),
        exec: ExecBase::default(),
    }
}

#[test]
fn a_container_that_ended() {
    let shown = container_status(&view(ContainerState::Exited {
        started_at: 2,
        finished_at: 3,
        exit_code: 137,
        reason: "OOMKilled".into(),
        message: "used 15 MiB".into(),
    }));
    assert_eq!(shown.state(), v1::ContainerState::ContainerExited);
    assert_eq!((shown.created_at, shown.started_at, shown.finished_at, shown.exit_code), (1, 2, 3, 137));
    assert_eq!((shown.reason.as_str(), shown.message.as_str()), ("OOMKilled", "used 15 MiB"));
    assert_eq!(shown.log_path, "/logs/main/3.log");
    assert_eq!(shown.stop_signal(), v1::Signal::Sigquit);
    assert_eq!(shown.image_id, "sha256:1");
    let image = shown.image.unwrap();
    assert_eq!(
        (image.image.as_str(), image.user_specified_image.as_str()),
        ("docker.io/library/busybox:latest", "busybox")
    );
    let user = shown.user.unwrap().linux.unwrap();
    assert_eq!((user.uid, user.gid, user.supplemental_groups), (1000, 1000, vec![1000, 1234, 50000]));
    assert_eq!(shown.resources.unwrap().linux.unwrap().cpu_shares, 512);
    let [mount, model] = shown.mounts.as_slice() else { panic!("{:?}", shown.mounts) };
    assert_eq!((model.image_sub_path.as_str(), model.host_path.as_str(), model.readonly), ("weights", "", true));
    assert_eq!(model.mount_options, ["noexec"]);
    let image = model.image.clone().unwrap();
    let names = [&image.image, &image.user_specified_image, &image.image_ref];
    assert_eq!(names, ["model:1", "model", "sha256:3"]);
    assert_eq!((mount.host_path.as_str(), mount.readonly, mount.recursive_read_only), ("/h", true, true));
}

#[test]
fn a_container_in_a_list_names_the_same_image() {
    let view = view(ContainerState::Running { pid: 7, started_at: 2 });
    let listed = container(&view);
    let shown = container_status(&view);
    assert_eq!((listed.id, listed.image_id, listed.image_ref), (shown.id, shown.image_id, shown.image_ref));
    assert_eq!(listed.state, v1::ContainerState::ContainerRunning as i32);
    assert_eq!(listed.pod_sandbox_id, pod_id().to_string());
    assert_eq!((shown.started_at, shown.finished_at), (2, 0));
}

#[test]
fn a_pod_with_two_addresses() {
    let spec = pod_spec(
        Some(v1::PodSandboxConfig {
            metadata: Some(v1::PodSandboxMetadata {
                name: "web".into(),
                namespace: "default".into(),
                uid: "u".into(),
                attempt: 2,
            }),
            labels: [("a".to_owned(), "b".to_owned())].into(),
            ..Default::default()
        }),
        "runc".into(),
    );
    let mut pod = PodView {
        id: pod_id(),
        spec: Arc::new(spec.unwrap()),
        state: PodState::Ready,
        created_at: 1,
        ips: vec!["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()],
        netns: Some("/run/netns/x".into()),
        shim_pid: 1,
        namespaces: Vec::new(),
        runtime_handler: "runc".into(),
        cgroup_parent: "/peapod".into(),
        parent_kind: ParentKind::Shared,
    };
    let shown = pod_sandbox_status(&pod);
    let network = shown.network.unwrap();
    let others: Vec<&str> = network.additional_ips.iter().map(|ip| ip.ip.as_str()).collect();
    assert_eq!((network.ip.as_str(), others), ("10.0.0.2", vec!["fd00::2"]));
    assert_eq!(shown.metadata.unwrap().attempt, 2);
    assert_eq!(shown.labels.get("a").map(String::as_str), Some("b"));
    let options = shown.linux.unwrap().namespaces.unwrap().options.unwrap();
    assert_eq!((options.network(), options.pid()), (v1::NamespaceMode::Pod, v1::NamespaceMode::Pod));
    pod.ips.clear();
    pod.state = PodState::NotReady;
    let stopped = pod_sandbox_status(&pod);
    assert_eq!(stopped.state(), v1::PodSandboxState::SandboxNotready);
    assert_eq!(stopped.network, Some(v1::PodSandboxNetworkStatus::default()));
}
