//! What an archive says about one thing in it: GNU's long names and PAX' records, within bounds.

use std::io::Read;

use tar::{Entry, EntryType, PaxExtensions};

use super::error::CopyError;
use crate::bounds::COPY_HEADER_BYTES;

/// An entry, as all its headers together describe it.
#[derive(Clone, Debug, Default)]
pub(super) struct CopiedEntry {
    /// As it stands there, however hostile.
    pub(super) name: Vec<u8>,
    /// Of links.
    pub(super) target: Vec<u8>,
    pub(super) mode: u32,
    /// Seconds since 1970.
    pub(super) modified: i64,
}

/// What stands before an entry's own header.
#[derive(Default)]
pub(super) struct HeadersBefore {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
}

impl HeadersBefore {
    /// Takes one entry: either it says something about the one to come, or it is that one itself.
    pub(super) fn take<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<Option<CopiedEntry>, CopyError> {
        match entry.header().entry_type() {
            EntryType::GNULongName => self.name = Some(text(entry)?),
            EntryType::GNULongLink => self.target = Some(text(entry)?),
            EntryType::XHeader => self.records(&read(entry)?)?,
            EntryType::XGlobalHeader => drop(read(entry)?),
            _ => return self.complete(entry).map(Some),
        }
        Ok(None)
    }

    fn records(&mut self, records: &[u8]) -> Result<(), CopyError> {
        for record in PaxExtensions::new(records) {
            let record = record.map_err(CopyError::Archive)?;
            match record.key_bytes() {
                b"path" => self.name = Some(record.value_bytes().to_vec()),
                b"linkpath" => self.target = Some(record.value_bytes().to_vec()),
                b"size" => self.size = record.value().ok().and_then(|size| size.parse().ok()),
                _ => {}
            }
        }
        Ok(())
    }

    fn complete<R: Read>(&mut self, entry: &Entry<'_, R>) -> Result<CopiedEntry, CopyError> {
        let before = std::mem::take(self);
        let header = entry.header();
        let name = before.name.unwrap_or_else(|| header.path_bytes().into_owned());
        let size = header.entry_size().map_err(CopyError::Archive)?;
        if before.size.is_some_and(|said| said != size) {
            return Err(CopyError::hostile(&name, "has two sizes, or more bytes than its header can say"));
        }
        let target = before.target.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
        Ok(CopiedEntry {
            name,
            target: target.unwrap_or_default(),
            mode: header.mode().map_err(CopyError::Archive)?,
            modified: i64::try_from(header.mtime().unwrap_or_default()).unwrap_or_default(),
        })
    }
}

fn read<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>, CopyError> {
    let mut bytes = Vec::new();
    entry.take(COPY_HEADER_BYTES + 1).read_to_end(&mut bytes).map_err(CopyError::Archive)?;
    if bytes.len() as u64 > COPY_HEADER_BYTES {
        return Err(CopyError::hostile(&bytes[..64], "is a header of more than 64 KiB"));
    }
    Ok(bytes)
}

/// Up to the zero behind it.
fn text<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>, CopyError> {
    let mut bytes = read(entry)?;
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    Ok(bytes)
}
