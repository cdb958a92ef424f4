//! Whole connections, whatever pieces they come in.

use super::*;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn fed(rewriter: &mut Rewriter, input: &[u8], piece: usize) -> Vec<u8> {
    let mut out = Vec::new();
    input.chunks(piece).for_each(|piece| rewriter.feed(piece, &mut out));
    out
}

const START: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// `:authority: /x`, and the same as it is read.
const SENT: &[u8] = b"\x82\x41\x02/x";
const READ: &[u8] = b"\x82\x00\x0a:authority\x09localhost";

#[test]
fn blocks_are_rewritten_and_all_else_is_passed_on() {
    let settings = frame(4, 0, 0, &[0; 6]);
    let data = frame(0, 1, 1, &[7; 50_000 >> 2]);
    let padded = [&[3, 0, 0, 0, 0, 9][..], SENT, &[0; 3]].concat();
    let sent = [
        START,
        &settings,
        &frame(HEADERS, END_HEADERS, 1, SENT),
        &data,
        &frame(4, 1, 0, &[]),
        &frame(HEADERS, END_HEADERS | PADDED | PRIORITY | 1, 3, &padded),
        &frame(HEADERS, 1, 5, &SENT[..2]),
        &frame(CONTINUATION, 0, 5, &[]),
        &frame(CONTINUATION, END_HEADERS, 5, &SENT[2..]),
        &frame(6, 0, 0, &[0; 8]),
    ]
    .concat();
    let read = [
        START,
        &settings,
        &frame(HEADERS, END_HEADERS, 1, READ),
        &data,
        &frame(4, 1, 0, &[]),
        &frame(HEADERS, END_HEADERS | 1, 3, READ),
        &frame(HEADERS, END_HEADERS | 1, 5, READ),
        &frame(6, 0, 0, &[0; 8]),
    ]
    .concat();
    for piece in [1, 2, 3, 7, 1000, sent.len()] {
        let mut rewriter = Rewriter::default();
        assert!(fed(&mut rewriter, &sent, piece) == read, "in pieces of {piece}");
        assert!(rewriter.is_greeted());
    }
}

#[test]
fn long_blocks_are_written_in_frames_that_are_taken() {
    let mut rewriter = Rewriter::default();
    fed(&mut rewriter, START, 100);
    let mut block = b"\x00\x01n\x7f\x81\x7c".to_vec();
    block.extend_from_slice(&[b'v'; 16_000]);
    block.extend_from_slice(b"\x00\x01m\x7f\xe9\x06");
    block.extend_from_slice(&[b'w'; 1000]);
    let sent = [
        frame(HEADERS, 0, 1, &block[..10]),
        frame(CONTINUATION, 0, 1, &block[10..16_000]),
        frame(CONTINUATION, END_HEADERS, 1, &block[16_000..]),
    ]
    .concat();
    let read = fed(&mut rewriter, &sent, 1000);
    let expected =
        [frame(HEADERS, 0, 1, &block[..PAYLOAD]), frame(CONTINUATION, END_HEADERS, 1, &block[PAYLOAD..])].concat();
    assert!(read == expected);
}

/// What is passed on at the end of a connection that breaks a rule.
fn broken(sent: &[u8]) -> (Vec<u8>, bool) {
    let mut rewriter = Rewriter::default();
    fed(&mut rewriter, START, 100);
    let read = fed(&mut rewriter, sent, 4096);
    let more = fed(&mut rewriter, &frame(6, 0, 0, &[0; 8]), 100);
    (read, more.is_empty())
}

#[test]
fn whoever_breaks_the_rules_is_left_to_the_library() {
    let begun = frame(HEADERS, 0, 1, SENT);
    for sent in [
        [begun.clone(), frame(0, 0, 1, b"data")].concat(),
        [begun.clone(), frame(CONTINUATION, END_HEADERS, 3, SENT)].concat(),
        [begun.clone(), begun.clone()].concat(),
        frame(CONTINUATION, END_HEADERS, 1, SENT),
        frame(HEADERS, END_HEADERS | PADDED, 1, &[200, 0]),
        frame(HEADERS, END_HEADERS | PRIORITY, 1, &[0; 4]),
        [begun.clone(), frame(CONTINUATION, 0, 1, &[]).repeat(HEADER_FRAMES)].concat(),
        [begun, frame(CONTINUATION, 0, 1, &[0x82; PAYLOAD]).repeat(HEADER_BLOCK / PAYLOAD)].concat(),
    ] {
        assert_eq!(broken(&sent), (Violation::Protocol.frame().to_vec(), true));
    }
    let sent = frame(HEADERS, END_HEADERS, 1, &[0xff, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(broken(&sent), (Violation::Compression.frame().to_vec(), true));
    // Too long for the library, which says so by itself.
    let long = frame(HEADERS, END_HEADERS, 1, &[0x82; PAYLOAD + 1]);
    assert!(broken(&long).0 == long);
}
