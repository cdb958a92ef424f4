//! The disk of the state root is full: what is new is refused in clear words, what runs goes on, everything can end.

use std::io::Write;

use peapod_tests::{Daemon, Options, SHELL, WEB, peapod_with, v1, wait_for};
use tonic::{Code, Status};

/// Until not a byte more can be written.
fn fill(daemon: &Daemon) {
    let filler = daemon.state_root().join("filler");
    let mut file = std::fs::File::options().create(true).append(true).open(filler).unwrap();
    while file.write(&[b'x'; 4096]).is_ok() {}
}

fn make_room(daemon: &Daemon) {
    std::fs::remove_file(daemon.state_root().join("filler")).unwrap();
}

fn says_why(daemon: &Daemon, refused: &Status) {
    assert!(refused.message().to_lowercase().contains("no space"), "does not say what is wrong: {refused}");
    assert!(refused.message().contains(daemon.state_root().to_str().unwrap()), "does not name the path: {refused}");
}

#[test]
fn what_is_new_is_refused_and_what_runs_goes_on() {
    peapod_with(&Options::new().state_disk(24), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("runs").run().await;
        let twice = daemon.pod("twice");
        let once = twice.clone().run().await;
        let tick = "while :; do date +%s%N; sleep 0.05; done";
        let running = pod.container("running").sh(tick).start().await;
        let waiting = pod.container("waiting").sh("sleep 1000").create().await;
        fill(daemon);

        let refused = daemon.pod("new").try_run().await.err().unwrap();
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        says_why(daemon, &refused);
        let again = twice.try_run().await.expect("a call that is repeated begins nothing new");
        assert_eq!(again.id, once.id);
        let refused = pod.container("new").sh("sleep 1000").try_create().await.err().unwrap();
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        says_why(daemon, &refused);
        let refused = waiting.start().await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        says_why(daemon, &refused);
        let refused = daemon.pull(WEB).await.unwrap_err();
        // Of a pull the kubelet shows the words only with this code.
        assert_eq!(refused.code(), Code::Unknown, "{refused}");
        says_why(daemon, &refused);

        let before = running.log().len();
        wait_for("the container goes on", async || running.log().len() > before + 3).await;
        assert_eq!(running.exec("echo here").await, "here\n");
        assert_eq!(waiting.state().await, v1::ContainerState::ContainerCreated);
        assert_eq!((daemon.pods().await.len(), daemon.containers().await.len()), (2, 2));

        make_room(daemon);
        waiting.start().await.unwrap();
        let new = daemon.pod("new").run().await;
        assert_eq!(new.container("new").sh("echo again").output().await, "again\n");
        daemon.pull(WEB).await.unwrap();
    });
}

#[test]
fn everything_can_be_stopped_and_removed() {
    peapod_with(&Options::new().state_disk(24), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let mut pods = Vec::new();
        for name in ["one", "two", "three"] {
            let pod = daemon.pod(name).run().await;
            let ends = daemon.path(format!("end-{name}"));
            std::fs::create_dir(&ends).unwrap();
            let script = "while [ ! -e /end/now ]; do sleep 0.05; done; exit 7";
            let by_itself = pod.container("by-itself").sh(script).mount(&ends, "/end").start().await;
            let by_force = pod.container("by-force").sh("sleep 1000").start().await;
            let never = pod.container("never").sh("true").create().await;
            pods.push((pod, ends, by_itself, by_force, never));
        }
        fill(daemon);
        for (_, ends, by_itself, by_force, never) in &pods {
            std::fs::write(ends.join("now"), "").unwrap();
            assert_eq!(by_itself.wait_exit().await.exit_code, 7);
            by_force.stop(0).await.unwrap();
            assert_eq!(by_force.status().await.exit_code, 137);
            by_itself.remove().await.unwrap();
            never.remove().await.unwrap();
        }
        // Also by a daemon that begins on the full disk.
        daemon.kill().await;
        daemon.start_again().await;
        assert_eq!((daemon.pods().await.len(), daemon.containers().await.len()), (3, 3));
        let (first, rest) = pods.split_first().unwrap();
        first.0.stop().await.unwrap();
        first.0.remove().await.unwrap();
        daemon.end(nix::sys::signal::Signal::SIGTERM).await;
        daemon.start_again().await;
        for (pod, ..) in rest {
            pod.remove().await.unwrap();
        }
        assert_eq!(daemon.pods().await.len(), 0);
        daemon.nothing_left().await;
        let image = v1::ImageSpec { image: peapod_tests::fixture(SHELL), ..Default::default() };
        let request = v1::RemoveImageRequest { image: Some(image) };
        daemon.images().remove_image(request).await.unwrap();
        assert!(daemon.image(SHELL).await.is_none());

        make_room(daemon);
        let again = daemon.pod("one").run().await;
        assert_eq!(again.container("main").sh("echo again").output().await, "again\n");
    });
}
