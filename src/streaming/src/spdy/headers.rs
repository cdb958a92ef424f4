//! Blocks of headers: names and values (SPDY/3, section 2.6.10), compressed with one dictionary and one history for
//! each direction of a connection.

use bytes::{Buf, Bytes};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

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

/// Reads the client's blocks.
#[derive(Debug)]
pub(super) struct Inflater(Decompress);

impl Inflater {
    pub(super) fn new() -> Self {
        Self(Decompress::new(true))
    }

    /// # Errors
    ///
    /// The block can't be read, or passes [`HEADER_BLOCK_BYTES`]: the connection's history is lost, and it has to end.
    pub(super) fn read(&mut self, mut block: &[u8]) -> Result<Headers, SpdyError> {
        // One byte more than there may be, so that a block which is just too long is found out.
        let mut plain = Vec::with_capacity(HEADER_BLOCK_BYTES + 1);
        while !block.is_empty() {
            let before = self.0.total_in();
            let outcome = match self.0.decompress_vec(block, &mut plain, FlushDecompress::Sync) {
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0.set_dictionary(&dictionary()).map_err(|_| SpdyError::Headers)?;
                    Ok(Status::Ok)
                }
                other => other,
            };
            let used = usize::try_from(self.0.total_in() - before).unwrap_or(usize::MAX);
            block = block.get(used..).unwrap_or_default();
            match outcome {
                Ok(Status::Ok) if plain.len() <= HEADER_BLOCK_BYTES => {}
                Ok(Status::Ok) => return Err(SpdyError::HeadersTooLong),
                // The end of a compressed stream, or one that makes no sense.
                Ok(Status::StreamEnd | Status::BufError) | Err(_) => return Err(SpdyError::Headers),
            }
        }
        Headers::parse(plain.into())
    }
}

/// Writes ours, which are all empty.
#[derive(Debug)]
pub(super) struct Deflater(Compress);

impl Deflater {
    pub(super) fn new() -> Result<Self, SpdyError> {
        let mut compress = Compress::new(Compression::fast(), true);
        compress.set_dictionary(&dictionary()).map_err(|_| SpdyError::Headers)?;
        Ok(Self(compress))
    }

    pub(super) fn empty(&mut self) -> Result<Vec<u8>, SpdyError> {
        let mut block = Vec::with_capacity(64);
        self.0.compress_vec(&0u32.to_be_bytes(), &mut block, FlushCompress::Sync).map_err(|_| SpdyError::Headers)?;
        Ok(block)
    }
}
