//! A shim of its own for every test: started as the daemon starts it, driven over ttrpc, in a private mount namespace.
//! Needs root.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test fails by it")]
#![allow(dead_code, unreachable_pub, reason = "every test file uses a part")]

pub mod server;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use peapod_cgroup::Hierarchy;
use peapod_shim_protocol::containerd::protobuf::well_known_types::any::Any;
use peapod_shim_protocol::containerd::protobuf::{Message, MessageField};
use peapod_shim_protocol::containerd::sandbox_async::SandboxClient;
use peapod_shim_protocol::containerd::shim_async::TaskClient;
use peapod_shim_protocol::containerd::{api, sandbox_api};
use peapod_shim_protocol::extension::event::Kind;
use peapod_shim_protocol::extension::{self, SandboxOptions, TaskOptions};
use peapod_shim_protocol::extension_ttrpc::ExtensionClient;
use peapod_shim_protocol::{PROCESS_URL, SANDBOX_OPTIONS_URL, TASK_OPTIONS_URL};
use serde_json::{Value, json};
use ttrpc::asynchronous::Client;
use ttrpc::asynchronous::transport::Socket;
use ttrpc::context::{Context, with_duration};

/// Longest wait for anything.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Runs a test's body against every OCI runtime that is installed, each in a mount namespace of its own.
pub fn with_runtimes(body: impl AsyncFn(Pod)) {
    let runc = std::env::var_os("PEAPOD_RUNC").map_or_else(|| "/tmp/gobin/runc".into(), PathBuf::from);
    let runtimes: Vec<PathBuf> =
        [PathBuf::from("/usr/bin/crun"), runc].into_iter().filter(|path| path.exists()).collect();
    assert!(!runtimes.is_empty(), "neither /usr/bin/crun nor runc is there: set PEAPOD_RUNC");
    for runtime in runtimes {
        println!("with {}", runtime.display());
        isolate();
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio.block_on(async { body(Pod::start(&runtime).await).await });
    }
}

/// The binary under test: the one built with the tests, or the static one that is shipped.
pub fn shim() -> PathBuf {
    std::env::var_os("PEAPOD_SHIM")
        .map_or_else(|| env!("CARGO_BIN_EXE_containerd-shim-peapod-v1").into(), PathBuf::from)
}

/// A mount namespace of this thread's own, without the tree that crun 1.8 refuses.
fn isolate() {
    let none: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    let _ = umount2("/sys/fs/cgroup/unified", MntFlags::MNT_DETACH);
}

pub struct Pod {
    pub id: String,
    pub dir: tempfile::TempDir,
    pub runtime: PathBuf,
    pub shim: Child,
    pub task: TaskClient,
    pub sandbox: SandboxClient,
    pub extension: ExtensionClient,
    acknowledged: std::cell::Cell<u64>,
}

/// A container to be.
pub struct Plan {
    pub id: String,
    pub args: Vec<String>,
    pub terminal: bool,
    pub stdin: String,
    pub memory: Option<i64>,
    pub capabilities: Vec<&'static str>,
    /// Types with paths; pid without one by default.
    pub namespaces: Vec<Value>,
}

pub fn context() -> Context {
    with_duration(Duration::from_secs(60))
}

pub fn any(url: &str, value: Vec<u8>) -> MessageField<Any> {
    MessageField::some(Any { type_url: url.to_owned(), value, ..Default::default() })
}

pub fn sh(id: &str, script: &str) -> Plan {
    Plan {
        id: id.to_owned(),
        args: ["/bin/sh", "-c", script].map(str::to_owned).into(),
        terminal: false,
        stdin: String::new(),
        memory: None,
        capabilities: Vec::new(),
        namespaces: vec![json!({"type": "pid"})],
    }
}

impl Pod {
    pub async fn start(runtime: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let none: Option<&str> = None;
        mount(none, dir.path(), Some("tmpfs"), MsFlags::empty(), none).unwrap();
        let id = format!("pod-{}", dir.path().file_name().unwrap().to_string_lossy().trim_start_matches('.'));
        let socket = dir.path().join("sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let shim = Command::new(shim())
            .args(["-namespace", "peapod", "-id", &id, "-bundle"])
            .arg(dir.path())
            .current_dir(dir.path())
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let client = Client::new(Socket::new(tokio::net::UnixStream::connect(&socket).await.unwrap()));
        Self {
            id,
            dir,
            runtime: runtime.to_path_buf(),
            shim,
            task: TaskClient::new(client.clone()),
            sandbox: SandboxClient::new(client.clone()),
            extension: ExtensionClient::new(client),
            acknowledged: std::cell::Cell::new(0),
        }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub async fn create(&self, netns: &str, options: SandboxOptions) -> ttrpc::Result<()> {
        let request = sandbox_api::CreateSandboxRequest {
            sandbox_id: self.id.clone(),
            bundle_path: self.path().to_string_lossy().into_owned(),
            netns_path: netns.to_owned(),
            options: any(SANDBOX_OPTIONS_URL, options.write_to_bytes().unwrap()),
            ..Default::default()
        };
        self.sandbox.create_sandbox(context(), &request).await.map(drop)
    }

    /// A pod with nothing of its own.
    pub async fn plain(&self) {
        self.create("", SandboxOptions::new()).await.unwrap();
    }

    pub fn bundle(&self, id: &str) -> PathBuf {
        self.path().join("containers").join(id)
    }

    pub fn cgroup(&self, id: &str) -> peapod_cgroup::Cgroup {
        let hierarchy = Hierarchy::detect(Path::new("/sys/fs/cgroup")).unwrap();
        hierarchy.cgroup(&format!("/peapod-test-{}/{id}", self.id)).unwrap()
    }

    pub fn log(&self, id: &str) -> PathBuf {
        self.path().join(format!("{id}.log"))
    }

    /// Lines of the log without their times.
    pub fn lines(&self, id: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.log(id)).unwrap();
        text.split_terminator('\n').map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    }

    pub fn create_request(&self, plan: &Plan) -> api::CreateTaskRequest {
        let bundle = self.bundle(&plan.id);
        std::fs::create_dir_all(&bundle).unwrap();
        for dir in ["upper", "work"] {
            std::fs::create_dir_all(bundle.join(dir)).unwrap();
        }
        let spec = self.spec(plan);
        std::fs::write(bundle.join("config.json"), spec.to_string()).unwrap();
        let options = TaskOptions {
            runtime: self.runtime.to_string_lossy().into_owned(),
            runtime_root: self.path().join("runtime").to_string_lossy().into_owned(),
            ..Default::default()
        };
        let dir = |name: &str| bundle.join(name).to_string_lossy().into_owned();
        let uri = format!("peapod-log://{}", self.log(&plan.id).display());
        api::CreateTaskRequest {
            id: plan.id.clone(),
            bundle: bundle.to_string_lossy().into_owned(),
            rootfs: vec![api::Mount {
                type_: "overlay".to_owned(),
                source: "overlay".to_owned(),
                options: vec![
                    "lowerdir+=/".to_owned(),
                    format!("upperdir={}", dir("upper")),
                    format!("workdir={}", dir("work")),
                    "volatile".to_owned(),
                ],
                ..Default::default()
            }],
            terminal: plan.terminal,
            stdin: plan.stdin.clone(),
            stderr: if plan.terminal { String::new() } else { uri.clone() },
            stdout: uri,
            options: any(TASK_OPTIONS_URL, options.write_to_bytes().unwrap()),
            ..Default::default()
        }
    }

    fn spec(&self, plan: &Plan) -> Value {
        let capabilities = json!(plan.capabilities);
        let mut namespaces = vec![json!({"type": "mount"}), json!({"type": "ipc"}), json!({"type": "uts"})];
        namespaces.retain(|namespace| !plan.namespaces.iter().any(|own| own["type"] == namespace["type"]));
        namespaces.extend(plan.namespaces.iter().cloned());
        json!({
            "ociVersion": "1.0.2",
            "process": {
                "terminal": plan.terminal,
                "user": {"uid": 0, "gid": 0},
                "args": plan.args,
                "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
                "cwd": "/",
                "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
            },
            "root": {"path": "rootfs"},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                 "options": ["newinstance", "ptmxmode=0666", "mode=0620"]},
            ],
            "linux": {
                "cgroupsPath": self.cgroup(&plan.id).path(),
                "namespaces": namespaces,
                "resources": {"memory": plan.memory.map_or(json!({}), |limit| json!({"limit": limit}))},
            },
        })
    }

    /// Creates and starts; answers its process number.
    pub async fn run(&self, plan: &Plan) -> u32 {
        self.task.create(context(), &self.create_request(plan)).await.unwrap();
        let request = api::StartRequest { id: plan.id.clone(), ..Default::default() };
        self.task.start(context(), &request).await.unwrap().pid
    }

    /// The next events that were not seen yet.
    pub async fn events(&self) -> Vec<extension::Event> {
        let request = extension::WatchRequest { after: self.acknowledged.get(), wait_ms: 20_000, ..Default::default() };
        let events = self.extension.watch(context(), &request).await.unwrap().events;
        if let Some(last) = events.last() {
            self.acknowledged.set(last.seq);
        }
        events
    }

    /// The end of a container, as an event.
    pub async fn exited(&self, id: &str) -> extension::Exited {
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            for event in self.events().await {
                if let (true, Some(Kind::Exited(exited))) = (event.container_id == id, event.kind) {
                    return exited;
                }
            }
        }
        panic!("no end of {id} within {LIMIT:?}");
    }

    pub async fn stop(&self, id: &str, signal: u32, after: Duration) {
        let now = peapod_sys::boottime_ns();
        let request = extension::StopRequest {
            container_id: id.to_owned(),
            signal,
            deadline_boottime_ns: now + i64::try_from(after.as_nanos()).unwrap(),
            ..Default::default()
        };
        self.extension.stop(context(), &request).await.unwrap();
    }

    pub async fn delete(&self, id: &str, exec: &str) -> ttrpc::Result<api::DeleteResponse> {
        let request = api::DeleteRequest { id: id.to_owned(), exec_id: exec.to_owned(), ..Default::default() };
        self.task.delete(context(), &request).await
    }

    pub async fn wait(&self, id: &str, exec: &str) -> u32 {
        let request = api::WaitRequest { id: id.to_owned(), exec_id: exec.to_owned(), ..Default::default() };
        self.task.wait(context(), &request).await.unwrap().exit_status
    }

    /// Prepares an exec whose output goes to a FIFO; answers where the output can be read.
    pub async fn prepare(&self, id: &str, exec: &str, script: &str) -> std::fs::File {
        let fifo = self.path().join(format!("{exec}.fifo"));
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let reader = rustix::fs::open(
            &fifo,
            rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )
        .unwrap();
        let process = json!({
            "args": ["/bin/sh", "-c", script],
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
            "user": {"uid": 0, "gid": 0},
        });
        let request = api::ExecProcessRequest {
            id: id.to_owned(),
            exec_id: exec.to_owned(),
            stdout: fifo.to_string_lossy().into_owned(),
            spec: any(PROCESS_URL, process.to_string().into_bytes()),
            ..Default::default()
        };
        self.task.exec(context(), &request).await.unwrap();
        std::fs::File::from(reader)
    }

    /// How many children the shim has: running ones, and those that it has yet to reap.
    pub fn children(&self) -> usize {
        let pid = self.shim.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        children.split_whitespace().count()
    }

    /// Memory of the shim that is of no file, in kB.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.shim.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    pub async fn start_exec(&self, id: &str, exec: &str) -> ttrpc::Result<u32> {
        let request = api::StartRequest { id: id.to_owned(), exec_id: exec.to_owned(), ..Default::default() };
        Ok(self.task.start(context(), &request).await?.pid)
    }

    /// Ends the pod; asserts that it leaves nothing.
    pub async fn finish(mut self) {
        let request = sandbox_api::StopSandboxRequest { sandbox_id: self.id.clone(), ..Default::default() };
        self.sandbox.stop_sandbox(context(), &request).await.unwrap();
        let request = sandbox_api::ShutdownSandboxRequest { sandbox_id: self.id.clone(), ..Default::default() };
        self.sandbox.shutdown_sandbox(context(), &request).await.unwrap();
        wait_for("the shim's end", || self.shim.try_wait().unwrap().is_some());
        self.assert_clean();
    }

    pub fn assert_clean(&self) {
        let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let inside = format!("{}/", self.path().display());
        assert!(!mounts.contains(&inside), "mounts are left:\n{mounts}");
        let parent = self.cgroup("x").path().rsplit_once('/').unwrap().0.to_owned();
        let hierarchy = Hierarchy::detect(Path::new("/sys/fs/cgroup")).unwrap();
        let parent = hierarchy.cgroup(&parent).unwrap();
        assert!(parent.is_empty().unwrap(), "processes are left: {:?}", parent.pids());
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = self.shim.kill();
        let _ = self.shim.wait();
        let hierarchy = Hierarchy::detect(Path::new("/sys/fs/cgroup")).unwrap();
        let group = hierarchy.cgroup(&format!("/peapod-test-{}", self.id)).unwrap();
        let _ = group.kill();
        let deadline = Instant::now() + LIMIT;
        while group.remove().is_err() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.path().join("shim.log")).unwrap_or_default();
            println!("shim.log:\n{log}");
        }
        let _ = umount2(self.path(), MntFlags::MNT_DETACH);
    }
}

pub fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < deadline, "no {what} within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The ttrpc code and message of a refusal.
pub fn refusal<T: std::fmt::Debug>(outcome: ttrpc::Result<T>) -> (ttrpc::Code, String) {
    match outcome.unwrap_err() {
        ttrpc::Error::RpcStatus(status) => (status.code(), status.message),
        other => panic!("no status: {other}"),
    }
}
