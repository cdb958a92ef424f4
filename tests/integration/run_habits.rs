//! What people are used to beside `peapod run`: logs of several pods, files in and out, what pods use, and their end.

use std::fs;
use std::process::Command;

use peapod_tests::{Daemon, Programs, SHELL, client, done, end, fixture, peapod, said, wait_for};

/// A manifest of one pod; `IMAGE` is the shell.
fn manifest(daemon: &Daemon, name: &str, spec: &str) -> String {
    let text = format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n{spec}");
    let path = daemon.path(format!("{name}.yaml"));
    fs::write(&path, text.replace("IMAGE", &fixture(SHELL))).unwrap();
    path.to_string_lossy().into_owned()
}

#[test]
fn logs_of_several_pods_come_in_the_order_of_their_times() {
    peapod(async |daemon| {
        let (one, other) = (daemon.pod("one").run().await, daemon.pod("other").run().await);
        let writer = |letter: &str| {
            format!("while [ ! -e /go ]; do sleep 0.05; done; echo {letter}1; sleep 0.4; echo {letter}2; sleep 1000")
        };
        let first = one.container("first").sh(&writer("a")).start().await;
        let second = other.container("second").sh(&writer("b")).start().await;
        let followed = daemon.client(&["logs", "-f", "--no-prefix", "one", "other"]).spawn().unwrap();
        first.exec("touch /go").await;
        wait_for("the first line", async || first.stdout().contains("a1")).await;
        second.exec("touch /go").await;
        wait_for("all lines", async || first.stdout().contains("a2") && second.stdout().contains("b2")).await;
        let expected = "a1\nb1\na2\nb2\n";
        assert_eq!(done(daemon, &["logs", "--no-prefix", "one", "other"]).await, expected);
        assert_eq!(done(daemon, &["logs", "--no-prefix", "--all", "-n", "1"]).await, "a2\nb2\n");
        assert_eq!(
            done(daemon, &["logs", "one", "other", "-c", "second"]).await,
            "other/second | b1\nother/second | b2\n"
        );
        assert_eq!(done(daemon, &["logs", "--since", "0s", "one"]).await, "");
        assert_eq!(done(daemon, &["logs", "--since", "1h", "one", "--no-prefix"]).await, "a1\na2\n");
        let (code, _, err) = client(daemon, &["logs", "one", "-c", "none"]).await;
        assert!(code == 1 && err.contains("has no container `none`"), "{err}");
        let (code, _, err) = client(daemon, &["logs", "--previous", "one"]).await;
        assert!(code == 1 && err.contains("earlier start"), "{err}");
        // Who follows ends with the pods.
        done(daemon, &["stop", "--grace", "0", "one", "other"]).await;
        assert_eq!(end(followed).await, (0, expected.to_owned(), String::new()));
    });
}

#[test]
fn a_log_is_followed_over_rotation_and_new_starts() {
    peapod(async |daemon| {
        let script = "echo up; while [ ! -e /v/next ]; do sleep 0.05; done; rm /v/next; echo done";
        let spec = format!(
            "  restartPolicy: Always\n  volumes: [{{name: v, emptyDir: {{}}}}]\n  containers:\n  - {{name: main, image: IMAGE, command: [sh, -c, '{script}'], volumeMounts: [{{name: v, mountPath: /v}}]}}\n"
        );
        let file = manifest(daemon, "again", &spec);
        let run = daemon.client(&["run", &file]).spawn().unwrap();
        wait_for("it runs", async || client(daemon, &["logs", "again"]).await.1.contains("up")).await;
        let mut followed = daemon.client_dialogue(&["logs", "-f", "again"]);
        followed.hear("up").await;
        done(daemon, &["exec", "again", "--", "touch", "/v/next"]).await;
        followed.hear("| done").await;
        followed.hear("| up").await;
        let before = done(daemon, &["logs", "--previous", "again", "--no-prefix"]).await;
        assert_eq!(before, "up\ndone\n");
        done(daemon, &["down", &file]).await;
        end(run).await;
        assert_eq!(followed.end().await.0, 0);
    });
}

#[test]
fn files_go_in_and_come_out() {
    peapod(async |daemon| {
        let pod = daemon.pod("files").run().await;
        let main = pod.container("main").sh("sleep 1000").start().await;
        let (from, back) = (daemon.path("from"), daemon.path("back"));
        let at = |path: &std::path::Path| path.to_string_lossy().into_owned();
        fs::create_dir_all(from.join("sub")).unwrap();
        let much: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
        fs::write(from.join("sub/much"), &much).unwrap();
        std::os::unix::fs::symlink("sub/much", from.join("link")).unwrap();

        done(daemon, &["cp", &at(&from), "files:/there"]).await;
        assert_eq!(main.exec("readlink /there/link; wc -c </there/sub/much").await, "sub/much\n3000000\n");
        // Into a folder that is there, as cp does; of a folder `.` what is in it.
        done(daemon, &["cp", &at(&from), "files:main:/tmp/"]).await;
        assert_eq!(main.exec("ls /tmp/from").await, "link\nsub\n");
        done(daemon, &["cp", "files:/there", &at(&back)]).await;
        assert_eq!(fs::read(back.join("link")).unwrap(), much);
        done(daemon, &["cp", "files:/etc/hostname", &at(&back)]).await;
        assert!(back.join("hostname").is_file());
        // As archives.
        let archive = daemon.client(&["cp", "files:/there", "-"]).output().await.unwrap();
        fs::write(daemon.path("archive.tar"), &archive.stdout).unwrap();
        main.exec("mkdir /again").await;
        let archive = fs::File::open(daemon.path("archive.tar")).unwrap();
        let put = daemon.client(&["cp", "-", "files:/again"]).stdin(archive).output().await.unwrap();
        assert_eq!(said(&put), (0, String::new(), String::new()));
        assert_eq!(main.exec("wc -c </again/there/sub/much").await, "3000000\n");
        for (arguments, expected) in [
            (["cp", "files:/none", "x"], "/none: No such file or directory"),
            (["cp", "x", "y"], "one of both is in a container"),
            (["cp", "none:/x", "y"], "there is no pod"),
            (["cp", "/no/such", "files:/x"], "/no/such: No such file or directory"),
            (["cp", "/etc/hostname", "files:/no/such/folder/x"], "tar in container main failed"),
        ] {
            let (code, _, err) = client(daemon, &arguments).await;
            assert!(code == 1 && err.contains(expected), "{arguments:?}: {err}");
        }
        main.exec("rm /bin/tar").await;
        let (code, _, err) = client(daemon, &["cp", "files:/there", &at(&back)]).await;
        assert!(code == 1 && err.contains("container main has no `tar`"), "{err}");
    });
}

/// An archive with what no tar makes, by Python's library.
fn hostile(daemon: &Daemon, entries: &str) -> String {
    let path = daemon.path("evil.tar").to_string_lossy().into_owned();
    let script = format!(
        "import io, tarfile
with tarfile.open({path:?}, 'w') as archive:
    for name, kind, target, text in [{entries}]:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname, entry.size, entry.mode = kind, target, len(text), 0o4755
        archive.addfile(entry, io.BytesIO(text))
"
    );
    let status = Command::new("/usr/bin/python3").args(["-B", "-c", &script]).status().unwrap();
    assert!(status.success(), "{script}");
    path
}

#[test]
fn a_hostile_archive_stays_in_its_folder() {
    peapod(async |daemon| {
        let pod = daemon.pod("evil").run().await;
        let main = pod.container("main").sh("sleep 1000").start().await;
        main.exec("rm /bin/tar; printf '#!/bin/sh\\ncat /evil.tar\\n' >/evil; chmod 755 /evil; mkdir /d").await;
        let place = |number: usize| daemon.path(format!("to{number}")).to_string_lossy().into_owned();
        let refused = [
            ("('d/../../evil', b'0', '', b'x')", "leads out of its folder"),
            ("('/tmp/evil', b'0', '', b'x')", "begins at the root"),
            ("('other/evil', b'0', '', b'x')", "beside what was asked for"),
            ("('d', b'5', '', b''), ('d/l', b'1', '../../secret', b'')", "leads out of its folder"),
            (
                "('d', b'5', '', b''), ('d/in', b'2', 's', b''), ('d/in/x', b'0', '', b'x')",
                "symbolic link is on the way",
            ),
        ];
        for (number, (entries, expected)) in refused.into_iter().enumerate() {
            let to = place(number);
            let archive = hostile(daemon, entries);
            let script = "cat >/evil.tar; cp /evil /bin/tar";
            let mut put = daemon.client(&["exec", "-i", "evil", "--", "sh", "-c", script]);
            assert!(put.stdin(fs::File::open(archive).unwrap()).status().await.unwrap().success());
            let (code, _, err) = client(daemon, &["cp", "evil:/d", &to]).await;
            assert!(code == 1 && err.contains(expected), "{entries}: {err}");
            assert!(!daemon.path("evil").exists() && !daemon.path("other").exists());
        }
        let to = place(99);
        let archive = hostile(
            daemon,
            "('d', b'5', '', b''), ('d/f', b'0', '', b'x'), ('d/out', b'2', '/etc/passwd', b''), ('d/dev', b'3', '', b'')",
        );
        let mut put = daemon.client(&["exec", "-i", "evil", "--", "sh", "-c", "cat >/evil.tar"]);
        assert!(put.stdin(fs::File::open(archive).unwrap()).status().await.unwrap().success());
        let (code, _, err) = client(daemon, &["cp", "evil:/d", &to]).await;
        assert!(code == 0 && err.contains("left out `d/out`") && err.contains("left out `d/dev`"), "{code}: {err}");
        let names = fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.collect::<Vec<_>>(), ["f"]);
        let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(daemon.path("to99/f")).unwrap());
        assert_eq!(mode & 0o7777, 0o755);
    });
}

#[test]
fn what_pods_use() {
    peapod(async |daemon| {
        let pod = daemon.pod("busy").run().await;
        let _main = pod.container("main").sh("sleep 1000").start().await;
        let table = done(daemon, &["top"]).await;
        assert!(table.starts_with("POD    CONTAINER   CPU") && table.contains("main"), "{table}");
        let json: serde_json::Value =
            serde_json::from_str(&done(daemon, &["top", "busy", "-o", "json"]).await).unwrap();
        assert!(json[0]["memoryBytes"].as_u64().unwrap() > 0, "{json}");
        assert!(json[0]["processes"].as_u64().unwrap() > 0, "{json}");
        assert_eq!(json[0]["containers"][0]["name"], "main", "{json}");
        let (code, _, err) = client(daemon, &["top", "nobody"]).await;
        assert!(code == 1 && err.contains("nobody"), "{err}");
        let mut screen = daemon.client_terminal((10, 80), "exec $PEAPOD top");
        screen.hear("\x1b[H").await;
        screen.hear("\x1b[H").await;
        screen.say("\x03").await;
        assert_eq!(screen.end().await.0, 0);
    });
}

#[test]
fn what_a_file_names_is_stopped_and_removed() {
    peapod(async |daemon| {
        let spec = "  terminationGracePeriodSeconds: 1\n  containers:\n  - {name: main, image: IMAGE, command: [sh, -c, 'echo up; exec sleep 1000']}\n";
        let (a, b) = (manifest(daemon, "a", spec), manifest(daemon, "b", spec));
        let (code, _, err) = client(daemon, &["stop", &a]).await;
        assert!(code == 1 && err.contains("nothing of") && err.contains("a.yaml"), "{err}");
        let (code, out, err) = client(daemon, &["down", &a]).await;
        assert!(code == 0 && out.is_empty() && err.contains("nothing of"), "{code}: {out}{err}");
        let runs = [&a, &b].map(|file| daemon.client(&["run", "--keep", file]).spawn().unwrap());
        for name in ["a", "b"] {
            wait_for("it runs", async || client(daemon, &["logs", name]).await.1.contains("up")).await;
        }
        assert_eq!(done(daemon, &["stop", "-f", &a]).await, "default/a\n");
        let [one, other] = runs;
        end(one).await;
        assert_eq!(done(daemon, &["rm", "--all"]).await, "default/a\n");
        // A manifest that can't be run any more names its pods all the same.
        fs::write(&b, "kind: Pod\nmetadata: {name: b}\nspec: {nonsense: 1}\n").unwrap();
        assert_eq!(done(daemon, &["down", &b]).await, "default/b\n");
        end(other).await;
        assert!(daemon.pods().await.is_empty());
        assert_eq!(fs::read_dir(daemon.path("run-dir")).unwrap().count(), 0);
        let (code, _, err) = client(daemon, &["down", "nobody"]).await;
        assert!(code == 1 && err.contains("nobody"), "{err}");
    });
}

/// What needs no daemon.
async fn written(arguments: &[&str]) -> String {
    let output = tokio::process::Command::new(&Programs::get().peapod).args(arguments).output().await.unwrap();
    let (code, out, err) = said(&output);
    assert_eq!(code, 0, "peapod {arguments:?}: {err}");
    out
}

#[test]
fn completions_pages_and_units() {
    peapod(async |daemon| {
        let bash = daemon.path("peapod.bash");
        fs::write(&bash, written(&["completions", "bash"]).await).unwrap();
        let script = format!(
            ". {}; COMP_WORDS=(peapod lo); COMP_CWORD=1; _peapod peapod lo peapod; echo \"${{COMPREPLY[*]}}\"",
            bash.display()
        );
        let completed = Command::new("bash").args(["--norc", "-c", &script]).output().unwrap();
        assert_eq!(said(&completed), (0, "logs\n".to_owned(), String::new()));
        for shell in ["zsh", "fish"] {
            assert!(written(&["completions", shell]).await.contains("port-forward"), "{shell}");
        }
        let pages = daemon.path("man");
        written(&["man", pages.to_str().unwrap()]).await;
        assert!(fs::read_to_string(pages.join("peapod-run.1")).unwrap().contains("Exit status"));
        assert!(pages.join("peapod-generate-systemd.1").exists() && pages.join("peapod.1").exists());

        let spec = "  containers:\n  - {name: main, image: IMAGE}\n";
        let file = manifest(daemon, "unit", spec);
        let units = daemon.path("units");
        fs::create_dir(&units).unwrap();
        let path = units.join("peapod-unit.service");
        let out = written(&["generate", "systemd", &file, "-o", units.to_str().unwrap()]).await;
        assert_eq!(out, format!("{}\n", path.display()));
        // The daemon's own unit is not installed here; everything else has to be as systemd wants it.
        match Command::new("systemd-analyze").args(["verify", "--man=no", path.to_str().unwrap()]).output() {
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                let wrong: Vec<&str> = said.lines().filter(|line| line.contains("peapod-unit.service")).collect();
                assert!(wrong.is_empty(), "{said}");
            }
        }
    });
}
