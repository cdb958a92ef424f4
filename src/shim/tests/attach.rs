//! Sessions that are attached to a container; the streaming server's part is played by the test.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod support;

use std::fs::File;
use std::io::Write;

use peapod_streaming_protocol::{CommandStreams, ToSession, ToShim};
use support::server::{ALL, STDOUT, Server, TERMINAL, rest, until};
use support::{Pod, context, sh, wait_for, with_runtimes};

/// A container whose input is a FIFO, as the daemon makes it.
fn with_stdin(pod: &Pod, id: &str, script: &str) -> support::Plan {
    let fifo = pod.path().join(format!("{id}.stdin"));
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    support::Plan { stdin: fifo.to_string_lossy().into_owned(), ..sh(id, script) }
}

#[test]
#[ignore = "needs root"]
fn several_attach_and_hear_the_same() {
    with_runtimes(async |pod| {
        pod.plain().await;
        let server = Server::new(&pod);
        let script = "echo before; while read line; do echo \"$line\"; echo \"$line\" >&2; done; exit 3";
        pod.run(&with_stdin(&pod, "c1", script)).await;
        wait_for("the line before", || pod.lines("c1").len() == 1);
        let mut first = server.attach(&pod, "c1", ALL, true).await;
        let mut second = server.attach(&pod, "c1", ALL, false).await;
        let (mut to_first, out, err) = (first.stream(), first.stream(), first.stream());
        let (mut to_second, second_out, second_err) = (second.stream(), second.stream(), second.stream());
        to_second.write_all(b"two\n").unwrap();
        let out = until(out, "two\n").await;
        // The input goes on when one of them leaves it that was not told to end it.
        drop(to_second);
        to_first.write_all(b"one\n").unwrap();
        let out = until(out, "one\n").await;
        drop(to_first);
        assert_eq!(rest(out).await, "");
        for text in [rest(err).await, rest(second_out).await, rest(second_err).await] {
            assert_eq!(text, "two\none\n");
        }
        assert_eq!(first.end().await, ToSession::Exited { code: 3 });
        assert_eq!(second.end().await, ToSession::Exited { code: 3 });
        assert_eq!(pod.exited("c1").await.code, 3);
        pod.finish().await;
    });
}

#[test]
#[ignore = "needs root"]
fn what_a_client_wrote_arrives_when_it_has_gone() {
    with_runtimes(async |pod| {
        pod.plain().await;
        let server = Server::new(&pod);
        pod.run(&with_stdin(&pod, "c1", "cat; echo end")).await;
        let mut client = server.attach(&pod, "c1", ALL, true).await;
        let mut stdin = client.stream();
        stdin.write_all(b"all\nof it\n").unwrap();
        drop(stdin);
        drop(client);
        assert_eq!(pod.exited("c1").await.code, 0);
        assert_eq!(pod.lines("c1"), ["stdout F all", "stdout F of it", "stdout F end"]);
        pod.finish().await;
    });
}

#[test]
#[ignore = "needs root"]
fn a_terminal_and_a_container_without_a_log_are_attached_to() {
    with_runtimes(async |pod| {
        pod.plain().await;
        let server = Server::new(&pod);
        let terminal = sh("c1", "echo ready; read line; stty size; echo \"got $line\"; exit 2");
        pod.run(&support::Plan { terminal: true, ..terminal }).await;
        wait_for("the first line", || pod.lines("c1").len() == 1);
        let mut client = server.attach(&pod, "c1", ALL, false).await;
        assert_eq!(client.streams, TERMINAL);
        client.connection.send(&ToShim::Resize { width: 99, height: 22 }, &[]).await.unwrap();
        let (mut stdin, stdout) = (client.stream(), client.stream());
        stdin.write_all(b"word\n").unwrap();
        let text = rest(stdout).await;
        assert!(text.contains("22 99") && text.contains("got word"), "{text:?}");
        assert_eq!(client.end().await, ToSession::Exited { code: 2 });

        let mut request = pod.create_request(&sh("c2", "while [ ! -e /go ]; do sleep 0.02; done; echo heard"));
        (request.stdout, request.stderr) = (String::new(), String::new());
        pod.task.create(context(), &request).await.unwrap();
        pod.start_exec("c2", "").await.unwrap();
        let mut client = server.attach(&pod, "c2", ALL, false).await;
        // It has no input.
        assert_eq!(client.streams, CommandStreams { stdin: false, ..ALL });
        File::create(pod.bundle("c2").join("rootfs/go")).unwrap();
        assert_eq!(rest(client.stream()).await, "heard\n");
        assert_eq!(client.end().await, ToSession::Exited { code: 0 });
        pod.finish().await;
    });
}

#[test]
#[ignore = "needs root"]
fn a_client_that_does_not_read_holds_up_nobody() {
    with_runtimes(async |pod| {
        pod.plain().await;
        let server = Server::new(&pod);
        pod.run(&sh("c1", "while [ ! -e /go ]; do sleep 0.02; done; yes | head -n 1000000; echo done")).await;
        let mut slow = server.attach(&pod, "c1", STDOUT, false).await;
        let mut quick = server.attach(&pod, "c1", STDOUT, false).await;
        File::create(pod.bundle("c1").join("rootfs/go")).unwrap();
        let all = rest(quick.stream()).await;
        assert!(all.ends_with("y\ndone\n") && all.len() == 2_000_005, "{}", all.len());
        assert_eq!(quick.end().await, ToSession::Exited { code: 0 });
        assert_eq!(pod.exited("c1").await.code, 0);
        assert!(rest(slow.stream()).await.len() < all.len());
        assert_eq!(slow.end().await, ToSession::Lagged);
        pod.finish().await;
    });
}
