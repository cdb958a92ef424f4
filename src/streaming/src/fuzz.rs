//! What clients send, damaged in every way.

use bytes::{Bytes, BytesMut};

use crate::channels::{ChannelProtocol, ChannelReader, Encoding};
use crate::resize::Sizes;
use crate::spdy::{SpdyConnection, SpdyEvent};
use crate::version::CommandVersion;
use crate::websocket::{SocketEvent, WebSocket};

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
            let mut connection = SpdyConnection::new();
            let mut bytes = BytesMut::from(input);
            while let Ok(Some(event)) = connection.receive(&mut bytes) {
                if let SpdyEvent::Opened { stream, .. } = event {
                    connection.accept(stream);
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
                let protocol = ChannelProtocol { version: CommandVersion::V5, encoding };
                let whole = ChannelReader::new(protocol).read(Bytes::copy_from_slice(input), true);
                let mut reader = ChannelReader::new(protocol);
                let pieces = input.chunks(3).map(|piece| reader.read(Bytes::copy_from_slice(piece), false));
                // A message that is read whole is read in pieces.
                assert!(pieces.fold(whole.is_err(), |fails, piece| fails || piece.is_err()) || whole.is_ok());
            }
        });
}

#[test]
fn websocket() {
    // Two frames of a message with a ping between them, a close.
    let frames = b"\x02\x82\x01\x02\x03\x04hi\x89\x81\x01\x02\x03\x04x\x80\xfe\x00\x02\x01\x02\x03\x04ho";
    let close = b"\x88\x82\x00\x00\x00\x00\x03\xe8";
    peapod_fuzz::target!("websocket")
        .seeds([frames.to_vec(), close.to_vec(), [&frames[..], close].concat()])
        .tokens(["\u{0}\u{0}", "\u{1}"])
        .check(|input| {
            let (mut socket, mut bytes) = (WebSocket::default(), BytesMut::from(input));
            let mut pieces = 0;
            while let Ok(Some(event)) = socket.receive(&mut bytes) {
                if let SocketEvent::Piece { payload, .. } = event {
                    pieces += payload.len();
                }
            }
            assert!(pieces + socket.take_output().len() <= input.len());
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
