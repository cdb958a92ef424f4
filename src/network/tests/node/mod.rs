//! A node of a test: private namespaces, a neighbour on a link, servers and clients in any of their namespaces.

use peapod_network::{AttachRequest, Attachment, CniConfig, Config, MIGRATIONS, Network, PortMapping, Protocol};
use peapod_store::{Database, Durability};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The neighbour's namespace: 192.0.2.2 and 2001:db8::2, where the node is 192.0.2.1 and 2001:db8::1.
pub(crate) const NEIGHBOUR: &str = "/run/netns/neighbour";

/// Says which address asked, to all who ask by TCP or UDP.
const SERVER: &str = r#"
import socket, sys, threading
host, port = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
def open(kind):
    s = socket.socket(family, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((host, port))
    return s
def name(peer):
    return peer[0].removeprefix("::ffff:").encode()
tcp, udp = open(socket.SOCK_STREAM), open(socket.SOCK_DGRAM)
tcp.listen(64)
def datagrams():
    while True:
        _, peer = udp.recvfrom(9)
        udp.sendto(name(peer), peer)
threading.Thread(target=datagrams, daemon=True).start()
print("ready", flush=True)
while True:
    c, peer = tcp.accept()
    c.sendall(name(peer))
    c.close()
"#;

const CLIENT: &str = r#"
import socket, sys
protocol, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
s.settimeout(5)
s.connect((host, port))
if protocol == "udp":
    s.send(b"who")
print(s.recv(100).decode())
"#;

/// Ends its process when dropped.
pub(crate) struct Server(Child);

impl Server {
    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// An open network on a private node.
pub(crate) struct Node {
    pub(crate) network: Network,
    pub(crate) bridge: String,
    pub(crate) config: Config,
    pub(crate) db: Database,
    _dir: TempDir,
}

/// Runs the test's body in namespaces of its own.
pub(crate) fn in_node(test: &str, body: impl AsyncFnOnce()) {
    const MARK: &str = "PEAPOD_TEST_NODE";
    if std::env::var_os(MARK).is_none() {
        let exe = std::env::current_exe().unwrap();
        let status = Command::new("unshare")
            .args(["-m", "-n"])
            .arg(exe)
            .args(["--exact", test, "--include-ignored", "--nocapture"])
            .env(MARK, "1")
            .status()
            .unwrap();
        assert!(status.success(), "{test} failed in its node");
        return;
    }
    run(&["mount", "-t", "tmpfs", "none", "/run"]);
    run(&["ip", "link", "set", "lo", "up"]);
    run(&["ip", "netns", "add", "neighbour"]);
    run(&["ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1", "netns", "neighbour"]);
    for (args, link, end) in [(&["ip"][..], "up0", 1), (&["ip", "-n", "neighbour"], "up1", 2)] {
        let v4 = format!("192.0.2.{end}/24");
        let v6 = format!("2001:db8::{end}/64");
        run(&[args, &["addr", "add", &v4, "dev", link]].concat());
        run(&[args, &["addr", "add", &v6, "dev", link, "nodad"]].concat());
        run(&[args, &["link", "set", link, "up"]].concat());
    }
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(body());
}

/// Runs a command that has to succeed; gives what it says.
pub(crate) fn run(args: &[&str]) -> String {
    let output = Command::new(args[0]).args(&args[1..]).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What nft shows of both tables of this name.
pub(crate) fn shown(table: &str) -> Vec<String> {
    [shown_of("inet", table), shown_of("bridge", table)].concat()
}

/// What nft shows of a table, without what differs between two equal ones: handles, names, order within sets.
fn shown_of(family: &str, table: &str) -> Vec<String> {
    let all: serde_json::Value = serde_json::from_str(&run(&["nft", "-j", "list", "table", family, table])).unwrap();
    let mut lines: Vec<String> = Vec::new();
    for item in all["nftables"].as_array().unwrap() {
        let (kind, value) = item.as_object().unwrap().iter().next().unwrap();
        if kind == "metainfo" || kind == "table" {
            continue;
        }
        let mut value = value.clone();
        value.as_object_mut().unwrap().retain(|key, _| key != "handle" && key != "table");
        if value.get("size").is_some() {
            // A set that rules fill as packets come.
            value.as_object_mut().unwrap().remove("elem");
        }
        if let Some(elements) = value.get_mut("elem").and_then(|elements| elements.as_array_mut()) {
            elements.sort_by_key(ToString::to_string);
        }
        lines.push(format!("{kind} {value}"));
    }
    // Rules keep their order, the rest has none.
    lines.sort_by_key(|line| {
        if line.starts_with("rule") { line.split("\"expr\"").next().unwrap().to_owned() } else { line.clone() }
    });
    lines
}

/// A request of this id for these ports.
pub(crate) fn request(id: &str, mapped: &[PortMapping]) -> AttachRequest {
    AttachRequest { id: id.to_owned(), ports: mapped.to_vec(), ..AttachRequest::default() }
}

/// Mappings from (protocol, host port, container port, host address).
pub(crate) fn ports(list: &[(&str, u16, u16, &str)]) -> Vec<PortMapping> {
    let protocol = |name: &str| match name {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => Protocol::Sctp,
    };
    list.iter()
        .map(|(name, host_port, container_port, ip)| PortMapping {
            protocol: protocol(name),
            container_port: *container_port,
            host_port: *host_port,
            host_ip: (!ip.is_empty()).then(|| ip.parse().unwrap()),
        })
        .collect()
}

/// A script to be run in this namespace, or in that of the caller.
pub(crate) fn python(netns: &str, script: &str, args: &[&str]) -> Command {
    let mut command = if netns.is_empty() {
        Command::new("/usr/bin/env")
    } else {
        let mut nsenter = Command::new("nsenter");
        nsenter.arg(format!("--net={netns}"));
        nsenter
    };
    command.args(["python3", "-c", script]).args(args);
    command
}

/// Asks a server; gives the address that it saw.
pub(crate) fn client(netns: &str, protocol: &str, host: &str, port: u16) -> Result<String, String> {
    let output = python(netns, CLIENT, &[protocol, host, &port.to_string()]).output().unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    } else {
        let text = String::from_utf8_lossy(&output.stderr);
        Err(text.lines().last().unwrap_or_default().to_owned())
    }
}

fn serve(netns: &str, host: &str, port: u16) -> Server {
    serve_script(netns, SERVER, &[host, &port.to_string()])
}

/// A server of a test's own, which says "ready".
pub(crate) fn serve_script(netns: &str, script: &str, args: &[&str]) -> Server {
    let mut child = python(netns, script, args).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    Server(child)
}

impl Node {
    /// Opens a network with these subnets.
    pub(crate) async fn open(subnets: &[&str]) -> Self {
        Self::open_as("peatest0", subnets).await
    }

    /// Opens a network with this bridge.
    pub(crate) async fn open_as(bridge: &str, subnets: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let config = Config {
            bridge: bridge.to_owned(),
            subnets: subnets.iter().map(|text| text.parse().unwrap()).collect(),
            netns_dir: "/run/netns".into(),
            mtu: None,
            cni: CniConfig { conf_dir: dir.path().join("cni"), ..CniConfig::default() },
        };
        let db = Database::open(&dir.path().join("state.db"), Durability::Normal, MIGRATIONS).unwrap();
        let network = Network::open(config.clone(), db.clone()).await.unwrap();
        network.looked().await;
        let status = network.status();
        assert!(status.ready, "{status:?}");
        Self { network, bridge: config.bridge.clone(), config, db, _dir: dir }
    }

    /// Opens the network again, as the next process would.
    pub(crate) async fn again(&self) -> Network {
        let network = Network::open(self.config.clone(), self.db.clone()).await.unwrap();
        network.looked().await;
        network
    }

    /// All links, rules, mounts and pins of the node.
    pub(crate) fn seen(&self) -> String {
        let links = run(&["ip", "-br", "link"]);
        let links: Vec<_> = links.lines().filter_map(|line| line.split_whitespace().next()).collect();
        // Handles count on, and say nothing.
        let rules = run(&["nft", "list", "ruleset"]);
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        format!("{links:?}\n{rules}\n{mounts}\n{}", run(&["ls", "/run/netns"]))
    }

    /// Waits until the node is as it was: links go some time after the last reference to their namespace, late if the
    /// kernel has many others to take away.
    pub(crate) async fn becomes(&self, expected: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.seen() != expected {
            assert!(Instant::now() < deadline, "{}\n--- is not ---\n{expected}", self.seen());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A server in a pod.
    pub(crate) fn serve(&self, pod: &Attachment, port: u16) -> Server {
        serve(pod.netns.to_str().unwrap(), "::", port)
    }

    /// A server on all addresses of the node.
    pub(crate) fn serve_node(&self, port: u16) -> Server {
        serve("", "::", port)
    }

    /// A server on the node's 127.0.0.1.
    pub(crate) fn serve_loopback(&self, port: u16) -> Server {
        serve("", "127.0.0.1", port)
    }

    /// A server at the neighbour's.
    pub(crate) fn serve_neighbour(&self, port: u16) -> Server {
        serve(NEIGHBOUR, "::", port)
    }
}

/// A script that writes lines; ended when dropped.
pub(crate) struct Lines {
    _process: Server,
    stdout: BufReader<ChildStdout>,
}

impl Lines {
    /// Starts it in this namespace.
    pub(crate) fn start(netns: &str, script: &str, args: &[&str]) -> Self {
        let mut child = python(netns, script, args).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { _process: Server(child), stdout }
    }

    /// Waits for its next line.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

const ASKING: &str = r#"
import socket, sys
host, port = sys.argv[1], int(sys.argv[2])
s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.5)
s.bind(("", 40000))
for line in sys.stdin:
    try:
        s.sendto(b"who", (host, port))
        print(s.recv(100).decode(), flush=True)
    except OSError:
        print("nobody", flush=True)
"#;

/// A UDP client that keeps its port.
pub(crate) struct Asking {
    _process: Server,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Asking {
    /// Starts it in this namespace.
    pub(crate) fn start(netns: &str, host: &str, port: u16) -> Self {
        let mut command = python(netns, ASKING, &[host, &port.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { _process: Server(child), stdin, stdout }
    }

    /// Whether somebody answers. Asks several times: a neighbour may have to be found first.
    pub(crate) fn is_heard(&mut self) -> bool {
        (0..8).any(|_| self.ask() != "nobody")
    }

    /// Asks once; gives the answer.
    pub(crate) fn ask(&mut self) -> String {
        self.stdin.write_all(b"\n").unwrap();
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}
