//! Where metrics are served: a port that is taken, a socket.

use std::collections::BTreeSet;
use std::net::TcpListener;

use peapod_tests::{Options, free_port, peapod, peapod_with, wait_for, wait_some};
use tokio::net::{TcpStream, UnixStream};

use super::{documented, scrape, scrape_of};

#[test]
fn an_address_that_is_taken_costs_the_metrics_alone() {
    let port = free_port();
    let taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    peapod_with(&Options::new().set(format!("metrics.address=127.0.0.1:{port}")), async |daemon| {
        let words = ["ERROR", "metrics can't be served there"];
        wait_for("it says so", async || {
            daemon.log_tail(1000).lines().any(|line| words.iter().all(|word| line.contains(word)))
        })
        .await;
        let pod = daemon.pod("all-the-same").run().await;
        drop(taken);
        wait_for("it is tried again", async || TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
        assert_eq!(scrape(port).await.sum("peapod_pods", &[("state", "ready")]), 1.0);
        pod.remove().await.unwrap();
    });
}

#[test]
fn a_unix_socket_is_roots_and_needs_a_restart() {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    peapod(async |daemon| {
        let path = daemon.run_root().join("metrics.sock");
        let folder = daemon.path("config.d");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("metrics.toml"), format!("[metrics]\naddress = {path:?}\n")).unwrap();
        daemon.reload();
        wait_for("it says that this needs a restart", async || {
            let log = daemon.log_tail(1000);
            log.lines().any(|line| line.contains("metrics.address") && line.contains("next start"))
        })
        .await;
        assert!(!path.exists(), "nothing listens before");
        for _ in 0..2 {
            // The second time over what the first one left.
            daemon.end(nix::sys::signal::Signal::SIGKILL).await;
            daemon.start_again().await;
            let stream = wait_some("it is served", async || UnixStream::connect(&path).await.ok()).await;
            let told = scrape_of(stream).await;
            assert_eq!(told.families.keys().collect::<BTreeSet<_>>(), documented().keys().collect());
            let file = std::fs::symlink_metadata(&path).unwrap();
            assert!(file.file_type().is_socket());
            assert_eq!(file.permissions().mode() & 0o777, 0o660);
        }
        daemon.end(nix::sys::signal::Signal::SIGTERM).await;
        assert!(!path.exists(), "it went with its daemon");
        std::fs::write(&path, "somebody's").unwrap();
        daemon.start_again().await;
        wait_for("it says that there is something else", async || {
            daemon.log_tail(1000).lines().any(|line| line.contains("choose another path for metrics.address"))
        })
        .await;
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "somebody's");
        std::fs::remove_file(&path).unwrap();
        wait_some("then it is served", async || UnixStream::connect(&path).await.ok()).await;
    });
}
