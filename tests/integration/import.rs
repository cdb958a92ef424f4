//! Images without a registry: archives that clients bring, on the real daemon.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures_util::stream;
use peapod_api::own;
use peapod_api::own::image_store_client::ImageStoreClient;
use peapod_api::own::import_request::Part;
use peapod_tests::{Client, Daemon, Options, SHELL, archived, client, ended, peapod, peapod_with, v1, wait_for};
use tonic::{Code, Status};

const NAME: &str = "offline.example/shell:1";
fn archive(daemon: &Daemon, form: &str, file: &str) -> PathBuf {
    let path = daemon.path(file);
    archived(SHELL, NAME, form, &path);
    path
}

async fn import(daemon: &Daemon, file: &Path) -> String {
    let (code, out, err) = client(daemon, &["import", &file.to_string_lossy()]).await;
    assert_eq!(code, 0, "{out}{err}");
    out
}

/// Names of files in folders in which a broken import could leave something.
fn stored(daemon: &Daemon) -> Vec<String> {
    let folders = ["layers", "ingest"].map(|name| daemon.state_root().join(name));
    let names = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn every_form_of_archive_runs() {
    peapod(async |daemon| {
        let files = [
            ("oci", "oci.tar"),
            ("oci", "oci.tar.gz"),
            ("oci", "oci.tar.zst"),
            ("docker", "docker.tar"),
            ("docker", "docker.tar.gz"),
            ("folder", "folder"),
        ];
        let mut seen = Vec::new();
        for (form, file) in files {
            let out = import(daemon, &archive(daemon, form, file)).await;
            // CRI shows it at once, and a pod may use it under the name that the archive says.
            let image = daemon.image(NAME).await.expect(file);
            assert!(out.starts_with(&image.id) && out.contains(NAME), "{file}: {out}");
            assert_eq!(image.repo_tags, [NAME], "{file}");
            seen.push(image.id.clone());
            let pod = daemon.pod(&file.replace('.', "-")).run().await;
            let container = pod.container("main").image(NAME).sh("echo here; sleep 1000").start().await;
            assert_eq!(container.exec("echo inside").await.trim(), "inside", "{file}");
            pod.remove().await.unwrap();
            let image = Some(v1::ImageSpec { image: NAME.to_owned(), ..Default::default() });
            daemon.images().remove_image(v1::RemoveImageRequest { image }).await.unwrap();
        }
        seen.dedup();
        assert_eq!(seen.len(), 1, "the same image, whatever its form");
    });
}

#[test]
fn an_archive_that_was_imported_before_costs_a_look() {
    peapod(async |daemon| {
        let file = archive(daemon, "oci", "again.tar");
        assert!(!import(daemon, &file).await.contains("was here"));
        let before = stored(daemon);
        assert!(import(daemon, &file).await.contains("was here"));
        assert_eq!(stored(daemon), before, "nothing was unpacked");
        // From a pipe, under another name, and pinned.
        let mut command = daemon.client(&["import", "-", "--name", "offline.example/other:2", "--pin"]);
        command.stdin(Stdio::from(std::fs::File::open(&file).unwrap()));
        let (code, out, err) = ended(command).await;
        assert_eq!(code, 0, "{out}{err}");
        let image = daemon.image(NAME).await.unwrap();
        assert_eq!((image.repo_tags.len(), image.pinned), (2, true), "{image:?}");
        // What is pinned is so after a restart, and until somebody says otherwise.
        daemon.kill().await;
        daemon.start_again().await;
        assert!(daemon.image(NAME).await.unwrap().pinned);
        let (_, table, _) = client(daemon, &["images"]).await;
        assert!(table.lines().filter(|line| line.trim_end().ends_with("yes")).count() == 2, "{table}");
        assert_eq!(client(daemon, &["unpin", NAME]).await.0, 0);
        assert!(!daemon.image(NAME).await.unwrap().pinned);
        assert_eq!(client(daemon, &["pin", NAME]).await.0, 0);
        assert!(daemon.image(NAME).await.unwrap().pinned);
        // What is asked for without a name is nothing.
        let mut direct = ImageStoreClient::new(Client::new(daemon.socket()).channel());
        for pinned in [true, false] {
            let refused = direct.pin(own::PinRequest { image: String::new(), pinned }).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        }
        let refused = direct.untag(own::UntagRequest { image: String::new() }).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        let (code, _, err) = client(daemon, &["pin", "none.example/none:1"]).await;
        assert!(code == 1 && err.contains("pull or import it first"), "{err}");
        // A name goes alone as long as there are others.
        assert_eq!(client(daemon, &["rmi", "offline.example/other:2"]).await.1, "offline.example/other:2\n");
        assert_eq!(daemon.image(NAME).await.unwrap().repo_tags, [NAME]);
        assert_eq!(client(daemon, &["rmi", NAME]).await.1, format!("{NAME}\n"));
        assert!(daemon.image(NAME).await.is_none());
    });
}

#[test]
fn what_is_wrong_with_an_archive_is_said_and_changes_nothing() {
    peapod(async |daemon| {
        let whole = std::fs::read(archive(daemon, "oci", "whole.tar")).unwrap();
        let before = stored(daemon);
        let cut = daemon.path("cut.tar");
        std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
        let mut damaged = whole.clone();
        let middle = damaged.len() / 3;
        damaged[middle] ^= 1;
        let changed = daemon.path("damaged.tar");
        std::fs::write(&changed, damaged).unwrap();
        let (text, empty) = (daemon.path("text"), daemon.path("empty"));
        std::fs::write(&text, "no archive\n".repeat(100)).unwrap();
        std::fs::write(&empty, "").unwrap();
        for (file, says) in
            [(&cut, "too early"), (&changed, "other bytes came"), (&text, "not a tar archive"), (&empty, "is empty")]
        {
            let (code, out, err) = client(daemon, &["import", &file.to_string_lossy()]).await;
            assert!(code == 1 && err.contains(says), "{}: {out}{err}", file.display());
        }
        for arguments in [["--name", "UPPER//x"], ["--platform", "plan9/vax"], ["--platform", "linux/s390x"]] {
            let file = daemon.path("whole.tar").to_string_lossy().into_owned();
            let (code, out, err) = client(daemon, &["import", &file, arguments[0], arguments[1]]).await;
            assert!(code == 1 && !err.is_empty(), "{arguments:?}: {out}{err}");
        }
        assert!(daemon.image(NAME).await.is_none());
        wait_for("nothing is left of it", async || stored(daemon) == before).await;
        import(daemon, &daemon.path("whole.tar")).await;
    });
}

/// The client of a test, which sends what it likes.
async fn send(daemon: &Daemon, parts: Vec<Part>) -> Result<own::ImportResponse, Status> {
    let mut client = ImageStoreClient::new(Client::new(daemon.socket()).channel());
    let parts = parts.into_iter().map(|part| own::ImportRequest { part: Some(part) });
    client.import(stream::iter(parts)).await.map(tonic::Response::into_inner)
}

/// What a client sends that stops in the middle, and stays.
fn begun(bytes: &[u8]) -> impl futures_util::Stream<Item = own::ImportRequest> + Send + 'static {
    let pieces = bytes.chunks(100_000).map(|piece| Part::Piece(piece.to_vec()));
    let parts: Vec<_> = std::iter::once(Part::Options(own::ImportOptions::default())).chain(pieces).collect();
    let parts = parts.into_iter().map(|part| own::ImportRequest { part: Some(part) });
    futures_util::StreamExt::chain(stream::iter(parts), stream::pending())
}

#[test]
fn a_client_may_send_anything_and_leave_at_any_time() {
    let options = Options::new().set("grpc.transfer_timeout = \"2s\"");
    peapod_with(&options, async |daemon| {
        let whole = std::fs::read(archive(daemon, "oci", "whole.tar")).unwrap();
        let before = stored(daemon);
        let options = || Part::Options(own::ImportOptions::default());
        let piece = |bytes: &[u8]| Part::Piece(bytes.to_vec());
        for (what, parts, code) in [
            ("nothing", vec![], Code::InvalidArgument),
            ("no options", vec![piece(&whole[..1000])], Code::InvalidArgument),
            ("no archive", vec![options(), Part::End(0)], Code::InvalidArgument),
            ("options twice", vec![options(), options()], Code::InvalidArgument),
            ("a long piece", vec![options(), piece(&vec![0; (1 << 20) + 1])], Code::InvalidArgument),
            ("one that is too long", vec![options(), piece(&vec![0; 4 << 20])], Code::OutOfRange),
        ] {
            let refused = send(daemon, parts).await.expect_err(what);
            assert_eq!(refused.code(), code, "{what}: {refused}");
        }
        // All of it, and no word of its end: so it looks when a client gives its call up.
        let pieces = || whole.chunks(100_000).flat_map(|part| [piece(part), piece(b"")]);
        let cut = send(daemon, std::iter::once(options()).chain(pieces()).collect()).await.unwrap_err();
        assert_eq!(cut.code(), Code::Cancelled, "{cut}");
        let wrong = std::iter::once(options()).chain(pieces()).chain([Part::End(5)]);
        assert_eq!(send(daemon, wrong.collect()).await.unwrap_err().code(), Code::InvalidArgument);
        // Empty pieces are none.
        let end = Part::End(whole.len() as u64);
        let all = std::iter::once(options()).chain(pieces()).chain([end]);
        assert_eq!(send(daemon, all.collect()).await.unwrap().images.len(), 1);
        let image = Some(v1::ImageSpec { image: NAME.to_owned(), ..Default::default() });
        daemon.images().remove_image(v1::RemoveImageRequest { image }).await.unwrap();

        // One that says nothing more is given up.
        let mut client = ImageStoreClient::new(Client::new(daemon.socket()).channel());
        let silent = begun(&whole[..whole.len() / 2]);
        let refused = client.import(silent).await.unwrap_err();
        assert_eq!(refused.code(), Code::DeadlineExceeded, "{refused}");
        wait_for("nothing is left of it", async || stored(daemon) == before).await;

        // One that leaves leaves nothing, however far it came.
        for part in [0, 1000, whole.len() / 2, whole.len()] {
            let mut client = ImageStoreClient::new(Client::new(daemon.socket()).channel());
            let silent = begun(&whole[..part]);
            let left = tokio::time::timeout(Duration::from_millis(300), client.import(silent)).await;
            assert!(left.is_err(), "{part}: {left:?}");
        }
        wait_for("nothing is left of them", async || stored(daemon) == before).await;
        assert!(daemon.image(NAME).await.is_none());
        daemon.pull(SHELL).await.unwrap();
    });
}

/// A debug build dies at these stages as by `kill -9`.
#[test]
fn all_images_of_an_archive_are_there_or_none_wherever_the_daemon_dies() {
    peapod(async |daemon| {
        let images = [SHELL, peapod_tests::METADATA];
        let names = images.map(peapod_tests::fixture);
        for image in images {
            daemon.pull(image).await.unwrap();
        }
        let file = daemon.path("two.tar").to_string_lossy().into_owned();
        let (code, out, err) = client(daemon, &["export", &names[0], &names[1], "-o", &file]).await;
        assert_eq!(code, 0, "{out}{err}");
        for (stage, there) in [("pull-scratch", 0), ("pull-placed", 0), ("pull-recorded", 2)] {
            for name in &names {
                let image = Some(v1::ImageSpec { image: name.clone(), ..Default::default() });
                daemon.images().remove_image(v1::RemoveImageRequest { image }).await.unwrap();
            }
            daemon.kill().await;
            daemon.start_again_to_die_at(stage).await;
            // It may have been answered before the daemon died.
            client(daemon, &["import", &file]).await;
            wait_for(&format!("the daemon dies at {stage}"), async || !daemon.is_alive()).await;
            daemon.start_again().await;
            let found = [daemon.image(&names[0]).await, daemon.image(&names[1]).await];
            assert_eq!(found.into_iter().flatten().count(), there, "{stage}");
            import(daemon, Path::new(&file)).await;
            assert!(daemon.image(&names[0]).await.is_some() && daemon.image(&names[1]).await.is_some(), "{stage}");
        }
    });
}

/// What the daemon counts of an archive that comes, and of one that waits for its turn.
const COMES: f64 = (4 << 20) as f64 + 65_536.0 + WAITS;
const WAITS: f64 = 524_288.0;

#[test]
fn nothing_is_read_of_archives_that_wait() {
    let port = peapod_tests::free_port();
    let options = Options::new().set(format!("metrics.address=127.0.0.1:{port}"));
    peapod_with(&options, async |daemon| {
        let before = stored(daemon);
        // The head of a file that does not end.
        let mut head = std::fs::read(archive(daemon, "oci", "whole.tar")).unwrap()[..512].to_vec();
        head[124..136].copy_from_slice(b"77777777777\0");
        head[148..156].fill(b' ');
        let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
        head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let long = [head, vec![0; 8 << 20]].concat();
        let socket = daemon.socket();
        let clients: Vec<_> = (0..6)
            .map(|_| {
                let (mut client, parts) = (ImageStoreClient::new(Client::new(socket.clone()).channel()), begun(&long));
                tokio::spawn(async move { client.import(parts).await.map(drop) })
            })
            .collect();
        wait_for("four come and two wait", async || {
            let memory = crate::prometheus::scrape(port).await.sum("peapod_request_memory_bytes", &[]);
            (memory - (4.0 * COMES + 2.0 * WAITS)).abs() < 1.0
        })
        .await;
        assert!(clients.iter().all(|client| !client.is_finished()));
        clients.iter().for_each(tokio::task::JoinHandle::abort);
        wait_for("all is given back", async || {
            crate::prometheus::scrape(port).await.sum("peapod_request_memory_bytes", &[]) == 0.0
        })
        .await;
        wait_for("nothing is left of them", async || stored(daemon) == before).await;
        // They were calls of ours, by name.
        let found = crate::prometheus::scrape(port).await;
        assert_eq!(found.sum("peapod_rpcs_total", &[("method", "Import"), ("code", "Canceled")]), 6.0);
    });
}

#[test]
fn an_image_goes_from_one_daemon_to_another() {
    let file = tempfile::tempdir().unwrap();
    let archive = file.path().join("web.tar").to_string_lossy().into_owned();
    let mut listed = String::new();
    let list = "find / -xdev ! -path '/proc*' ! -path '/dev*' ! -path '/sys*' ! -path '/etc/h*' ! -path '/etc/resolv*' \
                ! -path '/run*' -exec stat -c '%n %f %u:%g %s %h %Y' {} + | grep -v '^/ ' | grep -v '^/[a-z]* ' | sort";
    peapod(async |daemon| {
        daemon.pull(peapod_tests::METADATA).await.unwrap();
        let name = peapod_tests::fixture(peapod_tests::METADATA);
        let (code, out, err) = client(daemon, &["export", &name, "-o", &archive]).await;
        assert_eq!((code, out.as_str(), err.as_str()), (0, "", ""));
        let pod = daemon.pod("before").run().await;
        let container = pod.container("main").image(&name).sh("sleep 1000").start().await;
        listed = container.exec(list).await;
        // What is no file stays what it is, and takes it.
        let pipe = file.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::read(pipe).unwrap().len()
        });
        let (code, _, err) = client(daemon, &["export", &name, "-o", &pipe.to_string_lossy()]).await;
        assert_eq!((code, err.as_str()), (0, ""));
        assert_eq!(reader.join().unwrap() as u64, std::fs::metadata(&archive).unwrap().len());
        std::fs::remove_file(&pipe).unwrap();
        let (code, _, err) = client(daemon, &["export", "none.example/none:1", "-o", &archive]).await;
        assert!(code == 1 && err.contains("is not here"), "{err}");
        // A link could lead anywhere.
        let link = file.path().join("link");
        std::os::unix::fs::symlink("web.tar", &link).unwrap();
        let (code, _, err) = client(daemon, &["export", &name, "-o", &link.to_string_lossy()]).await;
        assert!(code == 1 && err.contains("is a link to web.tar"), "{err}");
        std::fs::remove_file(&link).unwrap();
        let left: Vec<_> = std::fs::read_dir(file.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["web.tar"], "the archive that was there stays, and nothing beside it");
    });
    peapod(async |daemon| {
        let name = peapod_tests::fixture(peapod_tests::METADATA);
        assert!(import(daemon, Path::new(&archive)).await.contains(&name));
        let pod = daemon.pod("after").run().await;
        let container = pod.container("main").image(&name).sh("sleep 1000").start().await;
        let found = container.exec(list).await;
        assert!(found.lines().count() > 100, "{found}");
        for (before, after) in listed.lines().zip(found.lines()) {
            assert_eq!(before, after);
        }
        assert_eq!(listed.lines().count(), found.lines().count());
    });
}

/// What the status says of the import folder.
async fn folder(daemon: &Daemon) -> v1::RuntimeCondition {
    let status = daemon.runtime().status(v1::StatusRequest::default()).await.unwrap().into_inner().status.unwrap();
    status.conditions.into_iter().find(|condition| condition.r#type == "ArchivesImported").unwrap()
}

#[test]
fn a_folder_is_imported_at_the_start() {
    peapod(async |daemon| {
        let images = daemon.state_root().join("images");
        std::fs::create_dir(&images).unwrap();
        archived(SHELL, NAME, "oci", &images.join("good.tar.zst"));
        std::fs::write(images.join("broken.tar"), "no archive\n".repeat(100)).unwrap();
        std::fs::write(images.join("readme.txt"), "not looked at").unwrap();
        // Nobody writes to it, and nobody waits for that.
        nix::unistd::mkfifo(&images.join("pipe.tar"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        daemon.kill().await;
        daemon.start_again().await;
        wait_for("the image is there", async || daemon.image(NAME).await.is_some_and(|image| image.pinned)).await;
        wait_for("all was looked at", async || folder(daemon).await.message.contains("pipe.tar")).await;
        let condition = folder(daemon).await;
        assert!(!condition.status && condition.reason == "ArchiveBroken", "{condition:?}");
        for part in ["broken.tar: ", "not a tar archive", "pipe.tar: it is no file"] {
            assert!(condition.message.contains(part), "{condition:?}");
        }
        assert!(!condition.message.contains("readme"), "{condition:?}");

        // What is unchanged is not read again: it could not be.
        for name in ["broken.tar", "pipe.tar"] {
            std::fs::remove_file(images.join(name)).unwrap();
        }
        daemon.kill().await;
        daemon.start_again().await;
        wait_for("it was known", async || folder(daemon).await.message.contains("1 archives were known")).await;
        assert!(folder(daemon).await.message.contains("0 images"), "{:?}", folder(daemon).await);

        // What came under its name since stays under it.
        let other = daemon.path("other.tar");
        archived(peapod_tests::METADATA, NAME, "oci", &other);
        import(daemon, &other).await;
        let moved = daemon.image(NAME).await.unwrap();
        daemon.kill().await;
        daemon.start_again().await;
        wait_for("it was known", async || folder(daemon).await.message.contains("1 archives were known")).await;
        assert_eq!(daemon.image(NAME).await.unwrap().id, moved.id);

        // Unless its images are gone, and the name is free.
        let image = Some(v1::ImageSpec { image: NAME.to_owned(), ..Default::default() });
        daemon.images().remove_image(v1::RemoveImageRequest { image }).await.unwrap();
        daemon.kill().await;
        daemon.start_again().await;
        wait_for("it is there again", async || daemon.image(NAME).await.is_some()).await;
        let pod = daemon.pod("offline").run().await;
        let container = pod.container("main").image(NAME).sh("sleep 1000").start().await;
        assert_eq!(container.exec("echo here").await.trim(), "here");
    });
}
