//! AppArmor profiles. Nodes without it are nodes too: there the same requests must work, or be refused by name.

use peapod_tests::{Daemon, Pod, on_each_runtime, peapod, v1};
use tonic::Code;
use v1::security_profile::ProfileType;

fn enabled() -> bool {
    std::fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with('Y'))
}

fn profile(kind: ProfileType, name: &str) -> Option<v1::SecurityProfile> {
    Some(v1::SecurityProfile { profile_type: kind.into(), localhost_ref: name.to_owned() })
}

/// What the kernel says of a container's process and of a command in it.
async fn confinement(
    pod: &Pod<'_>,
    name: &str,
    change: impl FnOnce(&mut v1::LinuxContainerSecurityContext),
) -> (String, String) {
    let look = "cat /proc/self/attr/current 2>/dev/null || echo off";
    let script = format!("{look}; echo told; exec sleep 1000");
    let container = pod.container(name).sh(&script).security(change).start().await;
    container.wait_log("told").await;
    let first = container.stdout().lines().next().unwrap_or_default().to_owned();
    (first, container.exec(look).await.trim().to_owned())
}

#[test]
fn containers_have_the_default_profile_unless_they_ask_for_another() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("apparmor").run().await;
        let both = |profile: &str| {
            let profile = if enabled() { profile } else { "off" };
            (profile.to_owned(), profile.to_owned())
        };
        assert_eq!(confinement(&pod, "absent", |_| {}).await, both("peapod-default (enforce)"));
        let default =
            confinement(&pod, "default", |security| security.apparmor = profile(ProfileType::RuntimeDefault, ""));
        assert_eq!(default.await, both("peapod-default (enforce)"));
        let none = confinement(&pod, "none", |security| security.apparmor = profile(ProfileType::Unconfined, ""));
        assert_eq!(none.await, both("unconfined"));
        let privileged = confinement(&pod, "privileged", |security| security.privileged = true);
        assert_eq!(privileged.await, both("unconfined"));
    });
}

#[test]
fn the_default_profile_forbids_what_capabilities_would_allow() {
    peapod(async |daemon| {
        let pod = daemon.pod("denied").run().await;
        let sysadmin = |security: &mut v1::LinuxContainerSecurityContext| {
            security.capabilities =
                Some(v1::Capability { add_capabilities: vec!["SYS_ADMIN".to_owned()], ..Default::default() });
        };
        let script = "mount -t tmpfs none /tmp 2>/dev/null && echo mounted; echo pod >/tmp/file && cat /tmp/file; sleep 100 & kill $! && echo signal";
        let default = pod.container("default").sh(script).security(sysadmin).output().await;
        assert_eq!(default, if enabled() { "pod\nsignal\n" } else { "mounted\npod\nsignal\n" });
        let unconfined = pod.container("unconfined").sh(script).security(|security| {
            sysadmin(security);
            security.apparmor = profile(ProfileType::Unconfined, "");
        });
        assert_eq!(unconfined.output().await, "mounted\npod\nsignal\n");
    });
}

#[test]
fn a_profile_that_is_not_loaded_is_refused_by_name() {
    peapod(async |daemon| {
        let pod = daemon.pod("missing").run().await;
        let missing = pod
            .container("missing")
            .sh("true")
            .security(|security| security.apparmor = profile(ProfileType::Localhost, "nobody-loaded-this"));
        let refused = missing.try_create().await.err().unwrap();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains("nobody-loaded-this"), "{refused}");
        assert!(containers(daemon).await.is_empty());
    });
}

async fn containers(daemon: &Daemon) -> Vec<v1::Container> {
    daemon.runtime().list_containers(v1::ListContainersRequest::default()).await.unwrap().into_inner().containers
}
