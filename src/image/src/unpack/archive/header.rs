//! One block of 512 bytes that begins an entry. Pure.

use super::number::number;

pub(super) const BLOCK: usize = 512;

/// A header whose checksum is right.
pub(super) struct Header {
    block: [u8; BLOCK],
}

/// Which fields a header has behind the first 257 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeaderFormat {
    /// Nothing.
    V7,
    /// A prefix of the name, of 155 bytes.
    Ustar,
    /// A prefix of 131 bytes.
    Star,
    /// Times and the first part of a sparse map.
    Gnu,
}

impl Header {
    /// `None` if the checksum is wrong. It is the sum of all bytes, of its own eight as spaces; some old programs
    /// summed signed bytes.
    pub(super) fn checked(block: [u8; BLOCK]) -> Option<Self> {
        let own = 148..156;
        let bytes = block.iter().enumerate().map(|(at, byte)| if own.contains(&at) { b' ' } else { *byte });
        let (unsigned, signed) = bytes.fold((0_i64, 0_i64), |(unsigned, signed), byte| {
            (unsigned + i64::from(byte), signed + i64::from(byte.cast_signed()))
        });
        let stated = number(&block[own])?;
        (stated == unsigned || stated == signed).then_some(Self { block })
    }

    fn format(&self) -> HeaderFormat {
        match (&self.block[257..265], &self.block[508..512]) {
            (b"ustar  \0", _) => HeaderFormat::Gnu,
            (magic, b"tar\0") if magic.starts_with(b"ustar\0") => HeaderFormat::Star,
            (magic, _) if magic.starts_with(b"ustar\0") => HeaderFormat::Ustar,
            _ => HeaderFormat::V7,
        }
    }

    /// The name with its prefix.
    pub(super) fn name(&self) -> Vec<u8> {
        let name = text(&self.block[..100]);
        let prefix = match self.format() {
            HeaderFormat::Ustar => text(&self.block[345..500]),
            HeaderFormat::Star => text(&self.block[345..476]),
            HeaderFormat::Gnu => self.mixed_prefix(),
            HeaderFormat::V7 => b"",
        };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    /// Go before 1.9 gave GNU headers a prefix, and so did Docker's layers of that time. Where times would stand there
    /// is text then. Go reads it as we do; GNU tar does not.
    fn mixed_prefix(&self) -> &[u8] {
        let times_are_numbers = number(&self.block[345..357]).is_some() && number(&self.block[357..369]).is_some();
        let prefix = text(&self.block[345..500]);
        if !times_are_numbers && prefix.is_ascii() { prefix } else { b"" }
    }

    pub(super) fn link(&self) -> &[u8] {
        text(&self.block[157..257])
    }

    pub(super) fn kind(&self) -> u8 {
        self.block[156]
    }

    pub(super) fn mode(&self) -> Option<i64> {
        number(&self.block[100..108])
    }

    pub(super) fn uid(&self) -> Option<i64> {
        number(&self.block[108..116])
    }

    pub(super) fn gid(&self) -> Option<i64> {
        number(&self.block[116..124])
    }

    pub(super) fn size(&self) -> Option<u64> {
        number(&self.block[124..136]).and_then(|size| u64::try_from(size).ok())
    }

    pub(super) fn modified(&self) -> Option<i64> {
        number(&self.block[136..148])
    }

    /// Major and minor number of a device.
    pub(super) fn device(&self) -> Option<(u32, u32)> {
        let part = |field| number(field).and_then(|part| u32::try_from(part).ok());
        Some((part(&self.block[329..337])?, part(&self.block[337..345])?))
    }

    /// The four regions of a GNU sparse file that fit here, whether more follow, and the file's size with its holes.
    pub(super) fn sparse(&self) -> (&[u8], bool, Option<u64>) {
        let size = number(&self.block[483..495]).and_then(|size| u64::try_from(size).ok());
        (&self.block[386..482], self.block[482] != 0, size)
    }
}

/// Up to the first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    &field[..end]
}
