//! Who a container's process is and what it may do.

use peapod_tests::{Daemon, Options, Pod, on_each_runtime, peapod, peapod_with, v1};

const GROUPS: &str = "k8s-staging-cri-tools/test-image-predefined-group:latest";

fn id(value: i64) -> Option<v1::Int64Value> {
    Some(v1::Int64Value { value })
}

#[test]
fn users_by_number_name_and_image() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("users").run().await;
        let who = |name: &str| pod.container(name).sh("echo $(id -u):$(id -g):$(id -G)");
        assert_eq!(who("root").output().await, "0:0:0\n");
        let number = who("number").security(|security| {
            security.run_as_user = id(1234);
            security.run_as_group = id(55);
            security.supplemental_groups = vec![77, 88];
        });
        assert_eq!(number.output().await, "1234:55:55 77 88\n");
        let name = who("name").security(|security| "www-data".clone_into(&mut security.run_as_username));
        assert_eq!(name.output().await, "33:33:33\n");
        let unknown = who("unknown").security(|security| "nobody-knows".clone_into(&mut security.run_as_username));
        let refused = match unknown.try_create().await {
            Ok(container) => container.start().await.unwrap_err(),
            Err(refused) => refused,
        };
        assert!(refused.message().contains("nobody-knows"), "{refused}");
    });
}

#[test]
fn groups_of_the_image_merge_or_not() {
    on_each_runtime(async |daemon| {
        let reference = format!("{}/{GROUPS}", peapod_tests::Programs::get().registry);
        let pod = daemon.pod("groups").run().await;
        let who = |name: &str, policy: v1::SupplementalGroupsPolicy| {
            pod.container(name).image(&reference).sh("id -G").security(|security| {
                security.run_as_user = id(1000);
                security.run_as_group = id(1000);
                security.supplemental_groups = vec![60000];
                security.supplemental_groups_policy = policy.into();
            })
        };
        let sorted = |text: String| {
            let mut ids: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
            ids.sort();
            ids.join(" ")
        };
        assert_eq!(sorted(who("merge", v1::SupplementalGroupsPolicy::Merge).output().await), "1000 50000 60000");
        assert_eq!(sorted(who("strict", v1::SupplementalGroupsPolicy::Strict).output().await), "1000 60000");
        let status = who("status", v1::SupplementalGroupsPolicy::Strict).start().await.status().await;
        let user = status.user.unwrap().linux.unwrap();
        assert_eq!((user.uid, user.gid), (1000, 1000));
        assert!(user.supplemental_groups.contains(&60000) && !user.supplemental_groups.contains(&50000));
    });
}

async fn status_line(
    pod: &Pod<'_>,
    name: &str,
    key: &str,
    change: impl FnOnce(&mut v1::LinuxContainerSecurityContext),
) -> String {
    let script = format!("grep ^{key}: /proc/self/status | cut -f2");
    pod.container(name).sh(&script).security(change).output().await.trim().to_owned()
}

#[test]
fn capabilities_are_added_dropped_and_masked() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("caps").run().await;
        let node = std::fs::read_to_string("/proc/self/status").unwrap();
        let node = node.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap();
        let mask = |text: &str| u64::from_str_radix(text, 16).unwrap();

        let default = mask(&status_line(&pod, "default", "CapEff", |_| {}).await);
        assert_ne!(default, 0);
        assert_eq!(default & !mask(node), 0);
        // Asks for all that are known; gets all that the node has.
        let privileged = status_line(&pod, "privileged", "CapEff", |security| security.privileged = true).await;
        assert_eq!(mask(&privileged), mask(node));
        let capabilities = |add: &[&str], drop: &[&str]| v1::Capability {
            add_capabilities: add.iter().map(|&name| name.to_owned()).collect(),
            drop_capabilities: drop.iter().map(|&name| name.to_owned()).collect(),
            ..Default::default()
        };
        let all = capabilities(&["ALL"], &[]);
        assert_eq!(
            mask(&status_line(&pod, "all", "CapEff", |security| security.capabilities = Some(all)).await),
            mask(node)
        );
        let net_admin = 1 << 12;
        let added = capabilities(&["NET_ADMIN"], &["CHOWN"]);
        let added = mask(&status_line(&pod, "added", "CapEff", |security| security.capabilities = Some(added)).await);
        assert_eq!(added, (default | net_admin) & !1);
        let none = capabilities(&["NET_ADMIN"], &["ALL"]);
        let none = mask(&status_line(&pod, "none", "CapBnd", |security| security.capabilities = Some(none)).await);
        assert_eq!(none, net_admin);
    });
}

#[test]
fn seccomp_profiles() {
    on_each_runtime(async |daemon| {
        let profile = daemon.path("profile.json");
        let text = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}"#;
        std::fs::write(&profile, text).unwrap();
        let pod = daemon.pod("seccomp").run().await;
        let seccomp = |kind: v1::security_profile::ProfileType, file: &str| {
            let file = file.to_owned();
            move |security: &mut v1::LinuxContainerSecurityContext| {
                security.seccomp = Some(v1::SecurityProfile { profile_type: kind.into(), localhost_ref: file });
            }
        };
        use v1::security_profile::ProfileType::{Localhost, RuntimeDefault, Unconfined};
        assert_eq!(status_line(&pod, "absent", "Seccomp", |_| {}).await, "0");
        assert_eq!(status_line(&pod, "unconfined", "Seccomp", seccomp(Unconfined, "")).await, "0");
        assert_eq!(status_line(&pod, "default", "Seccomp", seccomp(RuntimeDefault, "")).await, "2");
        let denied = pod.container("denied").sh("unshare -U true 2>/dev/null || echo denied");
        assert_eq!(denied.security(seccomp(RuntimeDefault, "")).output().await, "denied\n");
        let own = pod.container("own").sh("mkdir /tmp/x 2>&1 | grep -o 'Function not implemented'");
        assert_eq!(
            own.security(seccomp(Localhost, profile.to_str().unwrap())).output().await,
            "Function not implemented\n"
        );
        let missing = pod.container("missing").sh("true").security(seccomp(Localhost, "/nowhere/profile.json"));
        let refused = missing.try_create().await.err().unwrap();
        assert!(refused.message().contains("/nowhere/profile.json"), "{refused}");
    });
}

/// crun takes what it compiled for an earlier container; whoever starts with it is as confined as the first.
#[test]
fn a_compiled_filter_confines_like_its_profile() {
    for handler in ["crun", "runc"] {
        peapod_with(&Options::new().handler(handler), async |daemon| {
            check_compiled_filters(daemon, handler == "crun").await;
        });
    }
}

async fn check_compiled_filters(daemon: &Daemon, kept: bool) {
    let pod = daemon.pod("filter").run().await;
    let bundles = daemon.run_root().join("pods").join(&pod.id).join("containers");
    let given = |id: &str| {
        let text = std::fs::read(bundles.join(id).join("config.json")).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert!(config["linux"]["seccomp"].is_object());
        config["annotations"]["run.oci.seccomp_bpf_data"].as_str().map(str::to_owned)
    };
    let start = async |name: &str, capability: Option<&str>| {
        let default = |security: &mut v1::LinuxContainerSecurityContext| {
            let kind = v1::security_profile::ProfileType::RuntimeDefault.into();
            security.seccomp = Some(v1::SecurityProfile { profile_type: kind, ..Default::default() });
            let add_capabilities = capability.map(str::to_owned).into_iter().collect();
            security.capabilities = Some(v1::Capability { add_capabilities, ..Default::default() });
        };
        let container = pod.container(name).sh("sleep 1000").security(default).start().await;
        // A namespace is what CAP_SYS_ADMIN opens in the profile.
        let sees = "grep ^Seccomp: /proc/self/status | cut -f2; unshare -u true 2>/dev/null && echo namespace; true";
        (given(&container.id), container.exec(sees).await)
    };
    let (first, confined) = start("first", None).await;
    assert_eq!((first.as_deref(), confined.as_str()), (None, "2\n"));
    let (second, confined) = start("second", None).await;
    assert_eq!((second.is_some(), confined.as_str()), (kept, "2\n"));
    // Other capabilities, another profile, another program.
    let (other, allowed) = start("other", Some("SYS_ADMIN")).await;
    assert_eq!((other.as_deref(), allowed.as_str()), (None, "2\nnamespace\n"));
    let (again, allowed) = start("again", Some("SYS_ADMIN")).await;
    assert_eq!((again.is_some(), allowed.as_str()), (kept, "2\nnamespace\n"));
    assert!(again.is_none() || again != second);
}

#[test]
fn no_new_privileges_read_only_roots_and_hidden_paths() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("paths").run().await;
        assert_eq!(status_line(&pod, "nnp", "NoNewPrivs", |security| security.no_new_privs = true).await, "1");
        assert_eq!(status_line(&pod, "newp", "NoNewPrivs", |_| {}).await, "0");
        let root = pod.container("root").sh("touch /x 2>/dev/null || echo refused; touch /dev/shm/x && echo shm");
        assert_eq!(root.security(|security| security.readonly_rootfs = true).output().await, "refused\nshm\n");
        let paths = pod
            .container("paths")
            .sh("cat /etc/passwd | wc -c; ls /root | wc -l; touch /var/x 2>/dev/null || echo refused; touch /etc/y && echo etc")
            .security(|security| {
                security.masked_paths = vec!["/etc/passwd".to_owned(), "/root".to_owned(), "/not/there".to_owned()];
                security.readonly_paths = vec!["/var".to_owned(), "/not/there".to_owned()];
            });
        assert_eq!(paths.output().await, "0\n0\nrefused\netc\n");
        // Exactly the request's lists: nothing is added.
        let bare = pod.container("bare").sh("grep -c ' /proc/' /proc/self/mountinfo || true");
        assert_eq!(bare.output().await, "0\n");
    });
}

#[test]
fn what_the_node_cannot_grant_fails_no_pod() {
    peapod(async |daemon| {
        let pod = daemon.pod("clamp").run().await;
        let container =
            pod.container("main").sh("cat /proc/self/oom_score_adj").resources(|limits| limits.oom_score_adj = -998);
        let own: i32 = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim().parse().unwrap();
        let got: i32 = container.output().await.trim().parse().unwrap();
        assert!(got == -998 || got <= own, "{got}");
        let raised =
            pod.container("raised").sh("cat /proc/self/oom_score_adj").resources(|limits| limits.oom_score_adj = 500);
        assert_eq!(raised.output().await, "500\n");
    });
}
