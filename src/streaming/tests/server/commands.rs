//! Exec and attach.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::time::Duration;

use peapod_streaming_protocol::{CommandStreams, SessionKind, ToDaemon, ToServer, ToSession, ToShim};
use tokio_tungstenite::tungstenite::Message;

use crate::socket::SocketClient;
use crate::spdy::{Frame, Session, SpdyClient, data, upgrade};
use crate::stage::{ALL, Server, TERMINAL, Times, soon, until};

pub(crate) const KINDS: [&str; 4] = ["error", "stdin", "stdout", "stderr"];

fn json(session: &Session, stream: u32) -> serde_json::Value {
    serde_json::from_str(&session.text(stream)).unwrap()
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_command_from_its_input_to_its_end() {
    let server = Server::start().await;
    let token = server.exec(ALL).await;
    let (mut client, ids) = SpdyClient::exec(&server, token, &KINDS).await;
    let [error, stdin, stdout, stderr] = ids.try_into().unwrap();
    let shim = server.session(token).await;
    let mut command = shim.start(ALL).await;
    let input = command.read_input();
    client.data(stdin, b"hello ").await;
    client.send(&data(stdin, b"world", true)).await;
    // The end of its input is no end of the session.
    assert_eq!(soon(input).await.unwrap(), b"hello world");
    command.write("out");
    assert_eq!(client.read(stdout, 3).await, b"out");
    command.stderr.take().unwrap().write_all(b"err").unwrap();
    client.ping(7).await;
    shim.say(ToSession::Exited { code: 7 }).await;
    command.write(" and more");
    drop(command);
    let session = client.rest().await;
    assert_eq!((session.text(stdout), session.text(stderr)), (" and more".to_owned(), "err".to_owned()));
    // The status comes as the last.
    assert_eq!((session.ended.len(), session.ended.last(), session.gone_away), (3, Some(&error), true));
    let status = json(&session, error);
    assert_eq!((&status["status"], &status["reason"]), (&"Failure".into(), &"NonZeroExitCode".into()));
    assert_eq!(status["details"]["causes"][0]["message"], "7");
    assert_eq!(shim.hear().await, None);
    // Nothing of it is left.
    let idle = server.descriptors();
    until("descriptors are closed", || server.descriptors() == idle).await;
    assert_eq!(shim.hear().await, None);
}

#[tokio::test]
#[ignore = "needs root"]
async fn each_version_over_spdy() {
    let server = Server::start().await;
    for (number, name) in (1..).zip([
        "channel.k8s.io",
        "v2.channel.k8s.io",
        "v3.channel.k8s.io",
        "v4.channel.k8s.io",
        "v5.channel.k8s.io",
    ]) {
        for code in [0, 3] {
            let token = server.exec(TERMINAL).await;
            let offer = format!("v9.channel.k8s.io, {name},channel.k8s.io");
            let (mut client, answer) = upgrade(&server, "exec", token, &offer).await;
            assert_eq!(answer.headers("X-Stream-Protocol-Version"), [name]);
            let kinds: &[_] = if number < 3 { &KINDS[..3] } else { &["error", "stdin", "stdout", "resize"] };
            let ids = client.open_kinds(kinds).await;
            let shim = server.session(token).await;
            let command = shim.start(TERMINAL).await;
            if number >= 3 {
                client.data(ids[3], b"{\"Width\":80,\"Height\":24}\n{\"Width\":132,").await;
                assert_eq!(shim.hear().await, Some(ToShim::Resize { width: 80, height: 24 }));
                client.data(ids[3], b"\"Height\":50}").await;
                assert_eq!(shim.hear().await, Some(ToShim::Resize { width: 132, height: 50 }));
            }
            drop(command);
            shim.say(ToSession::Exited { code }).await;
            let session = client.rest().await;
            let expected = match (number, code) {
                (1..4, 0) => String::new(),
                (1..4, _) => "command terminated with exit code 3".to_owned(),
                (_, 0) => r#"{"metadata":{},"status":"Success"}"#.to_owned(),
                _ => json(&session, ids[0]).to_string(),
            };
            match number {
                1 => assert_eq!(session.reset, [ids[0]]),
                4.. if code != 0 => assert_eq!(json(&session, ids[0])["details"]["causes"][0]["message"], "3"),
                _ => {}
            }
            if number < 4 || code == 0 {
                assert_eq!(session.text(ids[0]), expected, "{name}");
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs root"]
async fn each_protocol_over_websocket() {
    let server = Server::start().await;
    for protocol in [
        Some("v5.channel.k8s.io"),
        Some("v4.channel.k8s.io"),
        Some("v4.base64.channel.k8s.io"),
        Some("channel.k8s.io"),
        Some("base64.channel.k8s.io"),
        None,
    ] {
        let token = server.exec(ALL).await;
        let mut client = SocketClient::connect(&server, "exec", token, protocol).await;
        // By it a client knows that it can begin.
        assert_eq!(client.next().await, Some((1, vec![])));
        client.send(0, b"in").await;
        client.send(4, b"{\"Width\":80,\"Height\":24}").await;
        client.send(9, b"nobody knows this channel").await;
        let shim = server.session(token).await;
        let mut command = shim.start(ALL).await;
        let mut input = [0; 2];
        command.stdin.as_mut().unwrap().read_exact(&mut input).unwrap();
        assert_eq!(&input, b"in");
        command.write("out");
        assert_eq!(client.next().await, Some((1, b"out".to_vec())));
        if protocol == Some("v5.channel.k8s.io") {
            client.socket.send_message(Message::binary(vec![255, 0])).await;
            assert_eq!(soon(command.read_input()).await.unwrap(), b"");
        }
        command.stderr.as_mut().unwrap().write_all(b"err").unwrap();
        drop(command);
        shim.say(ToSession::Exited { code: 9 }).await;
        let [_, out, err, error] = client.rest().await;
        assert_eq!((out, err), (vec![], b"err".to_vec()));
        let error = String::from_utf8(error).unwrap();
        if protocol.is_some_and(|protocol| protocol.starts_with('v')) {
            let status: serde_json::Value = serde_json::from_str(&error).unwrap();
            assert_eq!(status["details"]["causes"][0]["message"], "9");
        } else {
            assert_eq!(error, "command terminated with exit code 9");
        }
    }
}

trait SendMessage {
    async fn send_message(&mut self, message: Message);
}

impl SendMessage for tokio_tungstenite::WebSocketStream<tokio::net::TcpStream> {
    async fn send_message(&mut self, message: Message) {
        futures_util::SinkExt::send(self, message).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs root"]
async fn pings_are_answered_while_nothing_happens() {
    let server = Server::start().await;
    let token = server.exec(ALL).await;
    let (mut client, _) = SpdyClient::exec(&server, token, &KINDS).await;
    client.ping(1).await;
    assert_eq!(client.next().await, Some(Frame::Ping(1)));
    let token = server.exec(ALL).await;
    let mut socket = SocketClient::connect(&server, "exec", token, Some("v5.channel.k8s.io")).await;
    assert_eq!(socket.next().await, Some((1, vec![])));
    socket.socket.send_message(Message::Ping("there?".into())).await;
    let answer = soon(futures_util::StreamExt::next(&mut socket.socket)).await.unwrap().unwrap();
    assert_eq!(answer, Message::Pong("there?".into()));
}

#[tokio::test]
#[ignore = "needs root"]
async fn what_comes_before_the_session_waits_for_it() {
    let server = Server::start().await;
    let token = server.exec(TERMINAL).await;
    let (mut client, _) = upgrade(&server, "exec", token, "v4.channel.k8s.io").await;
    // All at once, as no client does it.
    let mut bytes = Vec::new();
    let mut ids = Vec::new();
    for kind in ["error", "stdin", "resize", "stdout"] {
        let (id, frame) = client.opening(&[("streamtype", kind)]);
        bytes.extend(frame);
        ids.push(id);
        match kind {
            "stdin" => bytes.extend(data(id, &[b'x'; 100_000], true)),
            "resize" => {
                bytes.extend(data(id, b"{\"Width\":80,\"Height\":24}{\"Width\":81,\"Height\":25}", false));
            }
            _ => {}
        }
    }
    client.send(&bytes).await;
    let shim = server.session(token).await;
    assert_eq!(shim.hear().await, Some(ToShim::Resize { width: 81, height: 25 }));
    let mut command = shim.start(TERMINAL).await;
    assert!(soon(command.read_input()).await.unwrap() == [b'x'; 100_000]);
}

#[tokio::test]
#[ignore = "needs root"]
async fn much_goes_through_and_comes_back() {
    const BYTES: usize = 64 << 20;
    let server = Server::start().await;
    let token = server.exec(ALL).await;
    let (mut client, ids) = SpdyClient::exec(&server, token, &KINDS).await;
    let shim = server.session(token).await;
    let mut command = shim.start(ALL).await;
    let (mut stdin, mut stdout) = (command.stdin.take().unwrap(), command.stdout.take().unwrap());
    let begin = std::time::Instant::now();
    let cat = std::thread::spawn(move || std::io::copy(&mut stdin, &mut stdout).unwrap());
    let block: Vec<u8> = (0..1u32 << 20).map(|n| (n % 251) as u8).collect();
    // Not more on the way than pipes and sockets hold, as this client does not read while it writes.
    let mut back = 0;
    for _ in 0..BYTES / block.len() {
        for piece in block.chunks(32 << 10) {
            client.data(ids[1], piece).await;
        }
        let bytes = client.read(ids[2], block.len()).await;
        assert!(bytes == block);
        back += bytes.len();
    }
    client.finish(ids[1]).await;
    assert_eq!((cat.join().unwrap(), back), (BYTES as u64, BYTES));
    println!("{BYTES} bytes there and back in {:?}", begin.elapsed());
    drop(command);
    shim.say(ToSession::Exited { code: 0 }).await;
    assert_eq!(json(&client.rest().await, ids[0])["status"], "Success");
    assert!(server.memory() < 16 << 10, "{} KiB", server.memory());
}

/// Nothing comes from the process that would have anybody look at its input again.
#[tokio::test]
#[ignore = "needs root"]
async fn much_goes_to_who_says_nothing() {
    const BYTES: usize = 16 << 20;
    let server = Server::start().await;
    let token = server.exec(ALL).await;
    let (mut client, ids) = SpdyClient::exec(&server, token, &KINDS).await;
    let shim = server.session(token).await;
    let mut command = shim.start(ALL).await;
    let mut stdin = command.stdin.take().unwrap();
    let reader = std::thread::spawn(move || std::io::copy(&mut stdin, &mut std::io::sink()).unwrap());
    let piece = vec![7; 32 << 10];
    for _ in 0..BYTES / piece.len() {
        soon(client.data(ids[1], &piece)).await;
    }
    client.finish(ids[1]).await;
    until("all is read", || reader.is_finished()).await;
    assert_eq!(reader.join().unwrap(), BYTES as u64);
    drop(command);
    shim.say(ToSession::Exited { code: 0 }).await;
    assert_eq!(json(&client.rest().await, ids[0])["status"], "Success");
}

#[tokio::test]
#[ignore = "needs root"]
async fn who_holds_the_output_open_holds_nothing_up() {
    let server = Server::start().await;
    let token = server.exec(ALL).await;
    let (mut client, ids) = SpdyClient::exec(&server, token, &KINDS).await;
    let shim = server.session(token).await;
    let mut command = shim.start(ALL).await;
    command.write("before the end");
    shim.say(ToSession::Exited { code: 0 }).await;
    let session = client.rest().await;
    assert_eq!((session.text(ids[2]).as_str(), session.ended.last()), ("before the end", Some(&ids[0])));
    assert_eq!(json(&session, ids[0])["status"], "Success");
}

#[tokio::test]
#[ignore = "needs root"]
async fn ends_that_are_no_exit() {
    let server = Server::start().await;
    let attach = SessionKind::Attach(ALL);
    for (kind, message, expected) in [
        (SessionKind::Exec(ALL), Some(ToSession::Failed { text: "no \"sh\"".to_owned() }), "no \"sh\""),
        (attach.clone(), Some(ToSession::Lagged), "faster than this client has read"),
        (attach.clone(), None, "the pod's shim has ended"),
        (attach, Some(ToSession::Exited { code: 5 }), ""),
    ] {
        let path = if matches!(kind, SessionKind::Attach(_)) { "attach" } else { "exec" };
        let token = server.register(kind).await;
        let (mut client, _) = upgrade(&server, path, token, "v4.channel.k8s.io").await;
        let ids = client.open_kinds(&KINDS).await;
        let shim = server.session(token).await;
        if let Some(message) = message {
            shim.say(message).await;
        }
        drop(shim);
        let status = json(&client.rest().await, ids[0]);
        if expected.is_empty() {
            assert_eq!(status["status"], "Success");
        } else {
            assert!(status["message"].as_str().unwrap().contains(expected), "{status}");
        }
    }
    // The daemon says no.
    let token = server.exec(ALL).await;
    let (mut client, ids) = SpdyClient::exec(&server, token, &KINDS).await;
    assert_eq!(server.news().await, ToDaemon::Claimed { token });
    let text = "the container has ended".to_owned();
    server.daemon().send(&ToServer::Refused { token, text }, &[]).await.unwrap();
    let status = json(&client.rest().await, ids[0]);
    assert_eq!(status["message"], "Internal error occurred: the container has ended");
}

#[tokio::test]
#[ignore = "needs root"]
async fn fewer_streams_than_promised() {
    let server = Server::start().await;
    let token = server.exec(ALL).await;
    let (mut client, ids) = SpdyClient::exec(&server, token, &KINDS).await;
    let shim = server.session(token).await;
    let mut command = shim.start(CommandStreams { stdout: true, ..CommandStreams::default() }).await;
    assert_eq!(client.next().await, Some(Frame::Data { stream: ids[3], payload: vec![], fin: true }));
    client.data(ids[1], &[0; 500_000]).await;
    command.write("out");
    assert_eq!(client.read(ids[2], 3).await, b"out");
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_client_that_leaves_is_seen() {
    let server = Server::start().await;
    // While nothing happens, while it is not read from because the command does not read, and while it reads nothing.
    for state in ["idle", "full stdin", "full stdout"] {
        let token = server.exec(ALL).await;
        let (mut client, ids) = SpdyClient::exec(&server, token, &KINDS).await;
        let shim = server.session(token).await;
        let mut command = shim.start(ALL).await;
        command.write("x");
        assert_eq!(client.read(ids[2], 1).await, b"x");
        match state {
            // As much as is read of a client whose command takes nothing, and a bit that is not.
            "full stdin" => client.data(ids[1], &[0; 450 << 10]).await,
            "full stdout" => {
                let mut stdout = command.stdout.as_ref().unwrap().try_clone().unwrap();
                rustix::io::ioctl_fionbio(stdout.as_fd(), true).unwrap();
                let mut silent = 0;
                while silent < 20 {
                    match stdout.write_all(&[0; 4096]) {
                        Ok(()) => silent = 0,
                        Err(_) => {
                            silent += 1;
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                    }
                }
            }
            _ => {}
        }
        drop(client);
        assert_eq!(shim.hear().await, None, "{state}");
        // Its ends of the streams are closed.
        if let (Some(mut stdin), "idle") = (command.stdin, state) {
            assert_eq!(stdin.read(&mut [0]).unwrap(), 0);
        }
        let mut stdout = command.stdout.unwrap();
        rustix::io::ioctl_fionbio(stdout.as_fd(), true).unwrap();
        until(state, || stdout.write_all(b"x").is_err_and(|error| error.kind() == ErrorKind::BrokenPipe)).await;
    }
    // Before there was a session.
    let token = server.exec(ALL).await;
    let (client, _) = SpdyClient::exec(&server, token, &KINDS).await;
    assert_eq!(server.news().await, ToDaemon::Claimed { token });
    drop(client);
    assert_eq!(server.news().await, ToDaemon::Gone { token });
    // Before it had opened its streams.
    let token = server.exec(ALL).await;
    drop(upgrade(&server, "exec", token, "v4.channel.k8s.io").await);
    assert_eq!(server.news().await, ToDaemon::Expired { token });
}

#[tokio::test]
#[ignore = "needs root"]
async fn what_does_not_come_is_not_waited_for() {
    let server = Server::start().await;
    let short = Duration::from_millis(300);
    // Streams.
    let times = Times { creation: short, ..Times::default() };
    let token = server.register_for(SessionKind::Exec(ALL), times).await;
    let (mut client, _) = upgrade(&server, "exec", token, "v4.channel.k8s.io").await;
    client.open_kinds(&KINDS[..3]).await;
    assert!(client.rest().await.gone_away);
    assert_eq!(server.news().await, ToDaemon::Expired { token });
    // Anything at all.
    let times = Times { idle: short, ..Times::default() };
    let token = server.register_for(SessionKind::Exec(ALL), times).await;
    let (mut client, ids) = SpdyClient::exec(&server, token, &KINDS).await;
    let shim = server.session(token).await;
    let _command = shim.start(ALL).await;
    assert!(json(&client.rest().await, ids[0])["message"].as_str().unwrap().contains("nothing was sent for"));
    assert_eq!(shim.hear().await, None);
    // A client.
    let times = Times { expiry: short, ..Times::default() };
    let token = server.register_for(SessionKind::Exec(ALL), times).await;
    assert_eq!(server.news().await, ToDaemon::Expired { token });
}
