//! Sessions of commands and of connections to ports; the streaming server's part is played by the test.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod support;

use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use peapod_shim_protocol::extension::{OpenExecRequest, OpenPortForwardRequest, SandboxOptions};
use peapod_streaming_protocol::{CommandStreams, ToSession, ToShim};
use serde_json::json;
use support::server::{ALL, Client, STDOUT, Server, TERMINAL, next, rest, until, wire};
use support::{LIMIT, context, refusal, sh, wait_for, with_runtimes};
use tokio::time::timeout;

#[test]
#[ignore = "needs root"]
fn a_commands_streams_are_its_clients() {
    with_runtimes(async |pod| {
        pod.plain().await;
        let server = Server::new(&pod);
        pod.run(&sh("c1", "exec sleep 600")).await;
        let mut client = server.command(&pod, "e1", "cat; echo err >&2; exit 4", ALL).await;
        assert_eq!(client.streams, ALL);
        let (mut stdin, stdout, stderr) = (client.stream(), client.stream(), client.stream());
        stdin.write_all(b"through").unwrap();
        drop(stdin);
        assert_eq!((rest(stdout).await.as_str(), rest(stderr).await.as_str()), ("through", "err\n"));
        assert_eq!(client.end().await, ToSession::Exited { code: 4 });
        // It is forgotten with its session.
        assert_eq!(refusal(pod.delete("c1", "e1").await).0, ttrpc::Code::NOT_FOUND);
        let mut client = server.command(&pod, "e1", "kill -9 $$", STDOUT).await;
        assert_eq!(rest(client.stream()).await, "");
        assert_eq!(client.end().await, ToSession::Exited { code: 137 });
        pod.finish().await;
    });
}

#[test]
#[ignore = "needs root"]
fn a_commands_end_does_not_wait_for_what_it_left() {
    with_runtimes(async |pod| {
        pod.plain().await;
        let server = Server::new(&pod);
        pod.run(&sh("c1", "exec sleep 600")).await;
        let client = server.command(&pod, "e1", "sleep 300 & exit 0", STDOUT).await;
        assert_eq!(client.end().await, ToSession::Exited { code: 0 });
        pod.finish().await;
    });
}

#[test]
#[ignore = "needs root"]
fn a_terminal_is_its_clients_and_has_its_size() {
    with_runtimes(async |pod| {
        pod.plain().await;
        let server = Server::new(&pod);
        pod.run(&sh("c1", "exec sleep 600")).await;
        let script = "test -t 1 && echo terminal; read line; stty size; echo \"got $line\"; exit 5";
        let connection = server.exec(&pod, "e1", script, TERMINAL, false).await;
        // Before there is one.
        connection.send(&ToShim::Resize { width: 80, height: 24 }, &[]).await.unwrap();
        connection.send(&ToShim::Resize { width: 101, height: 31 }, &[]).await.unwrap();
        let mut client = Client::of(connection).await;
        let (mut stdin, stdout) = (client.stream(), client.stream());
        let stdout = until(stdout, "terminal\r\n").await;
        stdin.write_all(b"word\n").unwrap();
        let text = rest(stdout).await;
        assert!(text.contains("31 101") && text.contains("got word"), "{text:?}");
        assert_eq!(client.end().await, ToSession::Exited { code: 5 });

        let mut client =
            server.command(&pod, "e2", "trap 'stty size; exit 0' WINCH; echo ready; read line", TERMINAL).await;
        let (_stdin, stdout) = (client.stream(), client.stream());
        let stdout = until(stdout, "ready\r\n").await;
        client.connection.send(&ToShim::Resize { width: 7, height: 9 }, &[]).await.unwrap();
        let text = rest(stdout).await;
        assert!(text.contains("9 7"), "{text:?}");
        assert_eq!(client.end().await, ToSession::Exited { code: 0 });
        pod.finish().await;
    });
}

#[test]
#[ignore = "needs root"]
fn a_command_ends_with_its_client_or_is_left() {
    with_runtimes(async |pod| {
        pod.plain().await;
        let server = Server::new(&pod);
        pod.run(&sh("c1", "exec sleep 600")).await;
        let (alone, children) = (pod.cgroup("c1").pids().unwrap().len(), pod.children());
        let mut client = server.command(&pod, "e1", "sleep 300 & echo ready; sleep 300", STDOUT).await;
        drop(until(client.stream(), "ready\n").await);
        drop(client);
        wait_for("the end of all of its session", || pod.cgroup("c1").pids().unwrap().len() == alone);
        // Its runtime may be making it just then.
        drop(server.exec(&pod, "e2", "sleep 300", STDOUT, false).await);
        wait_for("its end", || pod.cgroup("c1").pids().unwrap().len() == alone && pod.children() == children);

        for (exec, streams) in [("e3", STDOUT), ("e4", TERMINAL)] {
            // More than any pipe or terminal holds: it would wait, or be killed, if nobody read it.
            let script = format!("sleep 0.3; yes | head -n 100000; touch /{exec}; sleep 300");
            drop(Client::of(server.exec(&pod, exec, &script, streams, true).await).await);
            wait_for("what it does later", || pod.bundle("c1").join("upper").join(exec).exists());
        }
        pod.finish().await;
    });
}

#[test]
#[ignore = "needs root"]
fn what_can_not_be_started_is_told() {
    with_runtimes(async |pod| {
        pod.plain().await;
        let server = Server::new(&pod);
        let (session, token) = server.expect();
        let mut request = OpenExecRequest {
            session,
            container_id: "c1".to_owned(),
            exec_id: "e1".to_owned(),
            process: json!({"args": ["/no/such"], "cwd": "/", "user": {"uid": 0, "gid": 0}}).to_string().into_bytes(),
            streams: wire(STDOUT),
            ..Default::default()
        };
        let open = async |request: &OpenExecRequest| pod.extension.open_exec(context(), request).await;
        assert_eq!(refusal(open(&request).await).0, ttrpc::Code::NOT_FOUND);
        pod.run(&sh("c1", "exec sleep 600")).await;
        open(&request).await.unwrap();
        let connection = server.accept(token).await;
        let Some(ToSession::Failed { text }) = next(&connection).await else { panic!("it runs") };
        assert!(text.contains("/no/such"), "{text}");
        assert_eq!(next(&connection).await, None);

        for streams in [CommandStreams::default(), CommandStreams { tty: true, ..ALL }] {
            request.streams = wire(streams);
            assert_eq!(refusal(open(&request).await).0, ttrpc::Code::INVALID_ARGUMENT);
        }
        request.streams = wire(STDOUT);
        request.session.mut_or_insert_default().token = "short".to_owned();
        assert_eq!(refusal(open(&request).await).0, ttrpc::Code::INVALID_ARGUMENT);
        // Nobody listens: nothing is left of it.
        let (mut session, _) = server.expect();
        session.mut_or_insert_default().socket = pod.path().join("nobody").to_string_lossy().into_owned();
        request.session = session;
        assert_eq!(refusal(open(&request).await).0, ttrpc::Code::INTERNAL);
        assert_eq!(refusal(pod.delete("c1", "e1").await).0, ttrpc::Code::NOT_FOUND);
        pod.finish().await;
    });
}

#[test]
#[ignore = "needs root"]
fn ports_are_those_of_the_pods_network() {
    with_runtimes(async |pod| {
        // Whoever listens in the pod has left there when the shim dials.
        let network = pod.path().join("network");
        File::create(&network).unwrap();
        let path = network.clone();
        let listener = std::thread::spawn(move || {
            use nix::mount::{MsFlags, mount};
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            let none: Option<&str> = None;
            mount(Some("/proc/thread-self/ns/net"), &path, none, MsFlags::MS_BIND, none).unwrap();
            let up = std::process::Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
            assert!(up.success());
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
        });
        let listener = listener.join().unwrap();
        let port = listener.local_addr().unwrap().port();
        pod.create(&network.to_string_lossy(), SandboxOptions::new()).await.unwrap();
        let server = Server::new(&pod);
        let (session, token) = server.expect();
        let request = OpenPortForwardRequest { session, sandbox_id: pod.id.clone(), ..Default::default() };
        pod.extension.open_port_forward(context(), &request).await.unwrap();
        let connection = server.accept(token).await;
        for id in 0..200 {
            connection.send(&ToShim::Dial { id, port: if id % 2 == 0 { port } else { 1 } }, &[]).await.unwrap();
        }
        let mut seen = [false; 200];
        for _ in 0..200 {
            let (said, sockets) = timeout(LIMIT, connection.recv()).await.unwrap().unwrap().unwrap();
            let id = match said {
                ToSession::Dialled { id } => {
                    assert_eq!(id % 2, 0);
                    let [socket]: [OwnedFd; 1] = sockets.try_into().unwrap();
                    assert_eq!(TcpStream::from(socket).peer_addr().unwrap().port(), port);
                    drop(listener.accept().unwrap());
                    id
                }
                ToSession::NotDialled { id, text } => {
                    assert_eq!((id % 2, text.as_str()), (1, "can't connect to port 1 of the pod: connection refused"));
                    id
                }
                other => panic!("{other:?}"),
            };
            assert!(!std::mem::replace(&mut seen[id as usize], true));
        }
        drop(connection);
        let unknown =
            OpenPortForwardRequest { session: server.expect().0, sandbox_id: "other".into(), ..Default::default() };
        refusal(pod.extension.open_port_forward(context(), &unknown).await);
        nix::mount::umount2(&network, nix::mount::MntFlags::MNT_DETACH).unwrap();
        pod.finish().await;
    });
}

#[test]
#[ignore = "needs root"]
fn sessions_leave_nothing_and_are_bounded() {
    with_runtimes(async |pod| {
        pod.plain().await;
        let server = Server::new(&pod);
        let mut open = Vec::new();
        let ask = async || {
            let (session, token) = server.expect();
            let request = OpenPortForwardRequest { session, sandbox_id: pod.id.clone(), ..Default::default() };
            pod.extension.open_port_forward(context(), &request).await.map(|_| token)
        };
        let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", pod.shim.id())).unwrap().count();
        let before = descriptors();
        let refused = loop {
            match ask().await {
                Ok(token) => open.push(server.accept(token).await),
                Err(error) => break refusal::<()>(Err(error)),
            }
        };
        assert_eq!((refused.0, open.len()), (ttrpc::Code::RESOURCE_EXHAUSTED, 256));
        drop(open);
        wait_for("the end of all", || descriptors() == before);
        let token = ask().await.unwrap();
        drop(server.accept(token).await);
        wait_for("its end", || descriptors() == before);
        pod.finish().await;
    });
}
