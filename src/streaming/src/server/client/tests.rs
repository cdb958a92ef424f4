//! A client that reads nothing while much waits for it.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;
use crate::bounds::LARGE_TRANSFER_BYTES;
use crate::channels::{Encoding, STDIN, STDOUT};
use crate::version::CommandVersion;

/// Both ends of a connection that holds next to nothing by itself.
async fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    rustix::net::sockopt::set_socket_send_buffer_size(&listener, 4096).unwrap();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let (near, far) = tokio::join!(socket.connect(listener.local_addr().unwrap()), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

/// A pipe that is full of one large piece.
async fn full_pipe(buffers: &TransferBuffers) -> StreamEnd {
    let (read, write) = rustix::pipe::pipe().unwrap();
    let from = StreamEnd::new(read).unwrap();
    buffers.enlarge(&from);
    assert_eq!(from.piece(), LARGE_TRANSFER_BYTES);
    assert_eq!(rustix::io::write(&write, &vec![b'x'; LARGE_TRANSFER_BYTES]), Ok(LARGE_TRANSFER_BYTES));
    poll_fn(|cx| from.poll_read_ready(cx)).await;
    from
}

#[tokio::test(flavor = "current_thread")]
async fn a_client_is_heard_however_much_waits_for_it() {
    for (encoding, input) in
        [(Encoding::Binary, Message::binary(&b"\x00in"[..])), (Encoding::Base64, Message::text("0aW4="))]
    {
        let (near, far) = connection().await;
        let (buffers, version) = (TransferBuffers::new(), CommandVersion::V4);
        let protocol = ChannelProtocol { version, encoding };
        let mut client = ClientStreams::channels(ClientIo::Plain(far), &[], buffers.clone(), protocol);
        let filled = client.fill(STDOUT.into(), &full_pipe(&buffers).await);
        assert_eq!(filled, ReadOutcome::Bytes(LARGE_TRANSFER_BYTES));
        assert!(client.outgoing.len() > LARGE_TRANSFER_BYTES - TRANSFER_BYTES && client.outgoing.replies() == 0);
        let mut peer = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
        peer.send(Message::Ping(b"there?"[..].into())).await.unwrap();
        peer.send(input).await.unwrap();
        let heard = timeout(Duration::from_secs(60), async {
            loop {
                if let ClientEvent::Data { stream, payload, .. } = client.next(Intake::Open).await.unwrap() {
                    return (stream, payload);
                }
            }
        });
        assert_eq!(heard.await.expect("it is read from"), (STDIN.into(), Bytes::from("in")));
        // The answer to the ping, behind the rest.
        assert_eq!(client.outgoing.replies(), 2 + b"there?".len());
        let read = async {
            let (first, second) = (peer.next().await.unwrap().unwrap(), peer.next().await.unwrap().unwrap());
            let payload = [&[STDOUT][..], &vec![b'x'; LARGE_TRANSFER_BYTES]].concat();
            match encoding {
                Encoding::Binary => assert_eq!(first, Message::binary(payload)),
                Encoding::Base64 => assert_eq!(first.into_data(), encoding.encode(STDOUT, &payload[1..])),
            }
            assert_eq!(second, Message::Pong(b"there?"[..].into()));
        };
        let flushed = async { while !matches!(client.next(Intake::Open).await.unwrap(), ClientEvent::Flushed) {} };
        timeout(Duration::from_secs(60), async { tokio::join!(read, flushed) }).await.expect("it gets all of it");
    }
}
