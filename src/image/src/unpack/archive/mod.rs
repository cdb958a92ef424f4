//! Reading tar archives, entry by entry: v7, ustar, star, GNU and PAX headers, in any mixture.
//!
//! Nothing here touches the disk. What is read is what GNU tar, Docker and containerd make of the same bytes; where
//! they differ, the choice and its reason stand beside the code. No entry's headers take more than a bound of memory,
//! and of no entry is anything kept but what global PAX headers say.

mod entry;
#[cfg(test)]
mod fuzz;
mod header;
mod number;
mod pax;
#[cfg(test)]
pub(super) mod seeds;
mod sparse;

pub(super) use entry::{ArchiveEntry, Kind};
pub(super) use sparse::Region;

use super::error::{ArchiveError, EntryError, printable};
use super::meter::from_reader;
use crate::bounds::ENTRY_HEADERS;
use entry::has_content;
use header::{BLOCK, Header, text};
use number::owner;
use pax::Pax;
use rustix::fs::Timespec;
use sparse::{Map, MapLines, Sparse, regions_of_header};
use std::io::{self, Read};

/// An archive being read. It is itself a [`Read`]er: of the content of the entry that came last.
pub(super) struct Archive<R> {
    inner: R,
    /// Content of the present entry that was not read yet, and what fills its last block.
    content: u64,
    padding: usize,
    /// What global headers said so far.
    global: Pax,
    /// What the headers of the next entry may still take.
    budget: u64,
}

/// What came before an entry's own header.
#[derive(Default)]
struct Before {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    records: Option<Vec<u8>>,
}

/// Why the next entry can't be read.
enum ReadError {
    Io(io::Error),
    Refused(EntryError),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<EntryError> for ReadError {
    fn from(problem: EntryError) -> Self {
        Self::Refused(problem)
    }
}

impl<R: Read> Archive<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, content: 0, padding: 0, global: Pax::default(), budget: 0 }
    }

    /// The next entry; `None` at the archive's end. What was not read of the last one's content is passed over.
    pub(super) fn next(&mut self) -> Result<Option<ArchiveEntry>, ArchiveError> {
        if !self.pass_over().map_err(from_reader)? {
            return Ok(None);
        }
        self.budget = ENTRY_HEADERS;
        let mut before = Before::default();
        loop {
            let Some(header) = self.header().map_err(from_reader)? else { return Ok(None) };
            match self.step(&header, &mut before) {
                Ok(None) => {}
                Ok(Some(entry)) => return Ok(Some(entry)),
                Err((_, ReadError::Io(source))) => return Err(from_reader(source)),
                Err((name, ReadError::Refused(problem))) => {
                    return Err(ArchiveError::Entry { name: printable(&name), problem });
                }
            }
        }
    }

    /// Bytes of the present entry's content that were not read yet.
    pub(super) fn content(&self) -> u64 {
        self.content
    }

    /// What follows the archive's end.
    pub(super) fn into_rest(self) -> R {
        self.inner
    }

    /// Takes one header: either it says something about the entry to come, or it is that entry's own.
    fn step(&mut self, header: &Header, before: &mut Before) -> Result<Option<ArchiveEntry>, (Vec<u8>, ReadError)> {
        let kind = header.kind();
        let of_header = |stop| (header.name(), stop);
        if matches!(kind, b'L' | b'K' | b'x' | b'X' | b'g' | b'V') {
            // The last one counts where several of a kind follow each other, as with GNU tar and Go.
            let text_of = |bytes: Vec<u8>| Some(text(&bytes).to_vec());
            let bytes = self.header_content(header).map_err(of_header)?;
            match kind {
                b'L' => before.name = text_of(bytes),
                b'K' => before.target = text_of(bytes),
                b'g' => self.global(&bytes).map_err(|problem| of_header(problem.into()))?,
                // A volume's name says nothing about a layer.
                b'V' => {}
                _ => before.records = Some(bytes),
            }
            return Ok(None);
        }
        let before = std::mem::take(before);
        let mut pax = self.global.clone();
        if let Some(records) = before.records {
            pax.read(&records).map_err(|problem| of_header(problem.into()))?;
        }
        // GNU tar lets records win over long names, as POSIX does over everything; Go the other way. None writes both.
        let name = pax.sparse.name.take().or(pax.path.take()).or(before.name).unwrap_or_else(|| header.name());
        let target = pax.link.take().or(before.target).unwrap_or_else(|| header.link().to_vec());
        match self.entry(header, pax, &name, target) {
            Ok(entry) => Ok(Some(ArchiveEntry { name, ..entry })),
            Err(stop) => Err((name, stop)),
        }
    }

    /// Global records hold for all entries that follow, as POSIX and GNU tar have it. (Docker and containerd pass over
    /// them; what writes them, `git archive`, only has comments there.) Sparse maps and extended attributes are each
    /// file's own, as with GNU tar: one capability, or 128 KiB of attributes, is not every file's.
    fn global(&mut self, records: &[u8]) -> Result<(), EntryError> {
        self.global.read(records)?;
        self.global.sparse = Default::default();
        self.global.xattrs.clear();
        Ok(())
    }

    fn entry(&mut self, header: &Header, pax: Pax, name: &[u8], target: Vec<u8>) -> Result<ArchiveEntry, ReadError> {
        let flag = header.kind();
        let kind = Kind::of(flag, name).ok_or(EntryError::Kind)?;
        let known = |value: Option<i64>| value.ok_or(EntryError::Number);
        let id = |record: Option<u32>, field: Option<i64>| record.or(field.and_then(owner)).ok_or(EntryError::Number);
        let size = if has_content(flag) { pax.size.or(header.size()).ok_or(EntryError::Number)? } else { 0 };
        self.content = size;
        self.padding = usize::try_from(size.next_multiple_of(BLOCK as u64) - size).unwrap_or(0);
        let sparse = if kind == Kind::File { self.sparse(header, pax.sparse)? } else { None };
        let modified = match pax.modified {
            Some(modified) => modified,
            None => Timespec { tv_sec: known(header.modified())?, tv_nsec: 0 },
        };
        Ok(ArchiveEntry {
            name: Vec::new(),
            target,
            kind,
            // Some programs write the file's kind into its mode.
            mode: u32::try_from(known(header.mode())? & 0o7777).map_err(|_| EntryError::Number)?,
            uid: id(pax.uid, header.uid())?,
            gid: id(pax.gid, header.gid())?,
            modified,
            accessed: pax.accessed,
            device: header.device(),
            xattrs: pax.xattrs,
            sparse,
        })
    }

    /// The map of a file with holes, wherever it is; what is left as content are the file's bytes.
    fn sparse(&mut self, header: &Header, records: sparse::SparseRecords) -> Result<Option<Sparse>, ReadError> {
        let stated = records.size;
        let (regions, size) = if header.kind() == b'S' {
            let (fields, more, size) = header.sparse();
            (self.map_of_headers(fields, more)?, size)
        } else {
            match records.into_map()? {
                Map::None => return Ok(None),
                Map::Here(regions) => (regions, stated),
                Map::InContent => (self.map_in_content()?, stated),
            }
        };
        Ok(Some(Sparse::checked(regions, size.ok_or(EntryError::Sparse)?, self.content)?))
    }

    fn map_of_headers(&mut self, fields: &[u8], mut more: bool) -> Result<Vec<Region>, ReadError> {
        let mut regions = Vec::new();
        let mut goes_on = regions_of_header(fields, &mut regions)?;
        while more {
            let block = self.block()?.ok_or_else(cut_short)?;
            goes_on = goes_on && regions_of_header(&block[..504], &mut regions)?;
            more = block[504] != 0;
        }
        Ok(regions)
    }

    fn map_in_content(&mut self) -> Result<Vec<Region>, ReadError> {
        let mut lines = MapLines::default();
        loop {
            let block = self.block()?.ok_or_else(cut_short)?;
            self.content = self.content.checked_sub(BLOCK as u64).ok_or(EntryError::Sparse)?;
            if let Some(regions) = lines.block(&block)? {
                return Ok(regions);
            }
        }
    }

    /// The content of a header that only describes.
    fn header_content(&mut self, header: &Header) -> Result<Vec<u8>, ReadError> {
        let size = header.size().ok_or(EntryError::Number)?;
        self.spend(size)?;
        let mut bytes = Vec::new();
        (&mut self.inner).take(size).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != size {
            return Err(cut_short().into());
        }
        self.padding = usize::try_from(size.next_multiple_of(BLOCK as u64) - size).unwrap_or(0);
        self.pass_over()?;
        Ok(bytes)
    }

    /// The next header; `None` at the end, which is a block of zeros or nothing at all. (GNU tar ends at the first such
    /// block, Go wants two; many archives have one or none.)
    fn header(&mut self) -> io::Result<Option<Header>> {
        let Some(block) = self.block()? else { return Ok(None) };
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let wrong =
            || io::Error::new(io::ErrorKind::InvalidData, "the checksum of a header is wrong: not a tar archive?");
        Header::checked(block).map(Some).ok_or_else(wrong)
    }

    fn block(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        self.spend(BLOCK as u64)?;
        let mut block = [0; BLOCK];
        match fill(&mut self.inner, &mut block)? {
            0 => Ok(None),
            BLOCK => Ok(Some(block)),
            _ => Err(cut_short()),
        }
    }

    fn spend(&mut self, bytes: u64) -> io::Result<()> {
        self.budget = self.budget.checked_sub(bytes).ok_or_else(|| {
            let bound = ENTRY_HEADERS >> 20;
            io::Error::new(io::ErrorKind::InvalidData, format!("the headers of one entry take more than {bound} MiB"))
        })?;
        Ok(())
    }

    /// Passes over what is left of an entry; `false` if the archive ends where only padding is missing.
    fn pass_over(&mut self) -> io::Result<bool> {
        io::copy(self, &mut io::sink())?;
        let mut block = [0; BLOCK];
        let padding = std::mem::take(&mut self.padding);
        Ok(fill(&mut self.inner, &mut block[..padding])? == padding)
    }
}

impl<R: Read> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.content).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.inner.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(cut_short());
        }
        self.content -= count as u64;
        Ok(count)
    }
}

/// Reads until `buffer` is full or nothing more comes.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it ends too early")
}
