//! A client's end, written from the specification, against ours.

use bytes::{BufMut, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::dictionary::dictionary;
use super::{SpdyConnection, SpdyError, SpdyEvent};

struct Client(Compress);

impl Client {
    fn new() -> Self {
        let mut compress = Compress::new(Compression::default(), true);
        compress.set_dictionary(&dictionary()).unwrap();
        Self(compress)
    }

    fn block(&mut self, headers: &[(&str, &str)]) -> Vec<u8> {
        let mut plain = Vec::new();
        let mut put = |text: &[u8]| {
            plain.put_u32(text.len() as u32);
            plain.put_slice(text);
        };
        for (name, value) in headers {
            put(name.as_bytes());
            put(value.as_bytes());
        }
        let plain = [&(headers.len() as u32).to_be_bytes()[..], &plain].concat();
        let mut block = Vec::with_capacity(plain.len() + 1024);
        self.0.compress_vec(&plain, &mut block, FlushCompress::Sync).unwrap();
        block
    }

    fn open(&mut self, stream: u32, flags: u8, headers: &[(&str, &str)]) -> Vec<u8> {
        let block = self.block(headers);
        let body = [&stream.to_be_bytes()[..], &[0; 6], &block].concat();
        control(1, flags, &body)
    }
}

fn control(kind: u16, flags: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    [&[0x80, 3][..], &kind.to_be_bytes(), &[flags], &length[1..], body].concat()
}

fn data(stream: u32, fin: bool, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&stream.to_be_bytes()[..], &[u8::from(fin)], &length[1..], payload].concat()
}

/// All that follows from `bytes`, which come in pieces of `size`.
fn receive_in(connection: &mut SpdyConnection, bytes: &[u8], size: usize) -> Result<Vec<SpdyEvent>, SpdyError> {
    let (mut input, mut events) = (BytesMut::new(), Vec::new());
    for piece in bytes.chunks(size) {
        input.extend_from_slice(piece);
        while let Some(event) = connection.receive(&mut input)? {
            events.push(event);
        }
    }
    Ok(events)
}

fn receive(connection: &mut SpdyConnection, bytes: &[u8]) -> Result<Vec<SpdyEvent>, SpdyError> {
    receive_in(connection, bytes, usize::MAX)
}

/// What came on each stream, and which ended: pieces joined.
fn contents(events: &[SpdyEvent]) -> Vec<(u32, Vec<u8>, bool)> {
    let mut streams: Vec<(u32, Vec<u8>, bool)> = Vec::new();
    for event in events {
        match event {
            SpdyEvent::Opened { stream, ended, .. } => streams.push((*stream, Vec::new(), *ended)),
            SpdyEvent::Data { stream, payload, last } => {
                let entry = streams.iter_mut().find(|(id, ..)| id == stream).unwrap();
                entry.1.extend_from_slice(payload);
                entry.2 |= *last;
            }
            SpdyEvent::Reset(_) | SpdyEvent::GoAway => {}
        }
    }
    streams
}

#[test]
fn a_command_from_its_streams_to_its_end() {
    for size in [1, 7, usize::MAX] {
        let (mut client, mut server) = (Client::new(), SpdyConnection::new());
        let bytes = [
            client.open(1, 0, &[("streamtype", "error")]),
            client.open(3, 0, &[("streamtype", "stdin")]),
            client.open(5, 1, &[("streamtype", "stdout"), ("x", "a\0b")]),
            data(3, false, b"hello "),
            control(6, 0, &7u32.to_be_bytes()),
            data(3, false, b"world"),
            data(3, true, b""),
            control(4, 0, &[0; 12]),
            control(9, 0, &[0; 8]),
        ]
        .concat();
        let events = receive_in(&mut server, &bytes, size).unwrap();
        let kinds: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                SpdyEvent::Opened { headers, .. } => headers.get("streamtype"),
                _ => None,
            })
            .collect();
        assert_eq!(kinds, ["error", "stdin", "stdout"]);
        let Some(SpdyEvent::Opened { headers, .. }) =
            events.iter().find(|event| matches!(event, SpdyEvent::Opened { stream: 5, .. }))
        else {
            panic!("{events:?}")
        };
        assert_eq!((headers.get("x"), headers.get("y")), (Some("a"), None));
        assert_eq!(contents(&events), [(1, vec![], false), (3, b"hello world".to_vec(), true), (5, vec![], true)]);
        // The ping is answered, unchanged; settings and windows are not.
        assert_eq!(server.take_output(), control(6, 0, &7u32.to_be_bytes()));

        // Nothing goes out on a stream before its opening is answered: the client would drop it.
        server.send(5, b"early");
        assert!(server.take_output().is_empty());
        server.accept(5);
        server.accept(5);
        let reply = server.take_output();
        assert_eq!((&reply[..4], &reply[8..12]), (&[0x80, 3, 0, 2][..], &5u32.to_be_bytes()[..]));
        let mut headers = Vec::with_capacity(64);
        let mut inflate = Decompress::new(true);
        let first = inflate.decompress_vec(&reply[12..], &mut headers, FlushDecompress::Sync).unwrap_err();
        assert!(first.needs_dictionary().is_some());
        inflate.set_dictionary(&dictionary()).unwrap();
        let rest = &reply[12 + inflate.total_in() as usize..];
        inflate.decompress_vec(rest, &mut headers, FlushDecompress::Sync).unwrap();
        assert_eq!(headers, [0; 4]);
        server.send(5, b"out");
        server.finish(5);
        server.finish(5);
        server.send(5, b"late");
        assert_eq!(server.take_output(), [data(5, false, b"out"), data(5, true, b"")].concat());
        server.reset(1);
        server.go_away();
        let end = [control(3, 0, &[0, 0, 0, 1, 0, 0, 0, 5]), control(7, 0, &[0, 0, 0, 5, 0, 0, 0, 0])].concat();
        assert_eq!(server.take_output(), end);
    }
}

#[test]
fn both_directions_end_by_themselves() {
    let (mut client, mut server) = (Client::new(), SpdyConnection::new());
    receive(&mut server, &client.open(1, 0, &[])).unwrap();
    server.accept(1);
    server.finish(1);
    server.take_output();
    // The client goes on after we have ended, and ends later; then the stream is over.
    let events = receive(&mut server, &[data(1, false, b"a"), data(1, true, b"b")].concat()).unwrap();
    assert_eq!(receive(&mut server, &client.open(3, 0, &[])).unwrap().len(), 1);
    assert!(matches!(&events[..], [SpdyEvent::Data { last: false, .. }, SpdyEvent::Data { last: true, .. }]));
    assert_eq!(receive(&mut server, &data(1, false, b"c")), Ok(vec![]));
    assert!(server.take_output().is_empty());
    // More after its end, on a stream that is still ours: it is given up.
    receive(&mut server, &data(3, true, b"")).unwrap();
    assert_eq!(receive(&mut server, &data(3, false, b"x")), Ok(vec![SpdyEvent::Reset(3)]));
    assert_eq!(server.take_output(), control(3, 0, &[0, 0, 0, 3, 0, 0, 0, 9]));
    // On one that was never opened.
    assert_eq!(receive(&mut server, &data(99, false, b"x")), Ok(vec![]));
    assert_eq!(server.take_output(), control(3, 0, &[0, 0, 0, 99, 0, 0, 0, 2]));
}

#[test]
fn the_client_gives_up() {
    let (mut client, mut server) = (Client::new(), SpdyConnection::new());
    let bytes = [client.open(1, 0, &[]), control(3, 0, &[0, 0, 0, 1, 0, 0, 0, 5]), control(7, 0, &[0; 8])].concat();
    let events = receive(&mut server, &bytes).unwrap();
    assert!(matches!(&events[..], [SpdyEvent::Opened { .. }, SpdyEvent::Reset(1), SpdyEvent::GoAway]));
    server.accept(1);
    server.send(1, b"x");
    assert!(server.take_output().is_empty());
}

#[test]
fn nonsense_ends_the_connection() {
    let mut client = Client::new();
    let twice = [client.open(1, 0, &[]), client.open(1, 0, &[])].concat();
    let long = "v".repeat(crate::HEADER_BLOCK_BYTES);
    let cases = [
        (twice, SpdyError::StreamNumber(1)),
        (Client::new().open(2, 0, &[]), SpdyError::StreamNumber(2)),
        (Client::new().open(1, 0, &[("a", "1"), ("a", "2")]), SpdyError::Headers),
        (Client::new().open(1, 0, &[("", "1")]), SpdyError::Headers),
        (Client::new().open(1, 0, &[("a", &long)]), SpdyError::HeadersTooLong),
        (control(1, 0, &[0; 9]), SpdyError::FrameTooShort(1)),
        (control(1, 0, &[&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], b"no zlib"].concat()), SpdyError::Headers),
        (
            control(1, 0, &vec![0; crate::CONTROL_FRAME_BYTES + 1]),
            SpdyError::FrameTooLong(crate::CONTROL_FRAME_BYTES + 1),
        ),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), SpdyError::FrameTooLong(0)),
        (vec![0x80, 2, 0, 1, 0, 0, 0, 0], SpdyError::Version(2)),
    ];
    for (bytes, expected) in cases {
        let found = receive(&mut SpdyConnection::new(), &bytes);
        // Text looks like data on some stream, which is refused; it is no end of the connection by itself.
        match expected {
            SpdyError::FrameTooLong(0) => assert_eq!(found, Ok(vec![])),
            _ => assert_eq!(found, Err(expected)),
        }
    }
}

#[test]
fn streams_have_a_bound() {
    let (mut client, mut server) = (Client::new(), SpdyConnection::new());
    let open = |client: &mut Client, id: u32| client.open(id, 0, &[("streamtype", "data")]);
    for number in 0..crate::STREAMS as u32 {
        assert_eq!(receive(&mut server, &open(&mut client, 2 * number + 1)).unwrap().len(), 1);
    }
    let next = 2 * crate::STREAMS as u32 + 1;
    assert_eq!(receive(&mut server, &open(&mut client, next)), Ok(vec![]));
    assert_eq!(server.take_output(), control(3, 0, &[next.to_be_bytes(), 3u32.to_be_bytes()].concat()));
    // One that ends makes room.
    server.reset(1);
    assert_eq!(receive(&mut server, &open(&mut client, next + 2)).unwrap().len(), 1);
}

#[test]
fn no_more_streams() {
    let (mut client, mut server) = (Client::new(), SpdyConnection::new());
    assert_eq!(receive(&mut server, &client.open(1, 0, &[])).unwrap().len(), 1);
    server.open_no_more();
    // Whatever their headers are.
    let late = [client.open(3, 0, &[]), control(1, 0, &[&[0, 0, 0, 5, 0, 0, 0, 0, 0, 0][..], b"no zlib"].concat())];
    assert_eq!(receive(&mut server, &late.concat()), Ok(vec![]));
    let refused = |id: u32| control(3, 0, &[id.to_be_bytes(), 3u32.to_be_bytes()].concat());
    assert_eq!(server.take_output(), [refused(3), refused(5)].concat());
    let events = receive(&mut server, &data(1, false, b"x")).unwrap();
    assert!(matches!(&events[..], [SpdyEvent::Data { stream: 1, .. }]));
}

#[test]
fn a_large_frame_passes_through() {
    let (mut client, mut server) = (Client::new(), SpdyConnection::new());
    receive(&mut server, &client.open(1, 0, &[])).unwrap();
    server.accept(1);
    server.take_output();
    let large: Vec<u8> = (0..0x00ff_ffffu32).map(|n| n as u8).collect();
    let events = receive_in(&mut server, &data(1, true, &large), 32 << 10).unwrap();
    assert!(events.len() > 500);
    let came: Vec<u8> = events
        .iter()
        .flat_map(|event| match event {
            SpdyEvent::Data { payload, .. } => payload.to_vec(),
            _ => Vec::new(),
        })
        .collect();
    assert!(came == large && matches!(events.last(), Some(SpdyEvent::Data { last: true, .. })));
    // Back, in two frames, because one can't hold it.
    server.send(1, &[large.clone(), b"x".to_vec()].concat());
    assert!(server.take_output() == [data(1, false, &large), data(1, false, b"x")].concat()[..]);
}
