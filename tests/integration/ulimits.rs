//! Resource limits that the configuration gives to all containers.

use std::collections::BTreeMap;

use peapod_tests::{Options, Pod, peapod_with, v1, wait_for};

/// Soft and hard limits, as the kernel shows them.
fn limits(text: &str) -> BTreeMap<String, (String, String)> {
    let lines = text.lines().skip(1).map(|line| {
        let (name, values) = line.split_at(26);
        let mut values = values.split_whitespace().map(str::to_owned);
        (name.trim().to_owned(), (values.next().unwrap(), values.next().unwrap()))
    });
    lines.collect()
}

/// Those of a container's first process, and of a command in it.
async fn found(pod: &Pod<'_>, name: &str) -> [BTreeMap<String, (String, String)>; 2] {
    let options = pod.config.linux.clone().unwrap_or_default().security_context.unwrap_or_default().namespace_options;
    let container = pod.container(name).security(|security| security.namespace_options = options);
    let container = container.sh("cat /proc/self/limits; echo told; exec sleep 1000").start().await;
    container.wait_log("told").await;
    [limits(&container.stdout().replace("told\n", "")), limits(&container.exec("cat /proc/self/limits").await)]
}

fn pair(soft: &str, hard: &str) -> (String, String) {
    (soft.to_owned(), hard.to_owned())
}

#[test]
fn containers_have_the_limits_of_the_configuration() {
    for handler in ["crun", "runc"] {
        let limits = "containers.default_ulimits=[\"nofile=300:400\", \"core=0\", \"memlock=4096:unlimited\"]";
        peapod_with(&Options::new().handler(handler).set(limits), async |daemon| {
            let pod = daemon.pod("limited").run().await;
            let users = v1::UserNamespace {
                mode: v1::NamespaceMode::Pod.into(),
                uids: vec![v1::IdMapping { host_id: 200_000, container_id: 0, length: 65_536 }],
                gids: vec![v1::IdMapping { host_id: 200_000, container_id: 0, length: 65_536 }],
            };
            // crun of Debian 12 has no users of a pod's own.
            let own = daemon.pod("own").namespaces(|options| options.userns_options = Some(users)).try_run().await;
            assert!(own.is_ok() || handler == "crun", "{:?}", own.as_ref().err());
            for pod in [&pod].into_iter().chain(own.as_ref()) {
                for found in found(pod, "main").await {
                    assert_eq!(found["Max open files"], pair("300", "400"), "{handler}");
                    assert_eq!(found["Max core file size"], pair("0", "0"), "{handler}");
                    let (soft, hard) = &found["Max locked memory"];
                    assert_eq!(soft, "4096", "{handler}");
                    assert!(hard == "unlimited" || hard.parse::<u64>().unwrap() >= 4096, "{handler}: {hard}");
                }
            }
        });
    }
}

#[test]
fn a_reload_changes_the_limits_of_containers_that_are_made_then() {
    peapod_with(&Options::new(), async |daemon| {
        let pod = daemon.pod("limited").run().await;
        let before = pod.container("before").sh("exec sleep 1000").start().await;
        let dir = daemon.path("config.d");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("limits.toml"), "[containers]\ndefault_ulimits = [\"nofile=333:444\"]\n").unwrap();
        daemon.reload();
        let said = || daemon.log_tail(1000).lines().any(|line| line.contains("containers.default_ulimits"));
        wait_for("the daemon takes it over", async || said()).await;
        for limits in found(&pod, "after").await {
            assert_eq!(limits["Max open files"], pair("333", "444"));
        }
        let stays = limits(&before.exec("cat /proc/self/limits").await);
        assert_ne!(stays["Max open files"], pair("333", "444"));
        pod.remove().await.unwrap();
    });
}

#[test]
fn what_the_node_cannot_give_is_said_and_fails_no_container() {
    let most: u64 = std::fs::read_to_string("/proc/sys/fs/nr_open").unwrap().trim().parse().unwrap();
    for handler in ["crun", "runc"] {
        let limits = format!("containers.default_ulimits=[\"nofile=1024:{}\"]", most + 1);
        peapod_with(&Options::new().handler(handler).set(limits), async |daemon| {
            let pod = daemon.pod("limited").run().await;
            for limits in found(&pod, "main").await {
                let (soft, hard) = &limits["Max open files"];
                assert_eq!(soft, "1024", "{handler}");
                assert!(hard.parse::<u64>().unwrap() <= most, "{handler}: {hard}");
            }
            let said = |line: &str| line.contains("the limit nofile=1024:") && line.contains("is above what this node");
            assert!(daemon.log_tail(1000).lines().any(said), "{}", daemon.log_tail(20));
        });
    }
}
