//! What clients send, damaged in every way.

use bytes::BytesMut;

use crate::channels::{ChannelProtocol, Encoding};
use crate::resize::Sizes;
use crate::spdy::{SpdyConnection, SpdyEvent};
use crate::version::CommandVersion;

#[test]
fn spdy_connection() {
    // Two streams are opened, one is written to and ended; a ping.
    let opening = b"\x80\x03\x00\x01\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00";
    let data = b"\x00\x00\x00\x01\x01\x00\x00\x02hi";
    let ping = b"\x80\x03\x00\x06\x00\x00\x00\x04\x00\x00\x00\x01";
    // A connection has a compressor and a decompressor: a third of a megabyte.
    let budget = peapod_fuzz::FuzzBudget { bytes: 4 << 20, ..peapod_fuzz::FuzzBudget::default() };
    peapod_fuzz::target!("spdy")
        .budget(budget)
        .seeds([opening.to_vec(), data.to_vec(), ping.to_vec(), [&opening[..], data, ping].concat()])
        .tokens(["\u{0}\u{3}", "\u{0}\u{1}", "\u{0}\u{0}\u{0}"])
        .check(|input| {
            let mut connection = SpdyConnection::new().unwrap();
            let mut bytes = BytesMut::from(input);
            while let Ok(Some(event)) = connection.receive(&mut bytes) {
                if let SpdyEvent::Opened { stream, .. } = event {
                    connection.accept(stream).unwrap();
                    connection.send(stream, b"x");
                }
            }
            // A client's byte is answered with few.
            assert!(connection.take_output().len() <= 64 + 4 * input.len());
        });
}

#[test]
fn channel_message() {
    peapod_fuzz::target!("channel-message")
        .seeds([&b"0aGVsbG8="[..], b"\x00hello", b"\xff\x00"])
        .tokens(["=", "\u{0}", "4"])
        .check(|input| {
            for encoding in [Encoding::Binary, Encoding::Base64] {
                let _ = ChannelProtocol { version: CommandVersion::V5, encoding }.decode(input);
            }
        });
}

#[test]
fn terminal_size() {
    peapod_fuzz::target!("terminal-size")
        .seeds(["{\"Width\":80,\"Height\":24}\n{\"Width\":81,\"Height\":25}"])
        .tokens(["{", "}", "\"Width\":", "65536", ","])
        .check(|input| {
            let mut sizes = Sizes::default();
            for piece in input.chunks(11) {
                let _ = sizes.push(piece);
            }
        });
}
