//! Plugins that refuse, hang, lie or are missing.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use peapod_nri::api::{CreateContainerResponse, Event};
use peapod_nri::stand_in::{HeardCall, StandIn, reply};
use peapod_tests::{Options, SHELL, at_most, peapod, peapod_with, v1};

use super::{connect, nothing, plugin};

#[test]
fn a_refusal_leaves_nothing_and_can_be_tried_again() {
    peapod(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let times = std::sync::Arc::new(std::sync::Mutex::new(std::collections::HashMap::<String, u32>::new()));
        let answer = move |heard: &HeardCall| {
            let mut times = times.lock().unwrap();
            let count = times.entry(heard.method.clone()).or_default();
            *count += 1;
            let refuses = ["RunPodSandbox", "CreateContainer"].contains(&heard.method.as_str()) && *count == 1;
            refuses.then(|| Err((2, "not today".to_owned())))
        };
        let mut plugin = plugin(daemon, ("10", "moody"), answer).await;
        let refused = daemon.pod("refused").try_run().await.err().unwrap();
        assert!(
            refused.message().contains("NRI plugin 10-moody refused it (RunPodSandbox): \"not today\""),
            "{refused}"
        );
        assert!(daemon.pods().await.is_empty());
        daemon.nothing_left().await;
        plugin.next("RemovePodSandbox").await.unwrap();
        let pod = daemon.pod("refused").run().await;
        let refused = pod.container("main").sh("true").try_create().await.err().unwrap();
        assert!(refused.message().contains("not today"), "{refused}");
        assert!(daemon.containers().await.is_empty());
        plugin.next("RemoveContainer").await.unwrap();
        assert_eq!(pod.container("main").sh("echo again").output().await, "again\n");
    });
}

#[test]
fn one_that_hangs_costs_its_own_time_out_once() {
    peapod_with(&Options::new().set("nri.request_timeout=\"500ms\""), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let hang = |heard: HeardCall| async move {
            if heard.method == "RunPodSandbox" {
                std::future::pending::<()>().await;
            }
            None
        };
        let events = (1 << (Event::VALIDATE_CONTAINER_ADJUSTMENT as i32 - 1)) - 1;
        let mut hung = StandIn::connect(connect(daemon).await, ("10", "hung"), events, hang).await.unwrap();
        hung.next("Synchronize").await.unwrap();
        let _good = plugin(daemon, ("20", "good"), nothing).await;
        let began = Instant::now();
        let pod = daemon.pod("goes-on").run().await;
        assert!(began.elapsed() < at_most(Duration::from_secs(3)), "{:?}", began.elapsed());
        assert!(hung.ended().await);
        assert_eq!(pod.container("main").sh("echo fine").output().await, "fine\n");
        let log = daemon.log_tail(200);
        assert!(log.contains("10-hung") && log.contains("RunPodSandbox"), "{log}");
    });
}

#[test]
fn one_that_answers_nonsense_is_closed() {
    peapod(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let answer = |heard: &HeardCall| match heard.method.as_str() {
            "CreateContainer" => Some(Ok(vec![0xff; 64])),
            _ => None,
        };
        let liar = plugin(daemon, ("10", "liar"), answer).await;
        let pod = daemon.pod("goes-on").run().await;
        assert_eq!(pod.container("main").sh("echo fine").output().await, "fine\n");
        assert!(liar.ended().await);
    });
}

#[test]
fn without_a_required_plugin_nothing_is_made_but_what_does_without() {
    let options = Options::new()
        .set("nri.required_plugins=[\"net\"]")
        .set("nri.tolerate_missing_annotation=\"example.com/without\"");
    peapod_with(&options, async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let refused = daemon.pod("needs").try_run().await.err().unwrap();
        assert!(refused.message().contains("plugin net is required and not connected"), "{refused}");
        daemon.nothing_left().await;
        let without = |config: &mut v1::PodSandboxConfig| {
            config.annotations.insert("example.com/without".to_owned(), "true".to_owned());
        };
        // The plugin's own pod, say.
        let own = daemon.pod("own").config(without).run().await;
        assert_eq!(own.container("main").sh("echo there").output().await, "there\n");
        let net = plugin(daemon, ("10", "net"), nothing).await;
        let pod = daemon.pod("needs").run().await;
        pod.container("one").sh("true").create().await;
        drop(net);
        let refused =
            peapod_tests::wait_some("a refusal", async || pod.container("two").sh("true").try_create().await.err());
        assert!(refused.await.message().contains("plugin net is required"));
    });
}

#[test]
fn what_is_forbidden_no_plugin_does() {
    peapod_with(&Options::new().set("nri.reject=[\"hooks\"]"), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let answer = |heard: &HeardCall| {
            let hook = peapod_nri::api::Hook { path: "/bin/true".to_owned(), ..Default::default() };
            let hooks = peapod_nri::api::Hooks { poststop: vec![hook], ..Default::default() };
            let adjust = peapod_nri::api::ContainerAdjustment { hooks: Some(hooks).into(), ..Default::default() };
            let response = CreateContainerResponse { adjust: Some(adjust).into(), ..Default::default() };
            (heard.method == "CreateContainer").then(|| reply(&response))
        };
        let _plugin = plugin(daemon, ("10", "hooks"), answer).await;
        let pod = daemon.pod("plain").run().await;
        let refused = pod.container("main").sh("true").try_create().await.err().unwrap();
        assert!(refused.message().contains("10-hooks changed what nri.reject forbids: hooks"), "{refused}");
    });
}

#[test]
fn the_socket_is_roots_alone_and_can_be_left_out() {
    peapod(async |daemon| {
        drop(connect(daemon).await);
        let mode = std::fs::metadata(daemon.run_root().join("nri.sock")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    });
    peapod_with(&Options::new().set("nri.socket=\"\""), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("alone").run().await;
        assert_eq!(pod.container("main").sh("echo fine").output().await, "fine\n");
        assert!(!daemon.run_root().join("nri.sock").exists());
    });
}
