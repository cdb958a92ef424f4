//! The bytes of netlink: messages of a header and attributes, each aligned to four bytes.

use super::constants::NLA_F_NESTED;

const NLMSG_HDR: usize = 16;
const NLA_HDR: usize = 4;
const NLM_F_REQUEST: u16 = 1;
/// The low bits of an attribute's type; above them are flags.
const NLA_TYPE_MASK: u16 = 0x3fff;

/// Messages that go out in one call.
#[derive(Default)]
pub(crate) struct NetlinkMessages {
    bytes: Vec<u8>,
    count: u32,
}

impl NetlinkMessages {
    /// Adds a request: its kind, its flags beside `NLM_F_REQUEST`, its family's own header, its attributes.
    ///
    /// Sequence numbers are counted from 0 here and moved by the socket that sends them.
    pub(crate) fn push(&mut self, kind: u16, flags: u16, header: &[u8], body: impl FnOnce(&mut Attributes)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        self.bytes.extend_from_slice(&self.count.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        let mut attributes = Attributes { bytes: std::mem::take(&mut self.bytes) };
        attributes.bytes.extend_from_slice(header);
        attributes.align();
        body(&mut attributes);
        self.bytes = attributes.bytes;
        // A message is far below 4 GiB: the callers bound what they put into one.
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        put(&mut self.bytes, start, &length.to_ne_bytes());
        self.count += 1;
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The bytes, with sequence numbers from `first` on.
    pub(crate) fn numbered(mut self, first: u32) -> Vec<u8> {
        let mut at = 0;
        while let Some(length) = u32_at(&self.bytes, at) {
            let sequence = u32_at(&self.bytes, at + 8).unwrap_or(0).wrapping_add(first);
            put(&mut self.bytes, at + 8, &sequence.to_ne_bytes());
            at += (length as usize).max(NLMSG_HDR);
        }
        self.bytes
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// The attributes of a message or of another attribute.
pub(crate) struct Attributes {
    bytes: Vec<u8>,
}

impl Attributes {
    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.open(kind, |attributes| attributes.bytes.extend_from_slice(value));
    }

    pub(crate) fn u8(&mut self, kind: u16, value: u8) {
        self.bytes(kind, &[value]);
    }

    pub(crate) fn u32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    pub(crate) fn be32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub(crate) fn be64(&mut self, kind: u16, value: u64) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// A text, which ends with a zero byte on the wire.
    pub(crate) fn text(&mut self, kind: u16, value: &str) {
        self.open(kind, |attributes| {
            attributes.bytes.extend_from_slice(value.as_bytes());
            attributes.bytes.push(0);
        });
    }

    pub(crate) fn nest(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        self.open(kind | NLA_F_NESTED, body);
    }

    /// An attribute that is a whole message body: a header, then attributes.
    pub(crate) fn nest_message(&mut self, kind: u16, header: &[u8], body: impl FnOnce(&mut Self)) {
        self.nest(kind, |attributes| {
            attributes.bytes.extend_from_slice(header);
            attributes.align();
            body(attributes);
        });
    }

    fn open(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        body(self);
        // The callers keep what they nest below 64 KiB.
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        put(&mut self.bytes, start, &length.to_ne_bytes());
        self.align();
    }
}

/// A message as it came in.
pub(crate) struct Incoming<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) body: &'a [u8],
}

/// The messages of one datagram; a broken one ends them.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Incoming<'_>> {
    std::iter::from_fn(move || {
        let length = u32_at(bytes, 0)? as usize;
        let message = Incoming {
            kind: u16_at(bytes, 4)?,
            flags: u16_at(bytes, 6)?,
            sequence: u32_at(bytes, 8)?,
            body: bytes.get(NLMSG_HDR..length)?,
        };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// The attributes in these bytes, by kind; a broken one ends them.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & NLA_TYPE_MASK;
        let value = bytes.get(NLA_HDR..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The value of the first attribute of this kind.
pub(crate) fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// A number in the machine's byte order that fills the first four bytes.
pub(crate) fn u32_of(bytes: &[u8]) -> Option<u32> {
    u32_at(bytes, 0)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let mut out = NetlinkMessages::default();
        out.push(16, 4, &[1, 2, 3, 4], |a| {
            a.text(3, "eth0");
            a.nest(18, |a| {
                a.u8(1, 7);
                a.be32(2, 1);
            });
        });
        out.push(17, 0, &[], |a| a.u32(1, 5));
        let bytes = out.numbered(100);
        let all: Vec<_> = messages(&bytes).collect();
        assert_eq!(all.iter().map(|m| (m.kind, m.flags, m.sequence)).collect::<Vec<_>>(), [(16, 5, 100), (17, 1, 101)]);
        let body = &all[0].body[4..];
        assert_eq!(find(body, 3).unwrap(), b"eth0\0");
        let nested = find(body, 18).unwrap();
        assert_eq!(attributes(nested).collect::<Vec<_>>(), [(1, &[7][..]), (2, &[0, 0, 0, 1][..])]);
        assert_eq!(find(all[1].body, 1).and_then(u32_of), Some(5));
        assert_eq!(find(all[1].body, 2), None);
    }

    #[test]
    fn broken_bytes_end_the_walk() {
        for length in [0u32, 1, 15, 17, 400, u32::MAX] {
            let mut bytes = length.to_ne_bytes().to_vec();
            bytes.resize(16, 0);
            assert_eq!(messages(&bytes).count(), 0, "{length}");
        }
        for length in [0u16, 3, 5, u16::MAX] {
            let bytes = [length.to_ne_bytes(), [1, 0]].concat();
            assert_eq!(attributes(&bytes).count(), 0, "{length}");
        }
    }
}
