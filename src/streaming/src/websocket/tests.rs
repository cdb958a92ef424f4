//! A client's frames, written from the specification.

use bytes::{Bytes, BytesMut};

use super::{MessageHead, MessageKind, SocketError, SocketEvent, WebSocket};

const MASK: [u8; 4] = [1, 0xf2, 3, 0x84];

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = match payload.len() {
        short @ ..126 => vec![0x80 | short as u8],
        middle @ ..0x1_0000 => [&[0x80 | 126][..], &(middle as u16).to_be_bytes()].concat(),
        long => [&[0x80 | 127][..], &(long as u64).to_be_bytes()].concat(),
    };
    let hidden: Vec<u8> = payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    [&[first][..], &length, &MASK, &hidden].concat()
}

/// A message; none is a close.
type Received = Option<Vec<u8>>;

/// Messages, whole, with what was answered.
fn receive(bytes: &[u8], size: usize) -> Result<(Vec<Received>, Vec<u8>), SocketError> {
    let (mut socket, mut input) = (WebSocket::default(), BytesMut::new());
    let mut messages: Vec<Received> = Vec::new();
    for piece in bytes.chunks(size) {
        input.extend_from_slice(piece);
        while let Some(event) = socket.receive(&mut input)? {
            match event {
                SocketEvent::Closed => messages.push(None),
                SocketEvent::Piece { payload, first, .. } => {
                    if first {
                        messages.push(Some(Vec::new()));
                    }
                    messages.last_mut().unwrap().as_mut().unwrap().extend_from_slice(&payload);
                }
            }
        }
    }
    Ok((messages, socket.take_output().to_vec()))
}

#[test]
fn messages_whole_and_in_frames() {
    let long: Vec<u8> = (0..70_000u32).map(|n| n as u8).collect();
    let middle = &long[..60_000];
    let bytes = [
        frame(0x82, b"one"),
        frame(0x02, b"tw"),
        frame(0x89, b"ping"),
        frame(0x00, middle),
        frame(0x8a, b"nobody asked"),
        frame(0x80, b""),
        frame(0x81, &long),
        frame(0x88, &1000u16.to_be_bytes()),
    ]
    .concat();
    for size in [1, 7, 4096, usize::MAX] {
        let (messages, output) = receive(&bytes, size).unwrap();
        let second = [b"tw", middle].concat();
        assert!(messages == [Some(b"one".to_vec()), Some(second), Some(long.clone()), None]);
        // The ping and the close are answered.
        assert_eq!(output, [&b"\x8a\x04ping"[..], b"\x88\x02\x03\xe8"].concat());
    }
}

#[test]
fn the_end_of_a_message_is_told_once() {
    let mut socket = WebSocket::default();
    let mut input = BytesMut::from(&[frame(0x02, b"ab"), frame(0x80, b"")].concat()[..]);
    let piece = |payload: &'static [u8], first, last| {
        Ok(Some(SocketEvent::Piece { payload: Bytes::from_static(payload), first, last }))
    };
    assert_eq!(socket.receive(&mut input), piece(b"ab", true, false));
    assert_eq!(socket.receive(&mut input), piece(b"", false, true));
    assert_eq!(socket.receive(&mut input), Ok(None));
}

#[test]
fn nonsense_ends_the_connection() {
    let unmasked = |first| vec![first, 0];
    let cases = [
        (unmasked(0x82), SocketError::Unmasked),
        (frame(0xc2, b"compressed"), SocketError::Reserved),
        (frame(0x83, b""), SocketError::Kind(3)),
        (frame(0x09, b"a cut ping"), SocketError::Control),
        (frame(0x89, &[0; 126]), SocketError::Control),
        (frame(0x80, b"the rest of nothing"), SocketError::Order),
        ([frame(0x02, b""), frame(0x82, b"")].concat(), SocketError::Order),
        ([&[0x82, 0xff][..], &[0xff; 8], &MASK].concat(), SocketError::Length),
    ];
    for (bytes, expected) in cases {
        for size in [1, usize::MAX] {
            assert_eq!(receive(&bytes, size), Err(expected));
        }
    }
}

#[test]
fn heads_are_as_short_as_they_can_be() {
    let head = |kind, length| MessageHead::new(kind, length).as_bytes().to_vec();
    assert_eq!(head(MessageKind::Text, 125), [0x81, 125]);
    assert_eq!(head(MessageKind::Binary, 126), [0x82, 126, 0, 126]);
    assert_eq!(head(MessageKind::Binary, 0xffff), [0x82, 126, 0xff, 0xff]);
    assert_eq!(head(MessageKind::Binary, 0x1_0000), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn it_is_closed_once() {
    let mut socket = WebSocket::default();
    socket.send(MessageKind::Binary, b"\x01out");
    socket.close();
    let mut input = BytesMut::from(&frame(0x88, &1000u16.to_be_bytes())[..]);
    assert_eq!(socket.receive(&mut input), Ok(Some(SocketEvent::Closed)));
    assert_eq!(&socket.take_output()[..], b"\x82\x04\x01out\x88\x02\x03\xe8");
}
