//! Port-forward.

use peapod_streaming_protocol::{SessionKind, ToSession};
use rustix::net::sockopt::set_socket_linger;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::socket::SocketClient;
use crate::spdy::{Frame, SpdyClient, data, upgrade};
use crate::stage::{Server, Shim, soon, until};
use crate::wire::Wire;

fn headers<'a>(kind: &'a str, port: &'a str, id: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![("streamtype", kind), ("port", port), ("requestid", id)]
}

/// Opens a pair; answers the numbers of its error and its data stream.
pub(crate) async fn open(client: &mut SpdyClient, port: &str, id: &str) -> (u32, u32) {
    let error = client.open(&headers("error", port, id)).await;
    client.finish(error).await;
    let data = client.open(&headers("data", port, id)).await;
    for stream in [error, data] {
        assert_eq!(client.next().await, Some(Frame::Reply(stream)));
    }
    (error, data)
}

pub(crate) async fn begin(server: &Server, tunnel: bool) -> (SpdyClient, Shim) {
    let token = server.register(SessionKind::PortForward(vec![])).await;
    let client = if tunnel {
        let name = "SPDY/3.1+portforward.k8s.io";
        let client = SocketClient::connect(server, "portforward", token, Some(name)).await;
        SpdyClient::new(Wire::Tunnel(Box::new(client.socket)), &[])
    } else {
        upgrade(server, "portforward", token, "portforward.k8s.io").await.0
    };
    (client, server.session(token).await)
}

async fn read_all(pod: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    soon(pod.read_to_end(&mut bytes)).await.unwrap();
    bytes
}

#[tokio::test]
#[ignore = "needs root"]
async fn connections_with_half_closes() {
    let server = Server::start().await;
    for tunnel in [false, true] {
        let (mut client, shim) = begin(&server, tunnel).await;
        let (error, stream) = open(&mut client, "80", "0").await;
        // It comes before anybody is connected.
        client.data(stream, b"GET /").await;
        assert_eq!(shim.dial().await, (stream, 80));
        let mut pod = shim.dialled(stream).await;
        client.send(&data(stream, b" HTTP/1.1", true)).await;
        // The client has ended its side, and still hears.
        assert_eq!(read_all(&mut pod).await, b"GET / HTTP/1.1");
        pod.write_all(b"200").await.unwrap();
        assert_eq!(client.read(stream, 3).await, b"200");
        // The other way round, on a second connection beside it.
        let (error2, stream2) = open(&mut client, "81", "1").await;
        assert_eq!(shim.dial().await, (stream2, 81));
        let mut pod2 = shim.dialled(stream2).await;
        pod2.shutdown().await.unwrap();
        for stream in [stream2, error2] {
            assert_eq!(client.next().await, Some(Frame::Data { stream, payload: vec![], fin: true }));
        }
        client.data(stream2, b"late").await;
        client.finish(stream2).await;
        assert_eq!(read_all(&mut pod2).await, b"late");
        drop(pod);
        for stream in [stream, error] {
            assert_eq!(client.next().await, Some(Frame::Data { stream, payload: vec![], fin: true }));
        }
        drop(client);
        assert_eq!(shim.hear().await, None);
    }
}

#[tokio::test]
#[ignore = "needs root"]
async fn connections_that_come_to_nothing() {
    let server = Server::start().await;
    let (mut client, shim) = begin(&server, false).await;
    let (error, stream) = open(&mut client, "9", "0").await;
    let (id, _) = shim.dial().await;
    shim.say(ToSession::NotDialled { id, text: "connection refused".to_owned() }).await;
    let text = b"error forwarding port 9 to pod: connection refused".to_vec();
    assert_eq!(client.next().await, Some(Frame::Data { stream: error, payload: text, fin: false }));
    for stream in [error, stream] {
        assert_eq!(client.next().await, Some(Frame::Data { stream, payload: vec![], fin: true }));
    }
    // Torn away by the pod.
    let (error, stream) = open(&mut client, "80", "1").await;
    let (id, _) = shim.dial().await;
    let pod = shim.dialled(id).await;
    set_socket_linger(&pod, Some(std::time::Duration::ZERO)).unwrap();
    drop(pod);
    assert_eq!(client.next().await, Some(Frame::Data { stream: error, payload: vec![], fin: true }));
    assert_eq!(client.next().await, Some(Frame::Reset(stream, 5)));
    // Given up by the client, before and after it is there.
    let before = server.descriptors();
    let (_, stream) = open(&mut client, "80", "2").await;
    let (id, _) = shim.dial().await;
    client.reset(stream).await;
    assert!(matches!(client.next().await, Some(Frame::Reset(..))));
    let mut pod = shim.dialled(id).await;
    assert_eq!(read_all(&mut pod).await, b"");
    let (_, stream) = open(&mut client, "80", "3").await;
    let (id, _) = shim.dial().await;
    let mut pod = shim.dialled(id).await;
    pod.write_all(b"x").await.unwrap();
    assert_eq!(client.read(stream, 1).await, b"x");
    client.reset(stream).await;
    assert!(matches!(client.next().await, Some(Frame::Reset(..))));
    assert_eq!(read_all(&mut pod).await, b"");
    until("its descriptors are closed", || server.descriptors() == before).await;
    // No port.
    for (kind, port) in [("data", "0"), ("error", "http"), ("other", "80")] {
        let stream = client.open(&headers(kind, port, "4")).await;
        assert_eq!(client.next().await, Some(Frame::Reset(stream, 5)));
    }
    // The pod ends: what is not there yet never will be.
    let (error, _) = open(&mut client, "80", "5").await;
    drop(shim);
    let session = client.rest().await;
    assert_eq!(session.text(error), "error forwarding port 80 to pod: the pod has ended");
    assert!(session.gone_away);
}

#[tokio::test]
#[ignore = "needs root"]
async fn channels() {
    let server = Server::start().await;
    for protocol in [Some("v4.channel.k8s.io"), Some("v4.base64.channel.k8s.io"), None] {
        let token = server.register(SessionKind::PortForward(vec![80, 8080])).await;
        let mut client = SocketClient::connect(&server, "portforward", token, protocol).await;
        // Each channel begins with its port.
        for (channel, port) in [(0, 80u16), (1, 80), (2, 8080), (3, 8080)] {
            assert_eq!(client.next().await, Some((channel, port.to_le_bytes().to_vec())));
        }
        let shim = server.session(token).await;
        assert_eq!(shim.dial().await, (0, 80));
        assert_eq!(shim.dial().await, (2, 8080));
        let mut pod = shim.dialled(2).await;
        client.send(2, b"ping").await;
        let mut bytes = [0; 4];
        pod.read_exact(&mut bytes).await.unwrap();
        pod.write_all(&bytes).await.unwrap();
        assert_eq!(client.next().await, Some((2, b"ping".to_vec())));
        shim.say(ToSession::NotDialled { id: 0, text: "connection refused".to_owned() }).await;
        let text = b"error forwarding port 80 to pod: connection refused".to_vec();
        assert_eq!(client.next().await, Some((1, text)));
        // With the last connection the session ends.
        drop(pod);
        assert_eq!(client.next().await, None);
        assert_eq!(shim.hear().await, None);
    }
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_slow_connection_does_not_stop_what_comes_from_others() {
    let server = Server::start().await;
    let (mut client, shim) = begin(&server, false).await;
    let (_, slow) = open(&mut client, "80", "0").await;
    let _pod = shim.dialled(shim.dial().await.0).await;
    let (_, other) = open(&mut client, "81", "1").await;
    let mut pod = shim.dialled(shim.dial().await.0).await;
    // Until nothing more is taken.
    let piece = vec![0; 1 << 20];
    let write = async {
        loop {
            client.data(slow, &piece).await;
        }
    };
    assert!(tokio::time::timeout(std::time::Duration::from_secs(1), write).await.is_err());
    pod.write_all(b"from the other").await.unwrap();
    assert_eq!(client.read(other, 14).await, b"from the other");
    assert!(server.memory() < 8 << 10, "{} KiB", server.memory());
}

#[tokio::test]
#[ignore = "needs root"]
async fn much_comes_from_a_pod() {
    const BYTES: usize = 256 << 20;
    let server = Server::start().await;
    for tunnel in [false, true] {
        let (mut client, shim) = begin(&server, tunnel).await;
        open(&mut client, "80", "0").await;
        let mut pod = shim.dialled(shim.dial().await.0).await.into_std().unwrap();
        pod.set_nonblocking(false).unwrap();
        let begin = std::time::Instant::now();
        let writer = std::thread::spawn(move || {
            let block = vec![7; 1 << 20];
            for _ in 0..BYTES / block.len() {
                std::io::Write::write_all(&mut pod, &block).unwrap();
            }
        });
        let (mut count, expected) = (0, vec![7; 256 << 10]);
        loop {
            match client.next().await {
                Some(Frame::Data { payload, fin: true, .. }) if payload.is_empty() => break,
                Some(Frame::Data { payload, .. }) => {
                    assert!(payload == expected[..payload.len()]);
                    count += payload.len();
                }
                other => panic!("{other:?}"),
            }
        }
        writer.join().unwrap();
        assert_eq!(count, BYTES);
        println!("tunnel {tunnel}: {BYTES} bytes in {:?}", begin.elapsed());
    }
}

#[tokio::test]
#[ignore = "needs root"]
async fn much_goes_to_a_pod_that_says_nothing() {
    const BYTES: usize = 64 << 20;
    let server = Server::start().await;
    let (mut client, shim) = begin(&server, false).await;
    let (_, stream) = open(&mut client, "80", "0").await;
    let mut pod = shim.dialled(shim.dial().await.0).await.into_std().unwrap();
    pod.set_nonblocking(false).unwrap();
    let reader = std::thread::spawn(move || std::io::copy(&mut pod, &mut std::io::sink()).unwrap());
    let piece = vec![7; 64 << 10];
    let write = async {
        for _ in 0..BYTES / piece.len() {
            client.data(stream, &piece).await;
        }
        client.finish(stream).await;
    };
    // Not a little every few seconds.
    soon(write).await;
    until("all is read", || reader.is_finished()).await;
    assert_eq!(reader.join().unwrap(), BYTES as u64);
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_thousand_connections() {
    let server = Server::start().await;
    let idle = server.memory();
    let (mut client, shim) = begin(&server, false).await;
    let mut pods = Vec::new();
    for number in 0..1000 {
        let (_, stream) = open(&mut client, "80", &number.to_string()).await;
        let mut pod = shim.dialled(shim.dial().await.0).await;
        pod.write_all(b"x").await.unwrap();
        assert_eq!(client.read(stream, 1).await, b"x");
        pods.push((stream, pod));
    }
    let memory = server.memory() - idle;
    println!("{memory} KiB for 1000 connections");
    assert!(memory < 4 << 10, "{memory} KiB");
    for (stream, pod) in &mut pods {
        client.data(*stream, b"y").await;
        let mut byte = [0];
        soon(pod.read_exact(&mut byte)).await.unwrap();
        assert_eq!(&byte, b"y");
    }
    // Two streams each: there is room for 24 more.
    let mut refused = 0;
    for number in 0..50 {
        let stream = client.open(&headers("error", "80", &format!("more {number}"))).await;
        match client.next().await {
            Some(Frame::Reply(_)) => {}
            other => {
                assert_eq!(other, Some(Frame::Reset(stream, 3)));
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 2);
}
