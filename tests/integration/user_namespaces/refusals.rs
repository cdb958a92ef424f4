//! What is refused, by name, and leaves nothing.

use std::fs;

use peapod_tests::{Options, Programs, peapod_with, v1};
use tonic::Code;
use v1::NamespaceMode::{self, Node};

use super::{COUNT, FIRST, map, mapped, mapping, runc, users, with_own};

#[test]
fn what_makes_no_sense_is_refused_and_leaves_nothing() {
    runc(async |daemon| {
        use NamespaceMode::{Container as OfContainer, Target};
        let usual = || mapping(0, FIRST, COUNT);
        for (users, field) in [
            (users(OfContainer, &[]), "userns_options.mode"),
            (users(Target, &[]), "userns_options.mode"),
            (users(Node, &[usual()]), "userns_options.mode"),
            (users(NamespaceMode::Pod, &[]), "userns_options.uids"),
            (users(NamespaceMode::Pod, &[usual(), usual()]), "userns_options.uids"),
            (users(NamespaceMode::Pod, &[mapping(1, FIRST, COUNT)]), "userns_options.uids[0].container_id"),
            (users(NamespaceMode::Pod, &[mapping(0, 0, COUNT)]), "userns_options.uids[0]"),
            (users(NamespaceMode::Pod, &[mapping(0, FIRST, 0)]), "userns_options.uids[0]"),
            (users(NamespaceMode::Pod, &[mapping(0, u32::MAX - 9, 10)]), "userns_options.uids[0]"),
        ] {
            let pod = daemon.pod("bad").namespaces(|options| options.userns_options = Some(users));
            let refused = pod.try_run().await.err().unwrap();
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
            assert!(refused.message().contains(field), "{field}: {refused}");
        }
        let node = with_own(daemon.pod("bad")).pid(Node).try_run().await.err().unwrap();
        assert!(node.message().contains("namespace_options.pid"), "{node}");
        daemon.nothing_left().await;

        let pod = with_own(daemon.pod("good")).run().await;
        let volume = daemon.path("volume");
        fs::create_dir(&volume).unwrap();
        let other = |mount: &mut v1::Mount| {
            let ids = vec![mapping(0, FIRST + COUNT, COUNT)];
            (mount.uid_mappings, mount.gid_mappings) = (ids.clone(), ids);
        };
        let refused = mapped(&pod, "other").mount_with(&volume, "/data", other).sh("true").try_create().await;
        let refused = refused.err().unwrap();
        assert_eq!(
            (refused.code(), refused.message().contains("mounts[0].uidMappings")),
            (Code::InvalidArgument, true)
        );
        let differs = mapped(&pod, "differs").sh("true").security(|security| {
            security.namespace_options.get_or_insert_default().userns_options = Some(users(Node, &[]));
        });
        let refused = differs.try_create().await.err().unwrap();
        assert!(refused.message().contains("userns_options: is not what the pod sandbox was run with"), "{refused}");
        // A file system that can't map owners is named by the OCI runtime.
        let proc = mapped(&pod, "proc").mount_with("/proc/self/net", "/data", map).sh("true").create().await;
        proc.start().await.unwrap_err();
    });
}

#[test]
fn a_runtime_that_can_not_says_so_and_is_refused_by_name() {
    peapod_with(&Options::new().handler("crun"), async |daemon| {
        let status = daemon.runtime().status(v1::StatusRequest::default()).await.unwrap().into_inner();
        let can = |name: &str| {
            let handler = status.runtime_handlers.iter().find(|handler| handler.name == name).unwrap();
            handler.features.unwrap().user_namespaces
        };
        assert_eq!((can(""), can("crun"), can("runc")), (false, false, true));
        let refused = with_own(daemon.pod("refused")).try_run().await.err().unwrap();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        let crun = Programs::get().crun.display().to_string();
        for word in [crun.as_str(), "userns_options", "does not say that it has user namespaces"] {
            assert!(refused.message().contains(word), "{word}: {refused}");
        }
        daemon.nothing_left().await;
        let pod = with_own(daemon.pod("other")).handler("runc").run().await;
        assert_eq!(mapped(&pod, "main").sh("echo up").output().await, "up\n");
    });
}
