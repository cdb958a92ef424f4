//! Streaming servers that do what they should not.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, pause, resume, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

use super::channel::open;
use super::command::{converse, receive, session};
use super::end::exit_code;
use super::error::StreamError;
use super::output::{RawOutput, RawStream};
use super::{CommandSide, forward, transfer};
use crate::bounds::{CHANNEL_MESSAGE_BYTES, END_BYTES, FORWARD_REST, FORWARD_SILENCE, PIECES, SESSION_END};

const SIDE: CommandSide = CommandSide { stdin: false, tty: false, limit: None };

pub(super) async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/exec/token", listener.local_addr().unwrap());
    (listener, url)
}

/// The server's end of a session.
pub(super) async fn accept(listener: &TcpListener, protocol: &'static str) -> WebSocketStream<TcpStream> {
    #[allow(clippy::result_large_err, reason = "the library chose it")]
    let choose = move |_: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        response.headers_mut().insert("Sec-WebSocket-Protocol", protocol.parse().unwrap());
        Ok(response)
    };
    tokio_tungstenite::accept_hdr_async(listener.accept().await.unwrap().0, choose).await.unwrap()
}

/// What becomes of a session in which these messages come.
async fn converse_with(messages: Vec<Message>) -> Result<u8, StreamError> {
    let (listener, url) = listen().await;
    let server = async {
        let mut socket = accept(&listener, "v4.channel.k8s.io").await;
        for message in messages {
            // The client may have had enough.
            let _ = socket.send(message).await;
        }
    };
    tokio::join!(converse(&url, SIDE), server).0
}

fn said(channel: u8, text: &str) -> Message {
    Message::binary([&[channel], text.as_bytes()].concat())
}

#[tokio::test]
async fn ends_of_sessions() {
    let success = said(3, r#"{"metadata":{},"status":"Success"}"#);
    assert_eq!(converse_with(vec![said(1, ""), success.clone(), Message::Close(None)]).await.unwrap(), 0);
    // Channels that nobody knows, and an end in pieces.
    let pieces = [said(9, "what"), Message::binary(vec![]), said(3, r#"{"status":"#), said(3, r#""Success"}"#)];
    assert_eq!(converse_with([&pieces[..], &[Message::Close(None)]].concat()).await.unwrap(), 0);
    // All is said.
    assert_eq!(converse_with(vec![success]).await.unwrap(), 0);
    for nothing in [vec![], vec![Message::Close(None)]] {
        assert!(converse_with(nothing).await.unwrap_err().is_broken());
    }
    let long = said(3, &"x".repeat(CHANNEL_MESSAGE_BYTES - 1));
    let error = converse_with(vec![long, Message::Close(None)]).await.unwrap_err();
    assert!(matches!(&error, StreamError::Failed(text) if text.len() <= END_BYTES), "{error}");
}

/// What becomes of a session in which these messages come, and which the server then leaves open; and after what time.
async fn converse_with_one_who_stays(messages: &[Message]) -> (Result<u8, StreamError>, Duration) {
    let (listener, url) = listen().await;
    let server = async {
        let mut socket = accept(&listener, "v4.channel.k8s.io").await;
        for message in messages {
            socket.send(message.clone()).await.unwrap();
        }
        pause();
        (socket, Instant::now())
    };
    let client = async {
        let (output, (_writer, reader)) = (RawOutput::start(PIECES).unwrap(), open(&url).await.unwrap());
        let said = timeout(Duration::from_secs(3600), receive(reader, &output)).await.expect("it ends");
        said.and_then(|said| exit_code(&said.unwrap()))
    };
    let (ended, (_socket, began)) = tokio::join!(client, server);
    let took = began.elapsed();
    resume();
    (ended, took)
}

#[tokio::test]
async fn servers_that_stay_when_all_is_said() {
    let success = said(3, r#"{"metadata":{},"status":"Success"}"#);
    let pieces = [said(3, r#"{"metadata":{},"#), said(3, r#""status":"Success"}"#)];
    let closed = [success.clone(), Message::Close(None)];
    for messages in [&closed[..1], &pieces, &[success, said(1, "")], &closed] {
        let (ended, took) = converse_with_one_who_stays(messages).await;
        assert_eq!(ended.unwrap(), 0, "{messages:?}");
        assert!(took >= SESSION_END && took <= 2 * SESSION_END, "{messages:?}: {took:?}");
    }
    let (ended, _) = converse_with_one_who_stays(&[Message::Close(None)]).await;
    assert!(ended.unwrap_err().is_broken());
}

/// What becomes of a session with so many pieces of output, of which each stream goes to another place.
async fn written_to(pieces: usize, out: impl Write + Send + 'static, err: impl Write + Send + 'static) -> String {
    let (listener, url) = listen().await;
    let server = async {
        let mut socket = accept(&listener, "v4.channel.k8s.io").await;
        for number in 0..pieces {
            // The client may have had enough.
            let _ = socket.send(said(if number == 0 { 1 } else { 2 }, "text\n")).await;
        }
        let _ = socket.send(said(3, r#"{"metadata":{},"status":"Success"}"#)).await;
        let _ = socket.close(None).await;
    };
    let output = RawOutput::to(RawStream::out(out, false), RawStream::err(err, false), PIECES).unwrap();
    let (ended, ()) = tokio::join!(session(&url, SIDE, output), server);
    ended.map_or_else(|error| error.to_string(), |status| status.to_string())
}

#[tokio::test]
async fn output_that_could_not_be_written_is_told() {
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    for pieces in [1, 1000] {
        let ended = written_to(pieces, full(), std::io::sink()).await;
        assert!(ended.starts_with("cannot write to standard output: No space left on device"), "{ended}");
    }
    let ended = written_to(2, std::io::sink(), full()).await;
    assert!(ended.starts_with("cannot write to standard error: No space left"), "{ended}");
    assert_eq!(written_to(1000, std::io::sink(), std::io::sink()).await, "0");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(written_to(1000, writer, std::io::sink()).await, "141");
}

/// What was written before a command's time was over is there, and its server sees the client go.
#[tokio::test]
async fn commands_that_take_too_long() {
    let (listener, url) = listen().await;
    let server = async {
        let mut socket = accept(&listener, "v4.channel.k8s.io").await;
        socket.send(said(1, "before\n")).await.unwrap();
        pause();
        while socket.next().await.is_some_and(|message| message.is_ok()) {}
    };
    let (mut reader, writer) = std::io::pipe().unwrap();
    let output = RawOutput::to(RawStream::out(writer, false), RawStream::err(std::io::sink(), false), PIECES).unwrap();
    let side = CommandSide { limit: Some(Duration::from_secs(20)), ..SIDE };
    let (ended, ()) = tokio::join!(session(&url, side, output), server);
    let error = ended.unwrap_err();
    assert!(error.to_string().contains("within 20 s") && !error.is_broken(), "{error}");
    let mut written = String::new();
    std::io::Read::read_to_string(&mut reader, &mut written).unwrap();
    assert_eq!(written, "before\n");
}

/// Of a command that has not ended nothing need come for as long as it likes.
#[tokio::test]
async fn silent_commands() {
    let (listener, url) = listen().await;
    let server = async {
        let mut socket = accept(&listener, "v4.channel.k8s.io").await;
        for piece in [said(9, "{}"), said(3, r#"{"metadata":{}"#), said(3, r#","status":"Success"}"#)] {
            socket.send(piece).await.unwrap();
            pause();
            sleep(Duration::from_secs(3600)).await;
            resume();
        }
    };
    let (ended, ()) = tokio::join!(converse(&url, SIDE), server);
    assert_eq!(ended.unwrap(), 0);
}

#[tokio::test]
async fn nonsense_ends_a_session() {
    for message in [said(1, &"x".repeat(CHANNEL_MESSAGE_BYTES)), Message::text("text")] {
        let error = converse_with(vec![message]).await.unwrap_err();
        assert!(error.to_string().contains("makes no sense") && error.is_broken(), "{error}");
    }
}

async fn refused_with(answer: &str) -> String {
    let (listener, url) = listen().await;
    let server = async {
        let (mut client, _) = listener.accept().await.unwrap();
        let _ = client.read(&mut [0; 4096]).await.unwrap();
        client.write_all(answer.as_bytes()).await.unwrap();
    };
    let (opened, ()) = tokio::join!(open(&url), server);
    opened.map(drop).unwrap_err().to_string()
}

#[tokio::test]
async fn servers_that_refuse_say_why() {
    let text = refused_with("HTTP/1.1 404 Not Found\r\nContent-Length: 14\r\n\r\nno such\nsession").await;
    assert!(text.contains("no such") && text.contains("404") && !text.contains('\n'), "{text}");
    let text = refused_with("no HTTP at all\r\n\r\n").await;
    assert!(text.contains("refused the session"), "{text}");
    let endless = format!("HTTP/1.1 200 OK\r\n{}", "x: y\r\n".repeat(200_000));
    assert!(refused_with(&endless).await.contains("refused the session"));
}

#[tokio::test]
async fn nobody_listens() {
    let (listener, url) = listen().await;
    drop(listener);
    assert!(matches!(open(&url).await.map(drop), Err(StreamError::Connect { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing() {
    let (listener, url) = listen().await;
    let (opened, _client) = tokio::join!(open(&url), async { listener.accept().await.unwrap() });
    assert!(matches!(opened.map(drop), Err(StreamError::Silent { .. })));
}

/// A local connection with the client's end of it.
async fn local() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
    (ours.unwrap(), theirs.unwrap().0)
}

#[tokio::test]
async fn bytes_of_a_port() {
    let (listener, url) = listen().await;
    let (mut client, forwarded) = local().await;
    let pod = async {
        let mut socket = accept(&listener, "v5.channel.k8s.io").await;
        // The port's number may come in any pieces, and with what follows.
        for message in [&b"\x00\x50"[..], b"\x01\x50\x00", b"\x00\x00hel", b"\x00lo"] {
            socket.send(Message::binary(message.to_vec())).await.unwrap();
        }
        let (mut heard, close) = (Vec::new(), Message::binary(vec![255, 0]));
        loop {
            match socket.next().await.unwrap().unwrap() {
                message if message == close => break,
                message => heard.extend_from_slice(&message.into_data()[1..]),
            }
        }
        assert_eq!(heard, b"request");
        socket.send(said(1, "it went wrong")).await.unwrap();
        socket.close(None).await.unwrap();
    };
    let user = async {
        client.write_all(b"request").await.unwrap();
        client.shutdown().await.unwrap();
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "hello");
    };
    let (ended, (), ()) = tokio::join!(forward(&url, forwarded), pod, user);
    assert_eq!(ended.unwrap_err().to_string(), "it went wrong");
}

/// A server that can't be told that nothing more comes goes on for as long as the pod does.
#[tokio::test]
async fn the_end_of_a_connection_of_which_nobody_can_be_told() {
    let (listener, url) = listen().await;
    let (client, forwarded) = local().await;
    drop(client);
    let server = async {
        let socket = accept(&listener, "v4.channel.k8s.io").await;
        pause();
        socket
    };
    let (ended, _socket) = tokio::join!(forward(&url, forwarded), server);
    ended.unwrap();
}

/// Who has closed a connection waits for the pod, which may have forgotten it.
#[tokio::test]
async fn a_pod_that_never_ends_a_connection() {
    let (listener, url) = listen().await;
    let (mut client, forwarded) = local().await;
    client.shutdown().await.unwrap();
    let server = async {
        let socket = accept(&listener, "v5.channel.k8s.io").await;
        pause();
        (socket, Instant::now())
    };
    let forwarding = timeout(Duration::from_secs(3600), forward(&url, forwarded));
    let (ended, (_socket, began)) = tokio::join!(forwarding, server);
    assert!(began.elapsed() >= FORWARD_SILENCE);
    let error = ended.unwrap().unwrap_err().to_string();
    assert!(error.contains("given up") && error.contains("300 s"), "{error}");
}

#[tokio::test]
async fn nobody_waits_for_an_answer_to_who_has_reset_a_connection() {
    for protocol in ["v4.channel.k8s.io", "v5.channel.k8s.io"] {
        let (listener, url) = listen().await;
        let (client, forwarded) = local().await;
        let server = async {
            let socket = accept(&listener, protocol).await;
            rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
            drop(client);
            pause();
            (socket, Instant::now())
        };
        let forwarding = timeout(Duration::from_secs(3600), forward(&url, forwarded));
        let (ended, (_socket, began)) = tokio::join!(forwarding, server);
        ended.unwrap().unwrap();
        assert!(began.elapsed() < FORWARD_REST);
        resume();
    }
}

#[tokio::test]
async fn a_server_that_says_what_went_wrong_and_stays() {
    let (listener, url) = listen().await;
    let (_client, forwarded) = local().await;
    let server = async {
        let mut socket = accept(&listener, "v5.channel.k8s.io").await;
        socket.send(said(1, "\x50\0it went wrong")).await.unwrap();
        pause();
        (socket, Instant::now())
    };
    let forwarding = timeout(Duration::from_secs(3600), forward(&url, forwarded));
    let (ended, (_socket, began)) = tokio::join!(forwarding, server);
    assert_eq!(ended.unwrap().unwrap_err().to_string(), "it went wrong");
    assert!(began.elapsed() >= SESSION_END && began.elapsed() <= 2 * SESSION_END);
}

/// A command that waits for more, of a server that can't be told that there is none.
#[tokio::test]
async fn the_end_of_a_transfer_of_which_nobody_can_be_told() {
    let (listener, url) = listen().await;
    let (pieces, input) = mpsc::channel(1);
    let sending = async move { pieces.send(b"all".to_vec()).await.unwrap() };
    let server = async {
        let mut socket = accept(&listener, "v4.channel.k8s.io").await;
        let piece = socket.next().await;
        pause();
        (socket, piece)
    };
    let (ended, (), (_socket, piece)) = tokio::join!(transfer(&url, Some(input), None), sending, server);
    assert_eq!(piece.unwrap().unwrap().into_data().as_ref(), b"\0all");
    assert!(matches!(ended, Err(StreamError::Deaf)), "{ended:?}");
}
