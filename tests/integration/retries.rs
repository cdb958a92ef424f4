//! Retries join what runs, and make nothing twice.

use peapod_tests::{SHELL, peapod};
use tonic::Code;

#[test]
fn two_equal_requests_make_one_pod() {
    peapod(async |daemon| {
        let request = daemon.pod("twice").request();
        std::fs::create_dir_all(daemon.path("logs-twice")).unwrap();
        let (mut first, mut second) = (daemon.runtime(), daemon.runtime());
        let (first, second) =
            tokio::join!(first.run_pod_sandbox(request.clone()), second.run_pod_sandbox(request.clone()));
        let id = first.unwrap().into_inner().pod_sandbox_id;
        assert_eq!(second.unwrap().into_inner().pod_sandbox_id, id);
        assert_eq!(daemon.pods().await.len(), 1);
        // Somebody has received it: from now on it is another one's name.
        let refused = daemon.runtime().run_pod_sandbox(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::AlreadyExists);
        assert!(refused.message().contains(&id[..12]), "does not name the pod: {refused}");
    });
}

#[test]
fn a_result_that_nobody_received_waits_for_the_retry() {
    peapod(async |daemon| {
        let request = daemon.pod("lost").request();
        std::fs::create_dir_all(daemon.path("logs-lost")).unwrap();
        let mut runtime = daemon.runtime();
        // Given up long before it can be done, as after a client's deadline.
        let _ =
            tokio::time::timeout(std::time::Duration::from_micros(300), runtime.run_pod_sandbox(request.clone())).await;
        let id = daemon.runtime().run_pod_sandbox(request).await.unwrap().into_inner().pod_sandbox_id;
        let pods = daemon.pods().await;
        assert_eq!(pods.iter().map(|pod| &pod.id).collect::<Vec<_>>(), [&id]);
    });
}

#[test]
fn another_request_of_the_same_name_is_refused() {
    peapod(async |daemon| {
        let pod = daemon.pod("name").run().await;
        let other = daemon.pod("name").config(|config| config.hostname = "other".to_owned());
        let refused = other.try_run().await.err().unwrap();
        assert_eq!(refused.code(), Code::AlreadyExists, "{refused}");
        assert!(refused.message().contains(&pod.id[..12]), "{refused}");
        // Another attempt of the same pod is another pod.
        let next = daemon.pod("name").config(|config| config.metadata.as_mut().unwrap().attempt = 1).run().await;
        assert_ne!(next.id, pod.id);
    });
}

#[test]
fn two_equal_requests_make_one_container() {
    peapod(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("twice").run().await;
        let request = pod.container("main").sh("sleep 1000").request();
        let (mut first, mut second) = (daemon.runtime(), daemon.runtime());
        let (first, second) =
            tokio::join!(first.create_container(request.clone()), second.create_container(request.clone()));
        let ids = [first, second].map(|answer| answer.map(|response| response.into_inner().container_id));
        // Creating is so quick that the first answer may be out before the second question is in.
        let made: Vec<_> = ids.iter().filter_map(|answer| answer.as_ref().ok()).collect();
        assert!(!made.is_empty() && made.iter().all(|id| *id == made[0]), "{ids:?}");
        for refused in ids.iter().filter_map(|answer| answer.as_ref().err()) {
            assert_eq!(refused.code(), Code::AlreadyExists, "{refused}");
        }
        assert_eq!(daemon.containers().await.len(), 1);
    });
}

#[test]
fn a_failed_attempt_leaves_the_name_free() {
    peapod(async |daemon| {
        let sysctl = |name: &'static str| {
            move |config: &mut peapod_tests::v1::PodSandboxConfig| {
                config.linux.get_or_insert_default().sysctls.insert(name.to_owned(), "1".to_owned());
            }
        };
        let refused = daemon.pod("again").config(sysctl("net.ipv4.no_such_thing")).try_run().await.err().unwrap();
        assert!(refused.message().contains("net.ipv4.no_such_thing"), "does not name the sysctl: {refused}");
        assert!(daemon.pods().await.is_empty());
        daemon.pod("again").config(sysctl("net.ipv4.ip_forward")).run().await;
    });
}
