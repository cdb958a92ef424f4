//! Registries: names, mirrors, certificates, credentials, and those that fail in the middle.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use nix::sys::signal::Signal;
use peapod_tests::{Daemon, Options, Programs, SHELL, at_most, peapod, peapod_with, v1, wait_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A second registry with the same images.
struct Registry {
    port: u16,
    variables: Vec<(String, String)>,
}

impl Registry {
    fn start(variables: &[(&str, &Path)]) -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(5100);
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        let variables = variables.iter().map(|(key, value)| ((*key).to_owned(), value.to_string_lossy().into_owned()));
        let registry = Self { port, variables: variables.collect() };
        assert!(registry.script("start"), "no registry on port {port}");
        registry
    }

    fn script(&self, verb: &str) -> bool {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("registry.sh");
        let mut command = Command::new(script);
        command.arg(verb).env("REGISTRY_PORT", self.port.to_string()).envs(self.variables.iter().cloned());
        command.status().unwrap().success()
    }

    fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.script("stop");
    }
}

async fn pull_as(daemon: &Daemon, image: &str, auth: Option<v1::AuthConfig>) -> Result<String, tonic::Status> {
    let image = Some(v1::ImageSpec { image: image.to_owned(), ..Default::default() });
    let request = v1::PullImageRequest { image, auth, sandbox_config: None };
    Ok(daemon.images().pull_image(request).await?.into_inner().image_ref)
}

#[test]
fn names_lead_to_mirrors() {
    let mirror = format!("[host.\"http://{}\"]\ncapabilities = [\"pull\", \"resolve\"]\n", Programs::get().registry);
    // The first mirror is dead.
    let toml = format!("server = \"http://127.0.0.1:1\"\n[host.\"http://127.0.0.1:1\"]\n{mirror}");
    peapod_with(&Options::new().hosts("registry.example", toml).hosts("docker.io", mirror), async |daemon| {
        daemon.pull("registry.example/peapod/shell:1").await.unwrap();
        let image = daemon.image("registry.example/peapod/shell:1").await.unwrap();
        assert_eq!(image.repo_tags, ["registry.example/peapod/shell:1"]);
        // A short name is one of the default registry.
        pull_as(daemon, "peapod/web:1", None).await.unwrap();
        assert!(daemon.image("docker.io/peapod/web:1").await.is_some());
    });
}

#[test]
fn basic_credentials() {
    let registry = Registry::start(&[("REGISTRY_USER", Path::new("pea")), ("REGISTRY_PASSWORD", Path::new("green"))]);
    peapod(async |daemon| {
        let image = format!("{}/peapod/shell:1", registry.host());
        let auth = |password: &str| {
            Some(v1::AuthConfig { username: "pea".to_owned(), password: password.to_owned(), ..Default::default() })
        };
        for wrong in [None, auth("blue")] {
            let refused = pull_as(daemon, &image, wrong).await.unwrap_err();
            assert!(!refused.message().contains("blue"), "shows the password: {refused}");
        }
        let id = pull_as(daemon, &image, auth("green")).await.unwrap();
        assert!(daemon.image(&id).await.is_some());
        // It is here now; that is no way around the registry's rules.
        pull_as(daemon, &image, auth("blue")).await.unwrap_err();
        // As in a docker configuration file: base64 of user:password.
        let encoded = v1::AuthConfig { auth: "cGVhOmdyZWVu".to_owned(), ..Default::default() };
        assert_eq!(pull_as(daemon, &image, Some(encoded)).await.unwrap(), id);
        assert!(!daemon.log_tail(10_000).contains("green") && !daemon.log_tail(10_000).contains("cGVhOmdyZWVu"));
    });
}

#[test]
fn a_manifest_brings_its_credentials() {
    let registry = Registry::start(&[("REGISTRY_USER", Path::new("pea")), ("REGISTRY_PASSWORD", Path::new("green"))]);
    peapod(async |daemon| {
        let (host, file) = (registry.host(), daemon.path("pod.yaml"));
        let pod = |password: &str| {
            format!(
                "{{apiVersion: v1, kind: Pod, metadata: {{name: private}}, spec: {{restartPolicy: Never, imagePullSecrets: \
                 [{{name: login}}], containers: [{{name: a, image: '{host}/peapod/shell:1', command: [echo, mine]}}]}}}}\n\
                 ---\n{{apiVersion: v1, kind: Secret, metadata: {{name: login}}, type: kubernetes.io/dockerconfigjson, \
                 stringData: {{.dockerconfigjson: '{{\"auths\": {{\"http://{host}\": {{\"username\": \"pea\", \
                 \"password\": \"{password}\"}}}}}}'}}}}\n"
            )
        };
        for (password, code) in [("blue", 125), ("green", 0)] {
            std::fs::write(&file, pod(password)).unwrap();
            let output = daemon.client(&["run", &file.to_string_lossy()]).output().await.unwrap();
            let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert_eq!((output.status.code(), out.contains("mine")), (Some(code), code == 0), "{out}{err}");
            assert!(!err.contains("blue") && !err.contains("green"), "shows the password: {err}");
        }
    });
}

#[test]
fn https_with_a_certificate_of_ones_own() {
    let folder = tempfile::Builder::new().prefix("tls").tempdir_in(&Programs::get().node).unwrap();
    let (key, certificate) = (folder.path().join("key.pem"), folder.path().join("cert.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=peapod tests"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let registry = Registry::start(&[("REGISTRY_CERT", &certificate), ("REGISTRY_KEY", &key)]);
    let server = format!("https://{}", registry.host());
    let trusting = format!("server = {server:?}\n[host.{server:?}]\nca = {certificate:?}\n");
    let careless = format!("server = {server:?}\n[host.{server:?}]\nskip_verify = true\n");
    let image = format!("{}/peapod/shell:1", registry.host());
    for toml in [trusting, careless] {
        peapod_with(&Options::new().hosts(registry.host(), toml), async |daemon| {
            pull_as(daemon, &image, None).await.unwrap();
        });
    }
    let strict = format!("server = {server:?}\n[host.{server:?}]\n");
    peapod_with(&Options::new().hosts(registry.host(), strict), async |daemon| {
        let refused = pull_as(daemon, &image, None).await.unwrap_err();
        assert!(refused.message().to_lowercase().contains("certificate"), "does not say why: {refused}");
    });
}

/// A way to the registry that lets a number of bytes through and then brings nothing more.
struct Stalling {
    address: SocketAddr,
    left: Arc<AtomicU64>,
    open: Arc<AtomicU64>,
    /// Bytes that were let through.
    carried: Arc<AtomicU64>,
}

impl Stalling {
    async fn start(bytes: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stalling =
            Self { address, left: Arc::new(AtomicU64::new(bytes)), open: Arc::default(), carried: Arc::default() };
        let (left, open) = (Arc::clone(&stalling.left), Arc::clone(&stalling.open));
        let carried = Arc::clone(&stalling.carried);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (left, open, carried) = (Arc::clone(&left), Arc::clone(&open), Arc::clone(&carried));
                tokio::spawn(async move {
                    open.fetch_add(1, Ordering::SeqCst);
                    Self::carry(client, left, carried).await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        stalling
    }

    async fn carry(client: TcpStream, left: Arc<AtomicU64>, carried: Arc<AtomicU64>) {
        let server = TcpStream::connect(&Programs::get().registry).await.unwrap();
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let up = tokio::io::copy(&mut from_client, &mut to_server);
        let down = async {
            let mut buffer = vec![0; 16 << 10];
            while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
                let length64 = length as u64;
                let before =
                    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| Some(n.saturating_sub(length64)));
                if before == Ok(0) {
                    std::future::pending::<()>().await;
                }
                carried.fetch_add(length64, Ordering::SeqCst);
                if to_client.write_all(&buffer[..length]).await.is_err() {
                    break;
                }
            }
        };
        // Ends with the side that closes first.
        tokio::select! {
            _ = up => {}
            () = down => {}
        }
    }
}

/// What is there of blobs that are on their way.
fn partial(daemon: &Daemon) -> u64 {
    let files = std::fs::read_dir(daemon.state_root().join("ingest")).unwrap().flatten().map(|entry| entry.path());
    files
        .filter(|path| path.extension().is_some_and(|it| it == "part"))
        .map(|path| path.metadata().unwrap().len())
        .sum()
}

#[test]
fn a_killed_pull_leaves_nothing_visible_and_is_resumed() {
    /// Until the transfer stalls.
    const FIRST: u64 = 300 << 10;
    /// Heads of answers, manifests and configurations, and bytes that were under way.
    const BESIDE: u64 = 100 << 10;
    peapod(async |daemon| {
        let slow = Stalling::start(FIRST).await;
        let image = format!("{}/{SHELL}", slow.address);
        let pull = async {
            pull_as(daemon, &image, None).await.unwrap_err();
        };
        let kill = async {
            wait_for("what has come is on disk", async || partial(daemon) >= FIRST - BESIDE).await;
            assert_eq!(slow.left.load(Ordering::SeqCst), 0, "it did not stall");
            daemon.end(Signal::SIGKILL).await;
        };
        tokio::join!(pull, kill);
        let kept = partial(daemon);
        daemon.start_again().await;
        let images = daemon.images().list_images(v1::ListImagesRequest::default()).await.unwrap().into_inner().images;
        assert!(images.is_empty(), "{images:?}");
        slow.left.store(u64::MAX, Ordering::SeqCst);
        slow.carried.store(0, Ordering::SeqCst);
        let id = pull_as(daemon, &image, None).await.unwrap();
        let resumed = slow.carried.swap(0, Ordering::SeqCst);
        daemon.pod("after").run().await.container("main").image(&image).sh("true").output().await;

        // Without the killed one it is this much. Bytes of the partial blobs were not sent again.
        for pod in daemon.pods().await {
            let request = v1::RemovePodSandboxRequest { pod_sandbox_id: pod.id };
            daemon.runtime().remove_pod_sandbox(request).await.unwrap();
        }
        forget(daemon, id).await;
        slow.carried.store(0, Ordering::SeqCst);
        pull_as(daemon, &image, None).await.unwrap();
        let whole = slow.carried.load(Ordering::SeqCst);
        assert!(resumed + kept < whole + BESIDE / 2, "{resumed} bytes after {kept}, and {whole} from the beginning");
    });
}

#[test]
fn a_pull_that_nobody_waits_for_ends() {
    peapod(async |daemon| {
        let slow = Stalling::start(300 << 10).await;
        let image = format!("{}/{SHELL}", slow.address);
        let pull = pull_as(daemon, &image, None);
        let stalls = wait_for("the transfer stalls", async || slow.left.load(Ordering::SeqCst) == 0);
        tokio::select! {
            done = pull => panic!("it can't have ended: {done:?}"),
            () = stalls => {}
        }
        // The transfer is given up, so a new pull need not wait for it.
        wait_for("the connections are closed", async || slow.open.load(Ordering::SeqCst) == 0).await;
        slow.left.store(u64::MAX, Ordering::SeqCst);
        tokio::time::timeout(at_most(std::time::Duration::from_secs(15)), pull_as(daemon, &image, None))
            .await
            .unwrap()
            .unwrap();
    });
}

#[test]
fn a_terminal_shows_how_far_a_pull_and_an_end_have_come() {
    peapod(async |daemon| {
        let slow = Stalling::start(300 << 10).await;
        let file = daemon.path("pod.yaml");
        let text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: slow}}\nspec:\n  terminationGracePeriodSeconds: 100\n  containers:\n  - {{name: main, image: '{}/{SHELL}', command: [sh, -c, 'trap \"echo bye\" TERM; echo begun; while :; do sleep 0.1; done']}}\n",
            slow.address
        );
        std::fs::write(&file, text).unwrap();
        let line =
            format!("export PEAPOD_RUN_DIR={}; exec $PEAPOD run {}", daemon.path("run-dir").display(), file.display());
        let mut screen = daemon.client_terminal((24, 100), &line);
        screen.hear("[").await;
        screen.hear("] ").await;
        screen.hear("B of ").await;
        screen.say("\x03").await;
        assert_eq!(screen.end().await.0, 130);

        slow.left.store(u64::MAX, Ordering::SeqCst);
        let mut screen = daemon.client_terminal((24, 100), &line);
        screen.hear("pulled ").await;
        screen.hear("begun").await;
        screen.say("\x03").await;
        screen.hear("stopping: 100 s left").await;
        screen.hear("stopping: 99 s left").await;
        screen.say("\x03").await;
        assert_eq!(screen.end().await.0, 130);
        assert!(daemon.pods().await.is_empty());
    });
}

/// Removes an image with its files.
async fn forget(daemon: &Daemon, id: String) {
    let spec = Some(v1::ImageSpec { image: id, ..Default::default() });
    daemon.images().remove_image(v1::RemoveImageRequest { image: spec }).await.unwrap();
    let layers = async || std::fs::read_dir(daemon.state_root().join("layers")).unwrap().count() == 1;
    wait_for("its layers are gone", layers).await;
}

#[test]
fn equal_pulls_join() {
    peapod(async |daemon| {
        let way = Stalling::start(u64::MAX).await;
        let image = format!("{}/{SHELL}", way.address);
        let id = pull_as(daemon, &image, None).await.unwrap();
        let one = way.carried.swap(0, Ordering::SeqCst);
        forget(daemon, id.clone()).await;
        let pulls = (0..6).map(|_| pull_as(daemon, &image, None));
        let ids: Vec<_> = futures_util::future::join_all(pulls).await.into_iter().map(Result::unwrap).collect();
        assert!(ids.iter().all(|again| *again == id), "{ids:?}");
        let all = way.carried.load(Ordering::SeqCst);
        assert!(all < one + one / 2, "{all} bytes for six pulls, {one} for one");
        let images = daemon.images().list_images(v1::ListImagesRequest::default()).await.unwrap().into_inner().images;
        assert_eq!(images.len(), 1);
    });
}
