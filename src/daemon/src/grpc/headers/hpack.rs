//! Header blocks as clients compress them (RFC 7541), written again without anything to remember: no entry of the table
//! that grows, no Huffman code. So the table of whoever reads them stays empty, and fields can be changed.

use std::collections::VecDeque;

use hyper::http::uri::Authority;

use super::{Violation, huffman};
use crate::bounds::HEADER_FIELDS;

/// Names of the fixed table, from index 1 on.
#[rustfmt::skip]
const STATIC: [&str; 61] = [
    ":authority", ":method", ":method", ":path", ":path", ":scheme", ":scheme", ":status", ":status", ":status", ":status",
    ":status", ":status", ":status", "accept-charset", "accept-encoding", "accept-language", "accept-ranges", "accept",
    "access-control-allow-origin", "age", "allow", "authorization", "cache-control", "content-disposition",
    "content-encoding", "content-language", "content-length", "content-location", "content-range", "content-type", "cookie",
    "date", "etag", "expect", "expires", "from", "host", "if-match", "if-modified-since", "if-none-match", "if-range",
    "if-unmodified-since", "last-modified", "link", "location", "max-forwards", "proxy-authenticate", "proxy-authorization",
    "range", "referer", "refresh", "retry-after", "server", "set-cookie", "strict-transport-security", "transfer-encoding",
    "user-agent", "vary", "via", "www-authenticate",
];

/// The field that this is all about, and its index.
const AUTHORITY: &str = ":authority";
const AUTHORITY_INDEX: usize = 1;

/// What HTTP/2 servers announce when they announce nothing.
const TABLE: usize = 4096;
/// What an entry costs beside its texts.
const ENTRY: usize = 32;

/// A client's compression.
#[derive(Debug)]
pub(super) struct Decoder {
    /// The newest first.
    table: VecDeque<(Vec<u8>, Vec<u8>)>,
    size: usize,
    limit: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { table: VecDeque::new(), size: 0, limit: TABLE }
    }
}

impl Decoder {
    /// A block's fields, written anew. Of more than [`HEADER_FIELDS`] bytes the rest is left out: who reads them
    /// refuses so many, and the request with them.
    pub(super) fn rewrite(&mut self, block: &[u8]) -> Result<Vec<u8>, Violation> {
        let mut written = Vec::with_capacity(block.len() + 64);
        let mut rest = Reader(block);
        let mut begun = false;
        while let Some(&kind) = rest.0.first() {
            let field = match kind {
                0x80.. => Some(self.indexed(rest.number(7)?)?),
                0x40.. => {
                    let (name, value) = self.literal(&mut rest, 6)?;
                    self.remember(name.clone(), value.clone());
                    Some((name, value))
                }
                0x20.. => {
                    self.resize(rest.number(5)?, begun)?;
                    None
                }
                _ => Some(self.literal(&mut rest, 4)?),
            };
            let Some((name, value)) = field else { continue };
            begun = true;
            if written.len() <= HEADER_FIELDS {
                write(&mut written, &name, &value);
            }
        }
        Ok(written)
    }

    /// A field of a table. Of the fixed one only the name is known here, so such a field is passed on as it is.
    fn indexed(&self, index: usize) -> Result<(Vec<u8>, FieldValue), Violation> {
        match index {
            0 => Err(Violation::Compression),
            // Its value is empty.
            AUTHORITY_INDEX => Ok((AUTHORITY.into(), FieldValue::Text(Vec::new()))),
            2..=61 => Ok((Vec::new(), FieldValue::Index(index))),
            _ => {
                let (name, value) = self.table.get(index - STATIC.len() - 1).ok_or(Violation::Compression)?;
                Ok((name.clone(), FieldValue::Text(value.clone())))
            }
        }
    }

    fn literal(&self, rest: &mut Reader<'_>, bits: u32) -> Result<(Vec<u8>, FieldValue), Violation> {
        let name = match rest.number(bits)? {
            0 => rest.text()?,
            index @ 1..=61 => STATIC[index - 1].into(),
            index => self.table.get(index - STATIC.len() - 1).ok_or(Violation::Compression)?.0.clone(),
        };
        Ok((name, FieldValue::Text(rest.text()?)))
    }

    fn remember(&mut self, name: Vec<u8>, value: FieldValue) {
        let FieldValue::Text(value) = value else { return };
        let size = name.len() + value.len() + ENTRY;
        self.size += size;
        self.table.push_front((name, value));
        // One that does not fit at all empties the table, itself included.
        self.shrink();
    }

    fn resize(&mut self, limit: usize, begun: bool) -> Result<(), Violation> {
        if begun || limit > TABLE {
            return Err(Violation::Compression);
        }
        self.limit = limit;
        self.shrink();
        Ok(())
    }

    fn shrink(&mut self) {
        while self.size > self.limit
            && let Some((name, value)) = self.table.pop_back()
        {
            self.size -= name.len() + value.len() + ENTRY;
        }
    }
}

/// A field's value.
#[derive(Clone, Debug)]
enum FieldValue {
    /// That of the fixed table's entry, with its name.
    Index(usize),
    Text(Vec<u8>),
}

/// Writes a field as one that is not remembered.
fn write(to: &mut Vec<u8>, name: &[u8], value: &FieldValue) {
    let value = match value {
        // All of them fit into seven bits.
        FieldValue::Index(index) => return to.push(0x80 | u8::try_from(*index).unwrap_or_default()),
        FieldValue::Text(_) if name == AUTHORITY.as_bytes() && !is_authority(value) => &b"localhost"[..],
        FieldValue::Text(value) => value,
    };
    to.push(0);
    for text in [name, value] {
        number(to, 7, text.len());
        to.extend_from_slice(text);
    }
}

/// Over a unix socket clients call the peer whatever their library makes of its path: percent-encoded, as it is,
/// nothing. Nobody here looks at it, but HTTP libraries refuse what could stand in no URL.
fn is_authority(value: &FieldValue) -> bool {
    matches!(value, FieldValue::Text(text) if Authority::try_from(text.as_slice()).is_ok())
}

/// A number, whose first bits share a byte with a kind; that of zeros here.
fn number(to: &mut Vec<u8>, bits: u32, number: usize) {
    let most = (1 << bits) - 1;
    if number < most {
        return to.push(u8::try_from(number).unwrap_or_default());
    }
    to.push(u8::try_from(most).unwrap_or_default());
    let mut rest = number - most;
    while rest >= 0x80 {
        to.push(0x80 | u8::try_from(rest & 0x7f).unwrap_or_default());
        rest >>= 7;
    }
    to.push(u8::try_from(rest).unwrap_or_default());
}

/// What is left of a block.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn byte(&mut self) -> Result<u8, Violation> {
        let (byte, rest) = self.0.split_first().ok_or(Violation::Compression)?;
        self.0 = rest;
        Ok(*byte)
    }

    fn number(&mut self, bits: u32) -> Result<usize, Violation> {
        let most = (1_usize << bits) - 1;
        let mut number = usize::from(self.byte()?) & most;
        if number < most {
            return Ok(number);
        }
        // Three more bytes reach beyond every block.
        for shift in [0, 7, 14] {
            let byte = self.byte()?;
            number += usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Violation::Compression)
    }

    fn text(&mut self) -> Result<Vec<u8>, Violation> {
        let coded = self.0.first().is_some_and(|byte| *byte >= 0x80);
        let length = self.number(7)?;
        let (text, rest): (&'b [u8], _) = self.0.split_at_checked(length).ok_or(Violation::Compression)?;
        self.0 = rest;
        if coded { huffman::decode(text) } else { Ok(text.to_vec()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fields as they are written: `0`, length, name, length, value.
    fn plain(fields: &[(&str, &str)]) -> Vec<u8> {
        let mut written = Vec::new();
        for (name, value) in fields {
            write(&mut written, name.as_bytes(), &FieldValue::Text(value.as_bytes().to_vec()));
        }
        written
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let hex: String = hex.split_whitespace().collect();
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn requests_of_the_standard() {
        // RFC 7541, C.4: three requests over one connection, with Huffman codes and a table that grows.
        let mut decoder = Decoder::default();
        let fixed = |indexes: &[u8]| indexes.iter().map(|index| 0x80 | index).collect::<Vec<u8>>();
        let first = decoder.rewrite(&bytes("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff")).unwrap();
        assert_eq!(first, [fixed(&[2, 6, 4]), plain(&[(":authority", "www.example.com")])].concat());
        let second = decoder.rewrite(&bytes("8286 84be 5886 a8eb 1064 9cbf")).unwrap();
        let expected = plain(&[(":authority", "www.example.com"), ("cache-control", "no-cache")]);
        assert_eq!(second, [fixed(&[2, 6, 4]), expected].concat());
        let third = decoder.rewrite(&bytes("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf")).unwrap();
        let expected = plain(&[(":authority", "www.example.com"), ("custom-key", "custom-value")]);
        assert_eq!(third, [fixed(&[2, 7, 5]), expected].concat());
        assert_eq!(decoder.size, 164);
    }

    #[test]
    fn authorities_of_unix_clients() {
        let kept = ["localhost", "peapod", "127.0.0.1:80", "[::1]:80", "user@host", "peapod.sock"];
        let replaced =
            ["", "%2Frun%2Fpeapod%2Fpeapod.sock", "/run/peapod/peapod.sock", "unix:/run/x", "a b", "\u{1}", "::"];
        for (authority, expected) in
            kept.iter().map(|kept| (*kept, *kept)).chain(replaced.iter().map(|replaced| (*replaced, "localhost")))
        {
            // As new fields, with the fixed name or its own, remembered or not, and then from the table.
            let value = [&[u8::try_from(authority.len()).unwrap()], authority.as_bytes()].concat();
            let named = [&[10], &b":authority"[..], &value].concat();
            for literal in [
                [&[0x41][..], &value].concat(),
                [&[0x01][..], &value].concat(),
                [&[0x11][..], &value].concat(),
                [&[0x40][..], &named].concat(),
                [&[0x00][..], &named].concat(),
            ] {
                let mut decoder = Decoder::default();
                assert_eq!(decoder.rewrite(&literal), Ok(plain(&[(":authority", expected)])), "{authority:?}");
                if literal[0] >= 0x40 {
                    assert_eq!(decoder.rewrite(&[0xbe]), Ok(plain(&[(":authority", expected)])), "{authority:?}");
                }
            }
        }
        // The fixed table's own one is empty.
        assert_eq!(Decoder::default().rewrite(&[0x81]), Ok(plain(&[(":authority", "localhost")])));
    }

    #[test]
    fn entries_leave_the_table_in_order() {
        let mut decoder = Decoder::default();
        // 40 bytes each; 100 of them are 4000, so that the oldest have to go.
        for number in 0..110 {
            decoder.rewrite(format!("\x40\x04name\x04{number:04}").as_bytes()).unwrap();
        }
        assert_eq!((decoder.table.len(), decoder.size), (102, 4080));
        assert_eq!(decoder.rewrite(&[0xbe]), Ok(plain(&[("name", "0109")])));
        // A smaller table, then one entry that fits into none.
        assert_eq!(decoder.rewrite(&[0x3f, 0x31, 0xbe]), Ok(plain(&[("name", "0109")])));
        assert_eq!((decoder.table.len(), decoder.size), (2, 80));
        let long = [b"\x40\x04name\x7f\x01".as_slice(), &[b'v'; 128]].concat();
        decoder.rewrite(&long).unwrap();
        assert_eq!((decoder.table.len(), decoder.size), (0, 0));
    }

    #[test]
    fn what_breaks_the_rules() {
        for wrong in [
            &[0x80][..],
            &[0xbe],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0x0f],
            &[0x41],
            &[0x41, 0x05, b'x'],
            &[0x7e, 0x01, b'x'],
            &[0x41, 0x81, 0x00],
            &[0x3f, 0xe2, 0x1f],
            &[0x82, 0x20],
        ] {
            assert_eq!(Decoder::default().rewrite(wrong), Err(Violation::Compression), "{wrong:x?}");
        }
    }

    #[test]
    fn a_small_block_does_not_become_a_large_one() {
        let mut decoder = Decoder::default();
        let entry = [b"\x40\x04name\x7f\xd1\x1e".as_slice(), &[b'v'; 4048]].concat();
        decoder.rewrite(&entry).unwrap();
        assert_eq!(decoder.table.len(), 1);
        let bomb = decoder.rewrite(&[0xbe; 60_000]).unwrap();
        assert!(bomb.len() > HEADER_FIELDS && bomb.len() < HEADER_FIELDS + 5000, "{}", bomb.len());
    }
}
