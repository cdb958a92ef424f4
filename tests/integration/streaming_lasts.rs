//! Sessions and the deaths around them: of the daemon, which they outlive, and of the streaming server.

use std::net::{Ipv4Addr, SocketAddr};

use peapod_tests::{Options, on_each_runtime, peapod, peapod_with, pids, processes, wait_for, wait_some};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

#[test]
fn sessions_outlive_the_daemon() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("lasting").run().await;
        let main = pod.container("main").sh("while read line; do echo \"main $line\"; done").config(|config| {
            config.stdin = true;
        });
        let main = main.start().await;
        let mut exec = daemon.dialogue(&["exec", "-i", &main.id, "sh", "-c", "cat; exit 4"]);
        let mut shell = daemon.terminal_dialogue((24, 80), &["exec", "-it", &main.id, "sh"]);
        let mut attach = daemon.dialogue(&["attach", "-r", "websocket", "-i", &main.id]);
        for (round, stage) in ["before", "without", "after"].into_iter().enumerate() {
            match round {
                0 => {}
                1 => daemon.kill().await,
                _ => daemon.start_again().await,
            }
            exec.say(&format!("{stage} one\n")).await;
            exec.hear(&format!("{stage} one\n")).await;
            shell.say(&format!("echo {stage} $((round+1))\n")).await;
            shell.hear(&format!("{stage} 1")).await;
            attach.say(&format!("{stage}\n")).await;
            attach.hear(&format!("main {stage}\n")).await;
        }
        // A new one beside those of the daemon before.
        assert_eq!(daemon.crictl_with(b"new", &["exec", "-i", &main.id, "cat"]).await.stdout, "new");
        exec.close();
        let (code, said) = exec.end().await;
        assert!(code != 0, "{said}");
        shell.say("exit\n").await;
        assert_eq!(shell.end().await.0, 0);
        attach.kill().await;
    });
}

#[test]
fn a_large_file_comes_through_a_port_while_the_daemon_dies() {
    const BYTES: usize = 64 << 20;
    peapod(async |daemon| {
        let pod = daemon.pod("large").run().await;
        let script = format!("while :; do head -c {BYTES} /dev/zero | nc -l -p 7000; done");
        let main = pod.container("main").sh(&script).start().await;
        // 7000, as the kernel writes it.
        let listening = "cat /proc/net/tcp /proc/net/tcp6 | grep -c :1B58 || :";
        wait_for("it listens", async || main.exec(listening).await.trim() != "0").await;
        let local = {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            listener.local_addr().unwrap().port()
        };
        let mut forward = daemon.dialogue(&["port-forward", &pod.id, &format!("{local}:7000")]);
        forward.hear("Forwarding from 127.0.0.1").await;
        let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, local))).await.unwrap();
        let (mut buffer, mut read, mut step) = (vec![0; 1 << 16], 0, 0);
        loop {
            let count = stream.read(&mut buffer).await.unwrap();
            if count == 0 {
                break;
            }
            read += count;
            match step {
                0 if read > BYTES / 4 => daemon.kill().await,
                1 if read > BYTES / 2 => daemon.start_again().await,
                _ => continue,
            }
            step += 1;
        }
        assert_eq!((read, step), (BYTES, 2));
        forward.kill().await;
    });
}

#[test]
fn nothing_is_left_when_the_daemon_dies_while_a_session_is_opened() {
    peapod(async |daemon| {
        for stage in ["session-claimed", "session-opened"] {
            let pod = daemon.pod(stage).run().await;
            let main = pod.container("main").sh("sleep 1000").start().await;
            daemon.kill().await;
            daemon.start_again_to_die_at(stage).await;
            let command = ["exec", &main.id, "sleep", "43219"];
            let client = daemon.crictl_with(b"", &command);
            let dies = async {
                wait_for(&format!("the daemon dies at {stage}"), async || !daemon.is_alive()).await;
                daemon.start_again().await;
                if stage == "session-opened" {
                    peapod_tests::kill(wait_some("the command", async || pids("sleep 43219").pop()).await);
                }
            };
            let (output, ()) = tokio::join!(client, dies);
            assert_ne!(output.code, 0, "{stage}: {output:?}");
            wait_for("nothing of it is left", async || processes("sleep 43219") == 0).await;
            assert_eq!(daemon.crictl_with(b"x", &["exec", "-i", &main.id, "cat"]).await.stdout, "x");
            pod.remove().await.unwrap();
        }
    });
}

#[test]
fn another_server_takes_the_place_of_one_that_died() {
    peapod(async |daemon| {
        let pod = daemon.pod("again").run().await;
        let main = pod.container("main").sh("sleep 1000").start().await;
        let server = async || wait_some("a streaming server", async || daemon.streaming_servers().pop()).await;
        let first = server().await;
        let mut client = daemon.dialogue(&["exec", &main.id, "sh", "-c", "echo ready; sleep 43218"]);
        client.hear("ready\n").await;
        peapod_tests::kill(first);
        // Its connection has just ended, which it takes for success or not.
        client.end().await;
        wait_for("the command's end", async || processes("sleep 43218") == 0).await;
        wait_for("another server", async || daemon.streaming_servers().iter().any(|pid| *pid != first)).await;
        wait_for("a session", async || daemon.crictl_with(b"x", &["exec", "-i", &main.id, "cat"]).await.stdout == "x")
            .await;
        assert_eq!(daemon.streaming_servers().len(), 1);
    });
}

#[test]
fn a_server_ends_with_its_last_session_once_its_daemon_has() {
    peapod(async |daemon| {
        let pod = daemon.pod("ends").run().await;
        let main = pod.container("main").sh("sleep 1000").start().await;
        wait_for("a server", async || daemon.streaming_servers().len() == 1).await;
        let first = daemon.streaming_servers();
        let mut client = daemon.dialogue(&["exec", "-i", &main.id, "cat"]);
        client.say("one\n").await;
        client.hear("one\n").await;
        daemon.end_gracefully().await;
        client.say("two\n").await;
        client.hear("two\n").await;
        assert_eq!(daemon.streaming_servers(), first);
        client.close();
        assert_eq!(client.end().await.0, 0);
        wait_for("the server's end", async || daemon.streaming_servers().is_empty()).await;
        daemon.start_again().await;
    });
}

/// Certificates of localhost, each its own authority, with their keys.
const CERTIFICATES: [(&str, &str); 2] = [
    (
        include_str!("../../src/streaming/tests/server/certificates/first.crt"),
        include_str!("../../src/streaming/tests/server/certificates/first.key"),
    ),
    (
        include_str!("../../src/streaming/tests/server/certificates/second.crt"),
        include_str!("../../src/streaming/tests/server/certificates/second.key"),
    ),
];

#[test]
fn clients_speak_tls_with_the_certificate_that_the_files_have() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("crt"), dir.path().join("key"));
    let write = |(crt, secret): (&str, &str)| {
        std::fs::write(&certificate, crt).unwrap();
        std::fs::write(&key, secret).unwrap();
    };
    write(CERTIFICATES[0]);
    let options = Options::new()
        .set(format!("streaming.tls_cert={:?}", certificate.to_str().unwrap()))
        .set(format!("streaming.tls_key={:?}", key.to_str().unwrap()));
    peapod_with(&options, async |daemon| {
        let pod = daemon.pod("tls").run().await;
        let main = pod.container("main").sh("sleep 1000").start().await;
        let authorities = CERTIFICATES.map(|(crt, _)| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            std::io::Write::write_all(&mut file, crt.as_bytes()).unwrap();
            file
        });
        let says = async |authority: &tempfile::NamedTempFile| {
            // crictl wants to have a certificate of its own, which nobody asks it for.
            let (authority, key) = (authority.path().to_str().unwrap(), key.to_str().unwrap());
            let tls = ["--tls-ca", authority, "--tls-cert", certificate.to_str().unwrap(), "--tls-key", key];
            let command = [&["exec"][..], &tls, &[&main.id, "echo", "hello"]].concat();
            daemon.crictl_with(b"", &command).await.stdout
        };
        assert_eq!(says(&authorities[0]).await, "hello\n");
        assert_eq!(says(&authorities[1]).await, "", "somebody else's certificate");
        write(CERTIFICATES[1]);
        wait_for("the other certificate", async || says(&authorities[1]).await == "hello\n").await;
        assert_eq!(says(&authorities[0]).await, "");
    });
}

/// A URL is good for as long as the daemon lives, and a port that somebody else is to find for longer.
#[test]
fn a_port_goes_from_one_daemon_to_the_next() {
    let port = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let options = Options::new().set(format!("streaming.address=\"127.0.0.1:{port}\""));
    peapod_with(&options, async |daemon| {
        let pod = daemon.pod("port").run().await;
        let main = pod.container("main").sh("sleep 1000").start().await;
        let mut clients = Vec::new();
        for round in 0..3 {
            // Its server stays with it.
            let mut client = daemon.dialogue(&["exec", "-i", &main.id, "cat"]);
            client.say("one\n").await;
            client.hear("one\n").await;
            clients.push(client);
            if round == 1 {
                daemon.end_gracefully().await;
            } else {
                daemon.kill().await;
            }
            daemon.start_again().await;
            // At the first try.
            let output = daemon.crictl_with(b"new", &["exec", "-i", &main.id, "cat"]).await;
            assert_eq!(output.stdout, "new", "{output:?}");
        }
        assert_eq!(daemon.streaming_servers().len(), clients.len() + 1);
        for mut client in clients {
            client.say("two\n").await;
            client.hear("two\n").await;
            client.close();
            assert_eq!(client.end().await.0, 0);
        }
        wait_for("the servers' ends", async || daemon.streaming_servers().len() == 1).await;
    });
}

#[test]
fn clients_of_a_container_that_reads_nothing_leave_nothing() {
    peapod(async |daemon| {
        let pod = daemon.pod("deaf").run().await;
        let main = pod.container("main").sh("while :; do echo tick; sleep 0.1; done");
        let main = main.config(|config| config.stdin = true).start().await;
        let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", pod.shim_pid())).unwrap().count();
        let before = descriptors();
        for _ in 0..3 {
            let mut client = daemon.dialogue(&["attach", "-i", &main.id]);
            // More than two pipes hold.
            client.say(&"x".repeat(200_000)).await;
            client.hear("tick\ntick\n").await;
            client.kill().await;
        }
        wait_for("the shim lets go", async || descriptors() == before).await;
    });
}

#[test]
fn the_end_of_a_pod_waits_for_no_session() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("busy").run().await;
        let main = pod.container("main").sh("yes").config(|config| config.stdin = true).start().await;
        let other = pod.container("other").sh("while :; do nc -l -p 7000 -e sleep 1000; done").start().await;
        let mut cat = daemon.dialogue(&["exec", "-i", &main.id, "cat"]);
        cat.say("one\n").await;
        cat.hear("one\n").await;
        // Nobody reads what these have to say.
        let mut lazy = daemon.dialogue(&["attach", "-i", &main.id]);
        lazy.hear("y\n").await;
        let loud = daemon.dialogue(&["exec", &other.id, "yes"]);
        let local = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut forward = daemon.dialogue(&["port-forward", &pod.id, &format!("{local}:7000")]);
        forward.hear("Forwarding from 127.0.0.1").await;
        let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, local))).await.unwrap();
        let began = std::time::Instant::now();
        main.stop(0).await.unwrap();
        pod.stop().await.unwrap();
        pod.remove().await.unwrap();
        let took = began.elapsed();
        assert!(took < std::time::Duration::from_secs(10), "{took:?}");
        cat.end().await;
        lazy.end().await;
        loud.end().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
        forward.kill().await;
    });
}
