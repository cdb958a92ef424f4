//! Volumes that an image declares, and other things that it says about its containers.

use peapod_tests::{METADATA, SHELL, derived, fixture, on_each_runtime, peapod, v1};
use serde_json::json;

#[test]
fn volumes_can_be_written_to_also_where_the_root_can_not() {
    let declared = json!({
        "/novol": {}, "/deep/er/vol/": {}, "/../up": {}, "meta/dir": {}, "/client": {}, "/client/below": {},
        "/": {}, "/proc": {}, "/proc/self/fd": {}, "/dev/shm/x": {}, "/etc/passwd": {}, "/meta/absolute": {},
    });
    let image = derived(METADATA, "volumes", &json!({ "User": "33:33", "Volumes": declared }));
    on_each_runtime(async |daemon| {
        let folder = daemon.path("client");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("mine"), "client\n").unwrap();
        let pod = daemon.pod("volumes").run().await;
        let script = "for d in /novol /deep/er/vol /up /meta/dir; do echo x >$d/new && cat $d/new; done
            stat -c '%n %a %u:%g' /novol /deep/er/vol /deep /meta/dir
            cat /client/mine; ls /client; head -c 4 /etc/passwd; touch /meta/no 2>/dev/null || echo refused";
        let expected = "x\nx\nx\nx\n/novol 755 33:33\n/deep/er/vol 755 33:33\n/deep 755 0:0\n/meta/dir 2750 33:33\n\
                        client\nmine\nrootrefused\n";
        for (name, readonly) in [("writable", false), ("readonly", true)] {
            let container = pod
                .container(name)
                .image(&image)
                .sh(script)
                .mount(&folder, "/client")
                .security(|security| security.readonly_rootfs = readonly);
            assert_eq!(container.output().await, expected, "{name}");
        }
        // The next one begins with what the image has.
        let again = pod.container("again").image(&image).sh("ls -A /novol /meta/dir");
        assert_eq!(again.output().await, "/meta/dir:\n\n/novol:\n");
        assert!(daemon.log_tail(2000).contains("volumes of the image are ignored"), "nothing is said");
    });
}

#[test]
fn what_an_image_says_wrongly_does_not_keep_it_from_running() {
    let odd = json!({ "StopSignal": "BOGUS", "Env": ["NOTHING", "=x", "A=1", "B=\u{0}", "A=2"], "WorkingDir": "/tmp/../tmp//." });
    let image = derived(SHELL, "odd", &odd);
    peapod(async |daemon| {
        let pod = daemon.pod("odd").run().await;
        let container =
            pod.container("main").image(&image).sh("echo $A; pwd; trap 'exit 7' TERM; while :; do sleep 0.05; done");
        let container = container.start().await;
        container.wait_log("/tmp").await;
        assert_eq!(container.stdout(), "2\n/tmp\n");
        assert_eq!(container.status().await.stop_signal(), v1::Signal::Sigterm);
        container.stop(20).await.unwrap();
        assert_eq!(container.wait_exit().await.exit_code, 7);
        let log = daemon.log_tail(2000);
        assert!(log.contains("BOGUS") && log.contains("SIGTERM is sent"), "nothing is said of the stop signal");
    });
}

#[test]
fn what_no_program_can_be_given_is_refused_by_name() {
    peapod(async |daemon| {
        let pod = daemon.pod("nul").run().await;
        let many: Vec<String> = (0..100_000).map(|number| format!("V{number}=x")).collect();
        let volumes: serde_json::Map<_, _> = (0..5000).map(|number| (format!("/v{number}"), json!({}))).collect();
        for (tag, config, word) in [
            ("nul", json!({ "Entrypoint": ["/bin/sh\u{0}x"] }), "NUL"),
            ("nulwork", json!({ "WorkingDir": "/a\u{0}b" }), "NUL"),
            ("huge", json!({ "Entrypoint": ["x".repeat(300_000)] }), "bytes"),
            ("user", json!({ "User": "no\u{1b}body".repeat(50_000) }), "/etc/passwd"),
            ("many", json!({ "Env": many }), "variables"),
            ("volumes-many", json!({ "Volumes": volumes }), "5000 volumes"),
        ] {
            let image = derived(SHELL, tag, &config);
            // What is much too long for any image does not even come here.
            let refused = match daemon.pull(&image).await {
                Err(refused) => refused,
                Ok(_) => {
                    let container =
                        pod.container("bad").image(&image).config(|config| config.args = vec!["true".to_owned()]);
                    let refused = container.try_create().await.err().unwrap_or_else(|| panic!("{tag}: accepted"));
                    assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{tag}: {refused}");
                    assert!(refused.message().contains(word), "{tag}: {refused}");
                    refused
                }
            };
            let message = refused.message();
            assert!(message.len() < 600, "{tag}: {message:.1000}");
            assert!(!message.contains(char::is_control), "{tag}: {message:?}");
        }
        assert!(daemon.containers().await.is_empty());
    });
}

#[test]
fn a_container_starts_after_its_image_was_removed() {
    let image =
        derived(SHELL, "leased", &json!({ "Env": ["FROM=image"], "Cmd": ["/bin/sh", "-c", "echo $FROM; sleep 1000"] }));
    peapod(async |daemon| {
        let pod = daemon.pod("leased").run().await;
        let first = pod.container("first").image(&image).create().await;
        let second = pod.container("second").image(&image).create().await;
        let spec = Some(v1::ImageSpec { image: fixture(&image), ..Default::default() });
        daemon.images().remove_image(v1::RemoveImageRequest { image: spec }).await.unwrap();
        assert!(daemon.image(&image).await.is_none());
        first.start().await.unwrap();
        first.wait_log("image").await;
        daemon.kill().await;
        daemon.start_again().await;
        second.start().await.unwrap();
        second.wait_log("image").await;
        assert_eq!(second.exec("echo alive").await, "alive\n");
    });
}
