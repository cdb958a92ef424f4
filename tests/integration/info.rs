//! The verbose statuses, as scripts read them through crictl.

use peapod_tests::{Container, Pod, SHELL, derived, fixture, on_each_runtime, peapod, v1};
use serde_json::{Value, json};
use tonic::Code;

pub(crate) async fn of_container(container: &Container<'_>) -> Value {
    let request = v1::ContainerStatusRequest { container_id: container.id.clone(), verbose: true };
    let answer = container.pod.daemon.runtime().container_status(request).await.unwrap().into_inner();
    serde_json::from_str(&answer.info["info"]).unwrap()
}

async fn of_pod(pod: &Pod<'_>) -> Value {
    let request = v1::PodSandboxStatusRequest { pod_sandbox_id: pod.id.clone(), verbose: true };
    let answer = pod.daemon.runtime().pod_sandbox_status(request).await.unwrap().into_inner();
    serde_json::from_str(&answer.info["info"]).unwrap()
}

/// What a namespace is, by any way to it.
fn identity(path: &str) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    let of = std::fs::metadata(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    (of.dev(), of.ino())
}

#[test]
fn a_container_with_its_process_and_the_limits_of_now() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("inspect").run().await;
        let limited = pod.container("main").sh("sleep 1000").resources(|limits| {
            limits.memory_limit_in_bytes = 64 << 20;
            limits.cpu_shares = 512;
        });
        let container = limited.start().await;
        let info = of_container(&container).await;
        assert_eq!(info["sandboxID"], json!(pod.id));
        assert_eq!(info["privileged"], json!(false));
        let pid = info["pid"].as_u64().unwrap();
        let group = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        assert!(group.contains(&container.id), "{group}");
        let spec = &info["runtimeSpec"];
        assert_eq!(spec["process"]["args"], json!(["/bin/sh", "-c", "sleep 1000"]));
        assert_eq!(spec["linux"]["resources"]["memory"]["limit"], json!(64 << 20));
        container.update(|limits| limits.memory_limit_in_bytes = 96 << 20).await.unwrap();
        let now = of_container(&container).await;
        let resources = &now["runtimeSpec"]["linux"]["resources"];
        assert_eq!((&resources["memory"]["limit"], &resources["cpu"]["shares"]), (&json!(96 << 20), &json!(512)));
        assert_eq!(resources["devices"], spec["linux"]["resources"]["devices"]);
        assert_eq!(now["runtimeSpec"]["mounts"], spec["mounts"]);
    });
}

#[test]
fn a_pod_with_what_its_client_told_last_of_its_cgroup() {
    peapod(async |daemon| {
        let begun = daemon.pod("resized").config(|config| {
            let linux = config.linux.get_or_insert_default();
            linux.resources = Some(v1::LinuxContainerResources { cpu_shares: 512, ..Default::default() });
            linux.overhead = Some(v1::LinuxContainerResources { cpu_shares: 10, ..Default::default() });
        });
        let pod = begun.clone().run().await;
        let told = async || {
            let config = of_pod(&pod).await["config"].clone();
            let number = |pointer| config.pointer(pointer).and_then(Value::as_i64);
            (number("/resources/cpu_shares"), number("/resources/memory_limit"), number("/overhead/cpu_shares"))
        };
        let update = async |id: &str, change: fn(&mut v1::LinuxContainerResources)| {
            let mut resources = v1::LinuxContainerResources::default();
            change(&mut resources);
            let (pod_sandbox_id, resources) = (id.to_owned(), Some(resources));
            let request = v1::UpdatePodSandboxResourcesRequest { pod_sandbox_id, resources, overhead: None };
            daemon.runtime().update_pod_sandbox_resources(request).await
        };
        assert_eq!(told().await, (Some(512), Some(0), Some(10)));
        update(&pod.id, |resources| (resources.cpu_shares, resources.memory_limit_in_bytes) = (700, 1 << 30))
            .await
            .unwrap();
        assert_eq!(told().await, (Some(700), Some(1 << 30), Some(10)), "what it said nothing of stays");
        let refused = update(&pod.id, |resources| resources.cpu_shares = -1).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().starts_with("resources.cpu_shares: "), "{refused}");
        assert_eq!(update("absent", |_| {}).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(update("", |_| {}).await.unwrap_err().code(), Code::InvalidArgument);
        // The client knows the pod: nobody else is given it for an equal request.
        let again = begun.try_run().await.err().unwrap();
        assert_eq!(again.code(), Code::AlreadyExists, "{again}");
        daemon.kill().await;
        daemon.start_again().await;
        assert_eq!(told().await, (Some(700), Some(1 << 30), Some(10)));
        update(&pod.id[..12], |resources| resources.cpu_shares = 300).await.unwrap();
        assert_eq!(told().await, (Some(300), Some(0), Some(10)));
        pod.stop().await.unwrap();
        update(&pod.id, |resources| resources.cpu_shares = 2).await.unwrap();
        pod.remove().await.unwrap();
        assert_eq!(update(&pod.id, |_| {}).await.unwrap_err().code(), Code::NotFound);
    });
}

#[test]
fn a_pod_with_a_process_and_its_namespaces() {
    on_each_runtime(async |daemon| {
        for mode in [v1::NamespaceMode::Pod, v1::NamespaceMode::Container] {
            let pod = daemon.pod("inspectp").pid(mode).run().await;
            let container = pod.container("main").sh("sleep 1000").start().await;
            let info = of_pod(&pod).await;
            let pid = info["pid"].as_u64().unwrap();
            assert_ne!(info["pid"], info["shimPid"]);
            let inside = of_container(&container).await["pid"].as_u64().unwrap();
            let namespaces = info["runtimeSpec"]["linux"]["namespaces"].as_array().unwrap();
            for (kind, name) in [("network", "net"), ("ipc", "ipc"), ("uts", "uts")] {
                let listed = namespaces.iter().find(|namespace| namespace["type"] == kind).unwrap();
                let of_container = identity(&format!("/proc/{inside}/ns/{name}"));
                assert_eq!(identity(listed["path"].as_str().unwrap()), of_container, "{kind}");
                assert_eq!(identity(&format!("/proc/{pid}/ns/{name}")), of_container, "{kind} of the pid");
            }
            assert_eq!(info["runtimeSpec"]["hostname"], json!("inspectp"));
            pod.remove().await.unwrap();
        }
    });
}

#[test]
fn an_image_with_its_whole_configuration() {
    let config = json!({ "User": "33", "ExposedPorts": { "80/tcp": {} }, "Labels": { "a": "b" } });
    let image = derived(SHELL, "inspecti", &config);
    peapod(async |daemon| {
        daemon.pull(&image).await.unwrap();
        let spec = Some(v1::ImageSpec { image: fixture(&image), ..Default::default() });
        let request = v1::ImageStatusRequest { image: spec, verbose: true };
        let answer = daemon.images().image_status(request).await.unwrap().into_inner();
        let info: Value = serde_json::from_str(&answer.info["info"]).unwrap();
        let spec = &info["imageSpec"];
        for (field, value) in config.as_object().unwrap() {
            assert_eq!(&spec["config"][field], value, "{field}");
        }
        assert_eq!(spec["os"], json!("linux"));
        assert!(spec["rootfs"]["diff_ids"].as_array().is_some_and(|ids| !ids.is_empty()));
    });
}
