//! `peapod check`: it tells what is so, and changes nothing.

use std::time::Duration;

use peapod_tests::{Daemon, Options, Programs, SHELL, at_most, fixture, peapod, peapod_with};

/// What it prints, and its exit status.
async fn check(daemon: &Daemon, arguments: &[&str]) -> (i32, String) {
    let limit = at_most(Duration::from_secs(60));
    let output = daemon.client(&[&["check"], arguments].concat()).output();
    let output = tokio::time::timeout(limit, output).await.expect("it ends").unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn an_image_is_explained_and_not_pulled() {
    peapod(async |daemon| {
        let registry = Programs::get().registry.as_str();
        let name = fixture(SHELL);
        let (code, text) = check(daemon, &["image", &name]).await;
        assert_eq!(code, 0, "{text}");
        for part in
            [&name[..], "not here under this name", "no hosts.toml names it", "none were given", "has it: sha256:"]
        {
            assert!(text.contains(part), "{part}:\n{text}");
        }
        assert!(text.contains("0 of them are here") && text.contains("would find the image"), "{text}");
        assert!(daemon.image(SHELL).await.is_none());
        daemon.pull(SHELL).await.unwrap();
        let (_, text) = check(daemon, &["image", &name]).await;
        assert!(text.contains("here already, as sha256:"), "{text}");

        for (image, says) in [
            (format!("{registry}/peapod/none:1"), "would find no image"),
            ("127.0.0.1:1/peapod/shell:1".to_owned(), "would find no image"),
            (fixture("peapod/test-foreign:1"), "only for"),
        ] {
            let (code, text) = check(daemon, &["image", &image]).await;
            assert!(code == 1 && text.contains(says), "{image}: {text}");
        }
        let (code, text) = check(daemon, &["image", "UPPER//x"]).await;
        assert!(code == 1 && text.contains("is not an image reference"), "{text}");
    });
}

#[test]
fn mirrors_are_named_with_their_answers() {
    let registry = Programs::get().registry.as_str();
    let hosts = format!(
        "server = \"http://{registry}\"\n[host.\"http://127.0.0.1:1\"]\ncapabilities = [\"pull\", \"resolve\"]\n"
    );
    peapod_with(&Options::new().hosts("mirrored.example", hosts), async |daemon| {
        let (code, text) = check(daemon, &["image", "mirrored.example/peapod/shell:1"]).await;
        assert_eq!(code, 0, "{text}");
        for part in ["mirrored.example/hosts.toml", "http://127.0.0.1:1", "does not serve it", "has it: sha256:"] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
    });
}

#[test]
fn the_store_tells_who_holds_what() {
    peapod(async |daemon| {
        let id = daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("holds").run().await;
        let container = pod.container("main").sh("sleep 1000").start().await;
        let (code, text) = check(daemon, &["store"]).await;
        assert_eq!(code, 0, "{text}");
        let (short, of) = (&id[7..19], &container.id[..12]);
        let image = text.lines().find(|line| line.starts_with(short)).unwrap_or_else(|| panic!("{text}"));
        assert!(image.contains(&fixture(SHELL)) && image.contains(of), "{text}");
        let layers = text.lines().filter(|line| line.contains(short) && line.contains(of));
        assert!(layers.count() >= 2, "the image and its layer:\n{text}");
    });
}

#[test]
fn the_node_is_looked_at_with_and_without_a_daemon() {
    peapod(async |daemon| {
        let (_, text) = check(daemon, &["node"]).await;
        for part in ["kernel", "cgroups", "OCI runtime", "overlay", "seccomp"] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
        let (_, text) = check(daemon, &["network"]).await;
        assert!(text.contains("network") && text.contains("forwarding"), "{text}");
        let (_, text) = check(daemon, &[]).await;
        for part in ["runtime", "peapod ", "RuntimeReady", "NetworkReady", "ArchivesImported", "store"] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
        let gone = daemon.client(&["check", "--endpoint", "unix:///nowhere.sock"]).output().await.unwrap();
        let text = String::from_utf8_lossy(&gone.stdout).into_owned();
        assert!(gone.status.code() == Some(1) && text.contains("there is no such socket"), "{text}");
    });
}

#[test]
fn another_runtimes_configuration_is_read() {
    peapod(async |daemon| {
        let file = daemon.path("config.toml");
        std::fs::write(&file, "version = 3\n[plugins.'io.containerd.cri.v1.images']\nsnapshotter = 'nydus'\n").unwrap();
        let file = file.to_string_lossy().into_owned();
        let (code, text) = check(daemon, &["--from", "containerd", &file]).await;
        assert!(code == 1 && text.contains("snapshotter") && text.contains("peapod does not have it"), "{text}");
        std::fs::write(&file, "[crio.runtime]\ndefault_runtime = 'crun'\n").unwrap();
        let (code, text) = check(daemon, &["--from", "crio", &file]).await;
        assert!(code == 0 && text.contains("here it is runtimes.default"), "{text}");
        std::fs::write(&file, "[crio").unwrap();
        assert_eq!(check(daemon, &["--from", "crio", &file]).await.0, 1);
    });
}
