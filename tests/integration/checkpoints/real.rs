//! With runc and CRIU itself. Whether CRIU can do it, it says (`criu check`): where it can't, as when it is older than
//! the kernel, its words are what the call answers, and the container runs on.

use std::process::Command;

use peapod_tests::{Container, Options, peapod_with, v1, wait_for};
use tonic::Code;
use v1::ContainerState::ContainerRunning;

use super::{checkpoint, folder, goes_on, running, taken_back};

#[test]
fn a_counter_goes_on_where_it_was() {
    let options = Options::new().handler("runc");
    peapod_with(&options, async |daemon| {
        let (pod, container) = running(daemon, "counting", "runc").await;
        let folder = folder(daemon);
        let archive = folder.join("a.tar");
        let can = Command::new("criu").arg("check").output();
        let answer = checkpoint(&container, &archive, 0).await;
        match can {
            Err(_) => {
                eprintln!("there is no criu here");
                let refused = answer.unwrap_err();
                assert_eq!(refused.code(), Code::Unimplemented, "{refused}");
                return taken_back(&container, &folder).await;
            }
            Ok(check) if !check.status.success() => {
                let refused = answer.unwrap_err();
                eprintln!("criu can't do it here: {refused}");
                assert!(refused.message().contains("CRIU said: "), "{refused}");
                return taken_back(&container, &folder).await;
            }
            Ok(_) => answer.unwrap(),
        }
        goes_on(&container).await;
        let at_least = container.exec("cat /count").await.trim().parse::<u64>().unwrap();
        pod.remove().await.unwrap();

        let pod = daemon.pod("again").handler("runc").run().await;
        let restored = pod.container("main").image(&archive.to_string_lossy()).sh("exec false");
        let restored = restored.try_create_of_what_is_there().await.unwrap();
        restored.start().await.unwrap();
        goes_on(&restored).await;
        // Not from the beginning.
        let first: u64 = restored.stdout().lines().next().unwrap().parse().unwrap();
        assert!(first > 3 && first <= at_least + 1, "{first} of {at_least}");
        assert_eq!(restored.exec("cat /home/file; ls /home/old").await, "changed\nnew\n");
        // It is in its new pod's network, as its neighbour is.
        let other = pod.container("other").sh("sleep 1000").start().await;
        let namespace = async |container: &Container<'_>, kind: &str| {
            container.exec(&format!("readlink /proc/self/ns/{kind}")).await
        };
        assert_eq!(namespace(&restored, "net").await, namespace(&other, "net").await);
        for kind in ["ipc", "uts", "pid"] {
            let shared = namespace(&restored, kind).await == namespace(&other, kind).await;
            eprintln!("shares the pod's {kind} namespace: {shared}");
        }
        assert_eq!(restored.status().await.state(), ContainerRunning);
        restored.stop(0).await.unwrap();
        pod.remove().await.unwrap();
        wait_for("its program is run by nobody", async || daemon.containers().await.is_empty()).await;
    });
}
