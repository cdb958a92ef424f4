//! Blocks of headers: names and values (SPDY/3, section 2.6.10), compressed with one dictionary and one history for
//! each direction of a connection.

use bytes::{Buf, Bytes};
use flate2::{Decompress, FlushDecompress, Status};

use crate::bounds::HEADER_BLOCK_BYTES;

use super::dictionary::dictionary;
use super::error::SpdyError;

/// A stream's headers. Names are in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// A header's first value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, values) = self.0.iter().find(|(known, _)| known == name)?;
        values.split('\0').next()
    }

    /// Some, as a client would have sent them.
    #[cfg(test)]
    pub(crate) fn of(headers: &[(&str, &str)]) -> Self {
        Self(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    fn parse(mut block: Bytes) -> Result<Self, SpdyError> {
        let count = number(&mut block)?;
        let mut headers = Vec::new();
        for _ in 0..count {
            let (name, value) = (text(&mut block)?, text(&mut block)?);
            if name.is_empty() || headers.iter().any(|(known, _)| *known == name) {
                return Err(SpdyError::Headers);
            }
            headers.push((name, value));
        }
        Ok(Self(headers))
    }
}

fn number(block: &mut Bytes) -> Result<usize, SpdyError> {
    block.try_get_u32().map(|number| number as usize).map_err(|_| SpdyError::Headers)
}

fn text(block: &mut Bytes) -> Result<String, SpdyError> {
    let length = number(block)?;
    if length > block.len() {
        return Err(SpdyError::Headers);
    }
    String::from_utf8(block.split_to(length).into()).map_err(|_| SpdyError::Headers)
}

/// Reads the client's blocks, as long as that is of use: their history takes 40 KiB.
#[derive(Debug)]
pub(super) enum HeaderReader {
    /// All blocks were read.
    Reading(Box<Decompress>),
    /// None is read any more.
    Done,
}

impl HeaderReader {
    pub(super) fn new() -> Self {
        Self::Reading(Box::new(Decompress::new(true)))
    }

    /// None: blocks are not read any more.
    ///
    /// # Errors
    ///
    /// The block can't be read, or passes [`HEADER_BLOCK_BYTES`]: the connection's history is lost, and it has to end.
    pub(super) fn read(&mut self, mut block: &[u8]) -> Result<Option<Headers>, SpdyError> {
        let Self::Reading(history) = self else { return Ok(None) };
        // One byte more than there may be, so that a block which is just too long is found out.
        let mut plain = Vec::with_capacity(HEADER_BLOCK_BYTES + 1);
        while !block.is_empty() {
            let before = history.total_in();
            let outcome = match history.decompress_vec(block, &mut plain, FlushDecompress::Sync) {
                Err(error) if error.needs_dictionary().is_some() => {
                    history.set_dictionary(&dictionary()).map_err(|_| SpdyError::Headers)?;
                    Ok(Status::Ok)
                }
                other => other,
            };
            let used = usize::try_from(history.total_in() - before).unwrap_or(usize::MAX);
            block = block.get(used..).unwrap_or_default();
            match outcome {
                Ok(Status::Ok) if plain.len() <= HEADER_BLOCK_BYTES => {}
                Ok(Status::Ok) => return Err(SpdyError::HeadersTooLong),
                // The end of a compressed stream, or one that makes no sense.
                Ok(Status::StreamEnd | Status::BufError) | Err(_) => return Err(SpdyError::Headers),
            }
        }
        Headers::parse(plain.into()).map(Some)
    }
}

/// Writes ours, which are all empty: there is nothing to compress, so no compressor is kept with its quarter of a
/// megabyte.
#[derive(Debug, Default)]
pub(super) enum HeaderWriter {
    /// The next block is the first.
    #[default]
    Unused,
    /// The stream of blocks has begun.
    Begun,
}

impl HeaderWriter {
    pub(super) fn empty(&mut self) -> &'static [u8] {
        match std::mem::replace(self, Self::Begun) {
            Self::Unused => FIRST_EMPTY,
            Self::Begun => &FIRST_EMPTY[ZLIB_HEAD..],
        }
    }
}

/// Bytes that begin a zlib stream with a dictionary (RFC 1950, section 2.2).
const ZLIB_HEAD: usize = 6;

/// The first block, and behind its head any other: zlib's head with the check sum of SPDY/3's dictionary, four zero
/// bytes as they are (a count of no headers), and an empty piece, at which readers hand on what they have.
const FIRST_EMPTY: &[u8] = &[
    0x78, 0x20, 0xe3, 0xc6, 0xa7, 0xc2, // head
    0x00, 0x04, 0x00, 0xfb, 0xff, 0, 0, 0, 0, // four bytes
    0x00, 0x00, 0x00, 0xff, 0xff, // none
];
