//! The server between a daemon and a shim that tests play.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use peapod_streaming_protocol::{
    CommandStreams, DaemonEnd, PacketListener, Registration, SERVER_NAME, SessionKind, SessionToken, ShimEnd, ToDaemon,
    ToServer, ToSession, ToShim,
};
use peapod_sys::{Program, SpawnedChild};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Nothing here takes long; what hangs fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const ALL: CommandStreams = CommandStreams { tty: false, stdin: true, stdout: true, stderr: true };
pub(crate) const TERMINAL: CommandStreams = CommandStreams { tty: true, stdin: true, stdout: true, stderr: false };

/// Waits with patience.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it takes too long")
}

/// Looks again and again until it is so.
pub(crate) async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let look = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("not so: {what}"));
}

pub(crate) struct Server {
    daemon: Option<DaemonEnd>,
    pub(crate) child: SpawnedChild,
    pub(crate) address: SocketAddr,
    dir: TempDir,
}

/// Other times than ordinary ones.
pub(crate) struct Times {
    pub(crate) idle: Duration,
    pub(crate) creation: Duration,
    pub(crate) expiry: Duration,
}

impl Default for Times {
    fn default() -> Self {
        let [idle, creation, expiry] = [4 * 3600, 30, 60].map(Duration::from_secs);
        Self { idle, creation, expiry }
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// With a chain of certificates and its key, speaks TLS.
    pub(crate) async fn start_with(tls: Option<[&str; 2]>) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_peapod-streaming"));
        let program = Program::new(program, [OsStr::new(SERVER_NAME)], [], Path::new("/")).unwrap();
        let (daemon, stdin) = DaemonEnd::pair().unwrap();
        let child = program.spawn(stdin.as_fd(), None).unwrap();
        drop(stdin);
        let dir = tempfile::tempdir().unwrap();
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let server = Self { daemon: Some(daemon), child, address, dir };
        if let Some(tls) = tls {
            server.secure(tls).await;
        }
        let shims = PacketListener::bind(&server.path()).unwrap();
        server.daemon().send(&ToServer::Listen, &[shims.as_fd(), tcp.as_fd()]).await.unwrap();
        assert_eq!(server.news().await, ToDaemon::Listening);
        server
    }

    pub(crate) async fn secure(&self, tls: [&str; 2]) {
        let files = tls.map(|text| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            std::io::Seek::rewind(&mut file).unwrap();
            file
        });
        self.daemon().send(&ToServer::Tls, &[files[0].as_fd(), files[1].as_fd()]).await.unwrap();
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("sessions")
    }

    pub(crate) fn daemon(&self) -> &DaemonEnd {
        self.daemon.as_ref().expect("the daemon was killed")
    }

    pub(crate) fn kill_daemon(&mut self) {
        self.daemon = None;
    }

    /// What it says to the daemon next.
    pub(crate) async fn news(&self) -> ToDaemon {
        soon(self.daemon().recv()).await.unwrap().expect("the server has ended").0
    }

    pub(crate) async fn register(&self, kind: SessionKind) -> SessionToken {
        self.register_for(kind, Times::default()).await
    }

    pub(crate) async fn register_for(&self, kind: SessionKind, times: Times) -> SessionToken {
        let token = SessionToken::random().unwrap();
        let Times { idle, creation, expiry } = times;
        let registration = Registration { token, kind, idle, creation, expiry };
        self.daemon().send(&ToServer::Register(registration), &[]).await.unwrap();
        token
    }

    pub(crate) async fn exec(&self, streams: CommandStreams) -> SessionToken {
        self.register(SessionKind::Exec(streams)).await
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Plays the daemon that lets a shim open the session.
    pub(crate) async fn session(&self, token: SessionToken) -> Shim {
        assert_eq!(self.news().await, ToDaemon::Claimed { token });
        self.join(token).await
    }

    pub(crate) async fn join(&self, token: SessionToken) -> Shim {
        let shim = ShimEnd::connect(&self.path()).unwrap();
        shim.send(&ToSession::Hello { token }, &[]).await.unwrap();
        Shim(shim)
    }

    pub(crate) fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.pid)).unwrap()
    }

    /// Memory that it has of its own, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let text = self.proc("status");
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.pid)).unwrap().count()
    }

    /// Waits for its end; answers its exit code.
    pub(crate) async fn ended(&self) -> i32 {
        let mut status = None;
        until("the server ends", || {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            status = waitid(WaitId::PidFd(self.child.as_fd()), options).unwrap();
            status.is_some()
        })
        .await;
        status.and_then(|status| status.exit_status()).expect("it was killed")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = peapod_sys::send_signal(&self.child, 9);
        let _ = waitid(WaitId::PidFd(self.child.as_fd()), WaitIdOptions::EXITED);
    }
}

/// The shim's end of a session.
pub(crate) struct Shim(pub(crate) ShimEnd);

/// The ends of a command's streams that the command has.
pub(crate) struct Command {
    pub(crate) stdin: Option<fs::File>,
    pub(crate) stdout: Option<fs::File>,
    pub(crate) stderr: Option<fs::File>,
}

impl Shim {
    /// Starts a command, of which it gives the streams away.
    pub(crate) async fn start(&self, streams: CommandStreams) -> Command {
        let (mut given, mut command) = (Vec::new(), Command { stdin: None, stdout: None, stderr: None });
        let pipe = || {
            let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
            (fs::File::from(reader), fs::File::from(writer))
        };
        if streams.stdin {
            let (reader, writer) = pipe();
            given.push(OwnedFd::from(writer));
            command.stdin = Some(reader);
        }
        for (is, end) in [(streams.stdout, &mut command.stdout), (streams.stderr, &mut command.stderr)] {
            if is {
                let (reader, writer) = pipe();
                given.push(OwnedFd::from(reader));
                *end = Some(writer);
            }
        }
        let given: Vec<_> = given.iter().map(AsFd::as_fd).collect();
        self.0.send(&ToSession::Started { streams }, &given).await.unwrap();
        command
    }

    pub(crate) async fn say(&self, message: ToSession) {
        self.0.send(&message, &[]).await.unwrap();
    }

    pub(crate) async fn hear(&self) -> Option<ToShim> {
        soon(self.0.recv()).await.unwrap().map(|(message, _)| message)
    }

    /// Answers a dial with a connection to a listener of the test's; gives the pod's end.
    pub(crate) async fn dialled(&self, id: u32) -> TcpStream {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        self.0.send(&ToSession::Dialled { id }, &[near.as_fd()]).await.unwrap();
        far
    }

    /// The next thing that is heard is that a port is wanted.
    pub(crate) async fn dial(&self) -> (u32, u16) {
        match self.hear().await {
            Some(ToShim::Dial { id, port }) => (id, port),
            other => panic!("{other:?}"),
        }
    }
}

impl Command {
    /// Reads its input to the end, beside the test.
    pub(crate) fn read_input(&mut self) -> tokio::task::JoinHandle<Vec<u8>> {
        let mut stdin = self.stdin.take().unwrap();
        tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            stdin.read_to_end(&mut bytes).unwrap();
            bytes
        })
    }

    pub(crate) fn write(&mut self, text: &str) {
        self.stdout.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }
}
