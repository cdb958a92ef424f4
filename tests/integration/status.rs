//! What the runtime says about itself.

use peapod_tests::{cgroups, peapod, v1};
use tonic::Code;

#[test]
fn version_is_complete() {
    peapod(async |daemon| {
        let version = daemon.runtime().version(v1::VersionRequest::default()).await.unwrap().into_inner();
        assert_eq!((version.version.as_str(), version.runtime_name.as_str()), ("0.1.0", "peapod"));
        assert_eq!(version.runtime_api_version, "v1");
        assert!(!version.runtime_version.is_empty());
    });
}

#[test]
fn runtime_and_network_are_ready() {
    peapod(async |daemon| {
        let request = v1::StatusRequest { verbose: true };
        let status = daemon.runtime().status(request).await.unwrap().into_inner();
        let conditions = status.status.unwrap().conditions;
        for name in ["RuntimeReady", "NetworkReady"] {
            let condition = conditions.iter().find(|condition| condition.r#type == name).unwrap();
            assert!(condition.status, "{name}: {} {}", condition.reason, condition.message);
        }
        for name in ["", "crun", "runc"] {
            assert!(status.runtime_handlers.iter().any(|handler| handler.name == name), "no handler {name:?}");
        }
        assert!(!status.info.is_empty(), "verbose brings nothing");
        for (key, value) in &status.info {
            let parsed: serde_json::Value =
                serde_json::from_str(value).unwrap_or_else(|e| panic!("{key}: {value}: {e}"));
            assert!(parsed.is_object(), "{key}: {value}");
        }
    });
}

#[test]
fn the_kubelet_learns_the_cgroup_driver() {
    let wanted = if cgroups::by_systemd() { v1::CgroupDriver::Systemd } else { v1::CgroupDriver::Cgroupfs };
    peapod(async |daemon| {
        let config = daemon.runtime().runtime_config(v1::RuntimeConfigRequest::default()).await.unwrap().into_inner();
        assert_eq!(config.linux.unwrap().cgroup_driver(), wanted);
    });
}

#[test]
fn the_range_that_the_kubelet_tells_is_shown() {
    peapod(async |daemon| {
        let tell = async |pod_cidr: &str| {
            let network_config = Some(v1::NetworkConfig { pod_cidr: pod_cidr.to_owned() });
            let runtime_config = Some(v1::RuntimeConfig { network_config });
            daemon.runtime().update_runtime_config(v1::UpdateRuntimeConfigRequest { runtime_config }).await
        };
        let shown = async || {
            let status = daemon.runtime().status(v1::StatusRequest { verbose: true }).await.unwrap().into_inner();
            let network: serde_json::Value = serde_json::from_str(&status.info["network"]).unwrap();
            network["podCIDR"].as_str().unwrap().to_owned()
        };
        assert_eq!(shown().await, "");
        // It may come any number of times.
        for range in ["10.9.0.0/24", "10.9.0.0/24", "10.10.0.0/24,fd00::/64"] {
            tell(range).await.unwrap();
            assert_eq!(shown().await, range);
        }
        let refused = tell("10.9.0.0/33").await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(refused.message().contains("10.9.0.0/33"), "{refused}");
        assert_eq!(shown().await, "10.10.0.0/24,fd00::/64");
    });
}

#[test]
fn its_socket_is_for_root_alone() {
    use std::os::unix::fs::MetadataExt;
    peapod(async |daemon| {
        let metadata = std::fs::metadata(daemon.socket()).unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.uid()), (0o660, 0));
    });
}

#[test]
fn a_second_daemon_on_the_same_state_is_refused() {
    peapod(async |daemon| {
        let output = std::process::Command::new(&peapod_tests::Programs::get().peapod)
            .arg("serve")
            .arg("--config")
            .arg(daemon.path("config.toml"))
            .output()
            .unwrap();
        assert!(!output.status.success());
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(words.contains(daemon.state_root().to_str().unwrap()), "does not name the state root: {words}");
        // The first one does not mind.
        daemon.runtime().version(v1::VersionRequest::default()).await.unwrap();
    });
}
