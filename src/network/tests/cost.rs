//! What it costs that pods are not believed; in a node as those of `real.rs`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test")]

#[allow(dead_code, reason = "each file of tests uses a part")]
mod node;

use node::{Node, in_node, request, run};

/// Round trips of small datagrams a second, and how much flows through one TCP connection, from a pod to itself or
/// another.
const LOAD: &str = r#"
import socket, sys, threading, time
def take(listener):
    c, _ = listener.accept()
    while c.recv(1 << 20):
        pass
if sys.argv[1] == "serve":
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    u.bind(("", 7000))
    t = socket.create_server(("", 7001))
    threading.Thread(target=lambda: [take(t) for _ in iter(int, 1)], daemon=True).start()
    print("ready", flush=True)
    while True:
        data, peer = u.recvfrom(100)
        u.sendto(data, peer)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.connect((sys.argv[1], 7000))
start, rounds = time.monotonic(), 0
while time.monotonic() - start < 0.3:
    for _ in range(100):
        u.send(b"x")
        u.recv(100)
    rounds += 100
rate = rounds / (time.monotonic() - start)
t = socket.create_connection((sys.argv[1], 7001))
block, sent, start = bytes(1 << 17), 0, time.monotonic()
while time.monotonic() - start < 0.3:
    t.sendall(block)
    sent += len(block)
print(f"{rate:.0f} round trips/s, {sent * 8 / 1e9 / (time.monotonic() - start):.2f} Gbit/s")
"#;

/// Prints what the rules cost; asserts nothing about it.
#[test]
#[ignore = "needs root"]
fn cost() {
    in_node("cost", async || {
        let node = Node::open(&["10.93.0.0/16"]).await;
        // Nobody sets the rules again while it is measured without them.
        let a = node.network.attach(request("a", &[])).await.unwrap();
        let b = node.network.attach(request("b", &[])).await.unwrap();
        node.network.close().await;
        let _server = node::serve_script(a.netns.to_str().unwrap(), LOAD, &["serve"]);
        let netns = format!("--net={}", b.netns.display());
        let measure = || run(&["nsenter", &netns, "python3", "-c", LOAD, "10.93.0.2"]);
        eprint!("with    {}", measure());
        run(&["nft", "delete", "table", "bridge", &node.bridge]);
        eprint!("without {}", measure());
    });
}
