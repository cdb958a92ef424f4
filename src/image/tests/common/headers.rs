//! Archives made block by block, for what no library writes.

/// A header whose fields are as given, and everything that follows it.
#[derive(Clone)]
pub struct Raw {
    block: [u8; 512],
    content: Vec<u8>,
}

impl Raw {
    pub fn new(kind: u8, name: &str) -> Self {
        let mut block = [0; 512];
        block[257..265].copy_from_slice(b"ustar\x0000");
        let raw = Self { block, content: Vec::new() };
        let mode = if kind == b'5' { 0o755 } else { 0o644 };
        let raw = raw.field(156, &[kind]).field(0, name.as_bytes()).field(100, format!("{mode:07o}\0").as_bytes());
        raw.uid(b"0001750\0").gid(b"0001751\0").modified(format!("{:011o}\0", 1_600_000_000).as_bytes()).size(0)
    }

    /// Puts bytes at a place of the header.
    pub fn field(mut self, at: usize, bytes: &[u8]) -> Self {
        self.block[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub fn mode(self, field: &[u8]) -> Self {
        self.field(100, field)
    }

    pub fn uid(self, field: &[u8]) -> Self {
        self.field(108, field)
    }

    pub fn gid(self, field: &[u8]) -> Self {
        self.field(116, field)
    }

    pub fn size(self, size: usize) -> Self {
        self.field(124, format!("{size:011o}\0").as_bytes())
    }

    pub fn modified(self, field: &[u8]) -> Self {
        self.field(136, field)
    }

    pub fn link(self, target: &str) -> Self {
        self.field(157, target.as_bytes())
    }

    /// As GNU tar marks its headers.
    pub fn gnu(self) -> Self {
        self.field(257, b"ustar  \0")
    }

    /// As before there were marks.
    pub fn v7(self) -> Self {
        self.field(257, &[0; 8])
    }

    pub fn content(mut self, content: &[u8]) -> Self {
        self = self.size(content.len());
        self.content = content.to_vec();
        self.content.resize(content.len().next_multiple_of(512), 0);
        self
    }

    /// Blocks that follow the header and no size tells of.
    pub fn blocks(mut self, blocks: &[u8]) -> Self {
        self.content.extend_from_slice(blocks);
        self
    }

    /// With its checksum: of unsigned bytes, or of signed ones, as some old programs made it.
    pub fn bytes(&self, signed: bool) -> Vec<u8> {
        let mut block = self.block;
        block[148..156].fill(b' ');
        let value = |byte: &u8| if signed { i64::from(byte.cast_signed()) } else { i64::from(*byte) };
        let sum: i64 = block.iter().map(value).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        [&block[..], &self.content].concat()
    }
}

/// Records of a PAX header, each with its length.
pub fn records(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut all = Vec::new();
    for (key, value) in records {
        let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
        let mut length = rest.len() + 1;
        while length != rest.len() + length.to_string().len() {
            length = rest.len() + length.to_string().len();
        }
        all.extend_from_slice(length.to_string().as_bytes());
        all.extend_from_slice(&rest);
    }
    all
}

/// A PAX header of the kind `x` (the next entry's) or `g` (all later ones').
pub fn pax(kind: u8, given: &[(&str, &[u8])]) -> Raw {
    Raw::new(kind, "PaxHeaders/x").content(&records(given))
}

/// A name, or (kind `K`) a link's target, that does not fit into a header, as GNU tar writes it.
pub fn long(kind: u8, text: &str) -> Raw {
    Raw::new(kind, "././@LongLink").gnu().content(&[text.as_bytes(), b"\0"].concat())
}

/// An archive with its end.
pub fn archive(entries: &[Raw]) -> Vec<u8> {
    let mut bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.bytes(false)).collect();
    bytes.extend_from_slice(&[0; 1024]);
    bytes
}
