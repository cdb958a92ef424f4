//! What the server has, and what it has not.

use std::fs;

use crate::spdy::SpdyClient;
use crate::stage::{ALL, Server};

#[tokio::test]
#[ignore = "needs root"]
async fn it_has_nothing_but_what_it_was_given() {
    let server = Server::start().await;
    let status = server.proc("status");
    let line = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("Uid:"), "65534 65534 65534 65534");
    assert_eq!(line("Gid:"), "65534 65534 65534 65534");
    assert_eq!(line("Groups:"), "");
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(line(set), "0000000000000000", "{set}");
    }
    assert_eq!((line("NoNewPrivs:"), line("Seccomp:"), line("Threads:")), ("1".into(), "2".into(), "1".into()));
    let proc = format!("/proc/{}", server.child.pid);
    for namespace in ["mnt", "net", "ipc", "uts"] {
        let of = |process: &str| fs::read_link(format!("{process}/ns/{namespace}")).unwrap();
        assert_ne!(of(&proc), of("/proc/self"), "{namespace}");
    }
    assert_eq!(fs::read_dir(format!("{proc}/root")).unwrap().count(), 0);
    assert!(fs::write(format!("{proc}/root/file"), "x").is_err());
    let mounts = server.proc("mountinfo");
    assert!(mounts.lines().count() == 1 && mounts.contains(" / / ro,nosuid,nodev,noexec"), "{mounts}");
    let limits = server.proc("limits");
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(limit("Max core file size"), "0 0");
    assert_eq!(limit("Max file size"), "0 0");
    assert_eq!(limit("Max processes"), "0 0");
    // Not even others of the same user can look into it.
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(format!("{proc}/environ")).unwrap());
    assert_eq!(owner, 0);
    // Standard streams that lead nowhere, what waits for all the rest, and what was given.
    let entries =
        fs::read_dir(format!("{proc}/fd")).unwrap().map(|entry| fs::read_link(entry.unwrap().path()).unwrap());
    let all: Vec<_> = entries.map(|target| target.to_str().unwrap().to_owned()).collect();
    let of = |kind: &str| all.iter().filter(|target| target.starts_with(kind)).cloned().collect::<Vec<_>>();
    let (null, waiting, mut sockets) = (of("/dev/null"), of("anon_inode:"), of("socket:"));
    assert_eq!((null.len(), waiting.len(), null.len() + waiting.len() + sockets.len()), (3, 3, all.len()), "{all:?}");
    // Of a tokio that was built with signals three are a pair of its own, one of whose ends it has twice.
    sockets.sort();
    let twice = sockets.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert_eq!(sockets.len() - 3 * twice, 3, "control socket and two listeners: {all:?}");
    assert!(twice <= 1, "{all:?}");
}

#[tokio::test]
#[ignore = "needs root"]
async fn it_can_do_its_work_so() {
    let server = Server::start().await;
    let token = server.exec(ALL).await;
    SpdyClient::exec(&server, token, &["error", "stdin", "stdout", "stderr"]).await;
    server.session(token).await;
}
