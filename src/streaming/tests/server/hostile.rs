//! Clients that mean harm.

use std::time::Duration;

use flate2::{Compress, Compression, FlushCompress};
use peapod_streaming::spdy::dictionary;
use peapod_streaming_protocol::{SessionKind, SessionToken, ToDaemon, ToSession};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::socket::SocketClient;
use crate::spdy::{SpdyClient, control, data, upgrade};
use crate::stage::{ALL, Server, soon, until};
use crate::wire::{ask, read_answer};

const KINDS: [&str; 4] = ["error", "stdin", "stdout", "stderr"];

/// Waits until the server has ended the connection.
async fn ended(tcp: &mut TcpStream) {
    // Also over what it has not read.
    let _ = soon(tcp.read_to_end(&mut Vec::new())).await;
}

#[tokio::test]
#[ignore = "needs root"]
async fn heads_that_trickle_and_heads_without_end() {
    let server = Server::start().await;
    let mut slow = server.connect().await;
    let begin = std::time::Instant::now();
    slow.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let trickle = async {
        while slow.write_all(b"x: y\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    soon(trickle).await;
    assert!(begin.elapsed() > Duration::from_secs(9), "{:?}", begin.elapsed());
    let mut long = server.connect().await;
    let _ = long.write_all(&[b'a'; 1 << 20]).await;
    ended(&mut long).await;
    let mut many = server.connect().await;
    let _ = many.write_all(format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(200)).as_bytes()).await;
    assert_eq!(read_answer(&mut many).await.status, 431);
    assert!(server.memory() < 4 << 10, "{} KiB", server.memory());
}

#[tokio::test]
#[ignore = "needs root"]
async fn connections_that_say_nothing_make_room() {
    let server = Server::start().await;
    let mut silent = Vec::new();
    for _ in 0..1000 {
        silent.push(server.connect().await);
    }
    let token = server.exec(ALL).await;
    SpdyClient::exec(&server, token, &KINDS).await;
    // The first that came.
    ended(&mut silent[0]).await;
    assert!(server.descriptors() < 300, "{}", server.descriptors());
    assert!(server.memory() < 8 << 10, "{} KiB", server.memory());
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_block_of_headers_that_grows() {
    let server = Server::start().await;
    let mut compress = Compress::new(Compression::best(), true);
    compress.set_dictionary(&dictionary()).unwrap();
    let mut plain = 1u32.to_be_bytes().to_vec();
    for text in ["streamtype", &"x".repeat(12 << 20)] {
        plain.extend((text.len() as u32).to_be_bytes());
        plain.extend(text.as_bytes());
    }
    let mut block = Vec::with_capacity(1 << 20);
    compress.compress_vec(&plain, &mut block, FlushCompress::Sync).unwrap();
    assert!(block.len() < 16 << 10);
    let bomb = control(1, &[&1u32.to_be_bytes()[..], &[0; 6], &block].concat());
    // And frames that claim to be long, or are none.
    for bytes in [bomb, control(1, &[0; 20_000]), b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0xff; 100]] {
        let token = server.exec(ALL).await;
        let (mut client, _) = upgrade(&server, "exec", token, "v4.channel.k8s.io").await;
        client.send(&bytes).await;
        if bytes[0] == b'G' {
            // That is data on a stream that nobody opened; what follows is its rest, for ever.
            drop(client);
        } else {
            let _ = tokio::spawn(async move { client.rest().await }).await;
        }
        assert_eq!(server.news().await, ToDaemon::Expired { token });
    }
    assert!(server.memory() < 4 << 10, "{} KiB", server.memory());
}

#[tokio::test]
#[ignore = "needs root"]
async fn messages_that_are_huge_or_nonsense() {
    let server = Server::start().await;
    // A message of 8 EiB: what comes of it goes to the command.
    let token = server.exec(ALL).await;
    let client = SocketClient::connect(&server, "exec", token, Some("v4.channel.k8s.io")).await;
    let shim = server.session(token).await;
    let command = shim.start(ALL).await;
    let mut tcp = client.socket.into_inner();
    tcp.write_all(&[&[0x82, 0xff, 0x7f][..], &[0xff; 7], &[0; 4], &[0]].concat()).await.unwrap();
    let write = async {
        loop {
            tcp.write_all(&[7; 64 << 10]).await.unwrap();
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(1), write).await.is_err());
    assert!(server.memory() < 8 << 10, "{} KiB", server.memory());
    drop((tcp, command));
    assert_eq!(shim.hear().await, None);
    for bytes in [&b"\x82\x01\x00x"[..], b"\xf2\x80\0\0\0\0", b"\x09\x80\0\0\0\0", b"GET / HTTP/1.1\r\n"] {
        let token = server.exec(ALL).await;
        let mut client = SocketClient::connect(&server, "exec", token, Some("v4.channel.k8s.io")).await;
        let shim = server.session(token).await;
        shim.start(ALL).await.write("x");
        while client.next().await != Some((1, b"x".to_vec())) {}
        let mut tcp = client.socket.into_inner();
        tcp.write_all(bytes).await.unwrap();
        ended(&mut tcp).await;
        assert_eq!(shim.hear().await, None);
    }
}

#[tokio::test]
#[ignore = "needs root"]
async fn answers_that_nobody_reads() {
    let server = Server::start().await;
    let token = server.register(SessionKind::PortForward(vec![])).await;
    let (mut client, _) = upgrade(&server, "portforward", token, "portforward.k8s.io").await;
    let shim = server.session(token).await;
    let pings: Vec<u8> = (0..10_000u32).flat_map(|n| control(6, &(2 * n + 1).to_be_bytes())).collect();
    let write = async {
        loop {
            client.send(&pings).await;
        }
    };
    // In the end it is not read from any more.
    assert!(tokio::time::timeout(Duration::from_secs(3), write).await.is_err());
    assert!(server.memory() < 4 << 10, "{} KiB", server.memory());
    drop(client);
    assert_eq!(shim.hear().await, None);
}

#[tokio::test]
#[ignore = "needs root"]
async fn streams_that_come_and_go() {
    let server = Server::start().await;
    let token = server.register(SessionKind::PortForward(vec![])).await;
    let (mut client, _) = upgrade(&server, "portforward", token, "portforward.k8s.io").await;
    // The shim reads nothing of what it is asked.
    let shim = server.session(token).await;
    for round in 0..200 {
        let mut bytes = Vec::new();
        for number in 0..100 {
            let id = format!("{round} {number}");
            let (_, error) = client.opening(&[("streamtype", "error"), ("port", "80"), ("requestid", &id)]);
            let (stream, opening) = client.opening(&[("streamtype", "data"), ("port", "80"), ("requestid", &id)]);
            let reset = control(3, &[stream.to_be_bytes(), 5u32.to_be_bytes()].concat());
            bytes.extend([error, opening, data(stream, &[0; 1000], false), reset].concat());
        }
        client.send(&bytes).await;
        // Two replies and a reset.
        for _ in 0..300 {
            client.next().await.unwrap();
        }
    }
    assert!(server.memory() < 4 << 10, "{} KiB", server.memory());
    drop(client);
    until("it lets go", || {
        rustix::event::poll(
            &mut [rustix::event::PollFd::new(&shim.0, rustix::event::PollFlags::HUP)],
            Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 }),
        )
        .unwrap()
            > 0
    })
    .await;
}

/// A command that has not begun takes nothing, and a client that sends byte by byte makes much of little.
#[tokio::test]
#[ignore = "needs root"]
async fn input_that_comes_in_crumbs() {
    let server = Server::start().await;
    let token = server.exec(ALL).await;
    let (mut client, ids) = SpdyClient::exec(&server, token, &KINDS).await;
    let _shim = server.session(token).await;
    let before = server.memory();
    let crumbs: Vec<u8> = (0..1000).flat_map(|_| data(ids[1], b"x", false)).collect();
    // At last it is not read from any more.
    while tokio::time::timeout(Duration::from_secs(1), client.send(&crumbs)).await.is_ok() {}
    let memory = server.memory() - before;
    assert!(memory < 2 << 10, "{memory} KiB");
}

/// Halves of connections whose names are as long as headers may be, which compress to nothing.
#[tokio::test]
#[ignore = "needs root"]
async fn halves_with_long_names() {
    let server = Server::start().await;
    let token = server.register(SessionKind::PortForward(vec![])).await;
    let (mut client, _) = upgrade(&server, "portforward", token, "portforward.k8s.io").await;
    let _shim = server.session(token).await;
    let before = server.memory();
    for number in 0..1000 {
        let id = format!("{number:015000}");
        client.open(&[("streamtype", "data"), ("port", "80"), ("requestid", &id)]).await;
        client.next().await.unwrap();
    }
    let memory = server.memory() - before;
    assert!(memory < 2 << 10, "{memory} KiB");
}

#[tokio::test]
#[ignore = "needs root"]
async fn shims_that_say_nothing_or_nonsense() {
    let server = Server::start().await;
    let token = server.exec(ALL).await;
    let (mut client, ids) = SpdyClient::exec(&server, token, &KINDS).await;
    assert_eq!(server.news().await, ToDaemon::Claimed { token });
    // Of another session.
    let stranger = server.join(SessionToken::random().unwrap()).await;
    assert_eq!(stranger.hear().await, None);
    let shim = server.join(token).await;
    shim.say(ToSession::NotDialled { id: 1, text: String::new() }).await;
    assert!(client.rest().await.text(ids[0]).contains("makes no sense"));
    assert_eq!(shim.hear().await, None);
}

#[tokio::test]
#[ignore = "needs root"]
async fn many_sessions_at_once() {
    let server = Server::start().await;
    let (idle, descriptors) = (server.memory(), server.descriptors());
    let mut sessions = Vec::new();
    for _ in 0..500 {
        let token = server.exec(ALL).await;
        let (client, _) = SpdyClient::exec(&server, token, &KINDS).await;
        let shim = server.session(token).await;
        let command = shim.start(ALL).await;
        sessions.push((client, shim, command));
    }
    let memory = server.memory() - idle;
    println!("{memory} KiB for 500 sessions of commands");
    assert!(memory < 16 << 10, "{memory} KiB");
    drop(sessions);
    until("all is closed", || server.descriptors() == descriptors).await;
    let mut tcp = server.connect().await;
    assert_eq!(ask(&mut tcp, "GET", "/", &[]).await.status, 404);
}
