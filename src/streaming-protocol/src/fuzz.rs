//! Datagrams, damaged in every way: each is refused, or is exactly what the message says that it is.

use std::time::Duration;

use crate::{
    CommandStreams, FORWARDED_PORTS, MESSAGE_BYTES, REASON_BYTES, Registration, SessionKind, SessionMessage,
    SessionToken, ToDaemon, ToServer, ToSession, ToShim,
};

fn token() -> SessionToken {
    SessionToken::parse(b"abcdefghij-_0123").unwrap()
}

fn registration(kind: SessionKind) -> ToServer {
    let [idle, creation, expiry] = [4 * 3600, 30, 60].map(Duration::from_secs);
    ToServer::Register(Registration { token: token(), kind, idle, creation, expiry })
}

fn to_server() -> Vec<ToServer> {
    let streams = CommandStreams { tty: true, stdin: true, stdout: true, stderr: false };
    vec![
        ToServer::Tls,
        ToServer::Listen,
        registration(SessionKind::Exec(streams)),
        registration(SessionKind::Attach(CommandStreams { tty: false, stderr: true, ..streams })),
        registration(SessionKind::PortForward(vec![80, 65535])),
        registration(SessionKind::PortForward(vec![1; FORWARDED_PORTS])),
        ToServer::Refused { token: token(), text: "no such container".to_owned() },
    ]
}

fn to_daemon() -> Vec<ToDaemon> {
    let token = token();
    let failed = ToDaemon::Failed { text: "no seccomp".to_owned() };
    vec![
        ToDaemon::Listening,
        ToDaemon::Claimed { token },
        ToDaemon::Gone { token },
        ToDaemon::Expired { token },
        failed,
    ]
}

fn to_session() -> Vec<ToSession> {
    vec![
        ToSession::Hello { token: token() },
        ToSession::Started { streams: CommandStreams { tty: false, stdin: true, stdout: true, stderr: true } },
        ToSession::Exited { code: 137 },
        ToSession::Failed { text: "x".repeat(REASON_BYTES) },
        ToSession::Lagged,
        ToSession::Dialled { id: 7 },
        ToSession::NotDialled { id: u32::MAX, text: "connection refused".to_owned() },
    ]
}

fn to_shim() -> Vec<ToShim> {
    vec![ToShim::Resize { width: 80, height: 24 }, ToShim::Dial { id: 7, port: 8080 }]
}

fn encoded<M: SessionMessage>(messages: &[M]) -> Vec<Vec<u8>> {
    messages.iter().map(SessionMessage::encode).collect()
}

/// What is read says again what was sent.
fn check<M: SessionMessage>(datagram: &[u8]) {
    let Ok(message) = M::decode(datagram) else { return };
    assert_eq!(message.encode(), datagram);
    assert!(message.descriptors() <= crate::MESSAGE_DESCRIPTORS);
}

#[test]
fn session_message() {
    let seeds = [encoded(&to_server()), encoded(&to_daemon()), encoded(&to_session()), encoded(&to_shim())].concat();
    peapod_fuzz::target!("session-message").seeds(seeds).tokens([&[1][..], &[3], &[0xff, 0xff], &[0; 4]]).check(
        |input| {
            check::<ToServer>(input);
            check::<ToDaemon>(input);
            check::<ToSession>(input);
            check::<ToShim>(input);
        },
    );
}

fn returns<M: SessionMessage + PartialEq + std::fmt::Debug>(messages: Vec<M>) {
    for message in messages {
        let datagram = message.encode();
        assert!(datagram.len() <= MESSAGE_BYTES, "{message:?}");
        assert_eq!(M::decode(&datagram), Ok(message));
        for length in 0..datagram.len() {
            assert!(M::decode(&datagram[..length]).is_err());
        }
    }
}

#[test]
fn every_message_returns_whole() {
    returns(to_server());
    returns(to_daemon());
    returns(to_session());
    returns(to_shim());
}

#[test]
fn what_is_too_long_is_cut() {
    let text = "ä".repeat(REASON_BYTES);
    let datagram = ToSession::Failed { text }.encode();
    let cut = ToSession::Failed { text: "ä".repeat(REASON_BYTES / 2) };
    assert_eq!(ToSession::decode(&datagram), Ok(cut));
    let datagram = registration(SessionKind::PortForward(vec![1; 70_000])).encode();
    assert_eq!(ToServer::decode(&datagram), Ok(registration(SessionKind::PortForward(vec![1; FORWARDED_PORTS]))));
}
