//! Files with holes, in the four ways in which GNU tar has written them. Pure.

use super::header::text;
use super::number::{decimal, number};
use crate::unpack::error::EntryError;

/// Bytes that the archive holds; between regions are holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::unpack) struct Region {
    pub(in crate::unpack) offset: u64,
    pub(in crate::unpack) length: u64,
}

/// Where the bytes of a file with holes belong.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::unpack) struct Sparse {
    /// In order, and apart.
    pub(in crate::unpack) regions: Vec<Region>,
    /// Of the file, with its holes.
    pub(in crate::unpack) size: u64,
}

impl Sparse {
    /// Checks what the archive says: regions in order, within the file, and as many bytes as it `stored`.
    pub(super) fn checked(regions: Vec<Region>, size: u64, stored: u64) -> Result<Self, EntryError> {
        let (mut end, mut bytes) = (0, 0_u64);
        for region in &regions {
            if region.offset < end {
                return Err(EntryError::Sparse);
            }
            end = region.offset.checked_add(region.length).ok_or(EntryError::Sparse)?;
            bytes = bytes.checked_add(region.length).ok_or(EntryError::Sparse)?;
        }
        if end > size || bytes != stored || i64::try_from(size).is_err() {
            return Err(EntryError::Sparse);
        }
        Ok(Self { regions, size })
    }
}

/// Reads regions as GNU headers hold them, 24 bytes each; answers whether the list goes on.
pub(super) fn regions_of_header(fields: &[u8], regions: &mut Vec<Region>) -> Result<bool, EntryError> {
    for field in fields.as_chunks::<24>().0 {
        let (offset, length) = field.split_at(12);
        if text(offset).is_empty() || text(length).is_empty() {
            return Ok(false);
        }
        let part = |field| number(field).and_then(|part| u64::try_from(part).ok()).ok_or(EntryError::Sparse);
        regions.push(Region { offset: part(offset)?, length: part(length)? });
    }
    Ok(true)
}

/// What PAX records say about holes.
#[derive(Clone, Debug, Default)]
pub(super) struct SparseRecords {
    /// Instead of the path, which is a made-up one for readers that know nothing of holes.
    pub(super) name: Option<Vec<u8>>,
    /// With the holes.
    pub(super) size: Option<u64>,
    version: (u64, u64),
    regions: Vec<Region>,
    /// An offset whose length has yet to come.
    offset: Option<u64>,
    mapped: bool,
}

/// Where the map of a file is.
#[derive(Debug)]
pub(super) enum Map {
    /// The file has none: it is an ordinary one.
    None,
    /// In the records (formats 0.0 and 0.1).
    Here(Vec<Region>),
    /// Before the file's bytes (format 1.0).
    InContent,
}

impl SparseRecords {
    /// Takes over a record; `key` is without `GNU.sparse.`.
    pub(super) fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), EntryError> {
        let number = || decimal(value).ok_or(EntryError::Sparse);
        match key {
            b"major" => self.version.0 = number()?,
            b"minor" => self.version.1 = number()?,
            b"name" => self.name = Some(value.to_vec()),
            b"size" | b"realsize" => self.size = Some(number()?),
            b"numblocks" => self.mapped = true,
            b"offset" => self.offset = Some(number()?),
            b"numbytes" => {
                let offset = self.offset.take().ok_or(EntryError::Sparse)?;
                self.regions.push(Region { offset, length: number()? });
                self.mapped = true;
            }
            b"map" => {
                self.regions = map(value)?;
                self.mapped = true;
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn into_map(self) -> Result<Map, EntryError> {
        match self.version {
            (1, 0) => Ok(Map::InContent),
            (0, _) if self.mapped => Ok(Map::Here(self.regions)),
            (0, _) => Ok(Map::None),
            _ => Err(EntryError::Sparse),
        }
    }
}

/// `offset,length,offset,length`
fn map(text: &[u8]) -> Result<Vec<Region>, EntryError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut numbers = text.split(|byte| *byte == b',').map(|part| decimal::<u64>(part).ok_or(EntryError::Sparse));
    let mut regions = Vec::new();
    while let Some(offset) = numbers.next() {
        regions.push(Region { offset: offset?, length: numbers.next().ok_or(EntryError::Sparse)?? });
    }
    Ok(regions)
}

/// The map before a file's bytes: their count, then offsets and lengths, a line each.
#[derive(Default)]
pub(super) struct MapLines {
    line: Vec<u8>,
    count: Option<u64>,
    offset: Option<u64>,
    regions: Vec<Region>,
}

impl MapLines {
    /// Takes a block; answers with the map once it is whole.
    pub(super) fn block(&mut self, block: &[u8]) -> Result<Option<Vec<Region>>, EntryError> {
        for byte in block {
            if *byte != b'\n' {
                self.line.push(*byte);
                if self.line.len() > 20 {
                    return Err(EntryError::Sparse);
                }
                continue;
            }
            let value: u64 = decimal(&self.line).ok_or(EntryError::Sparse)?;
            self.line.clear();
            match (self.count, self.offset.take()) {
                (None, _) => self.count = Some(value),
                (Some(_), None) => self.offset = Some(value),
                (Some(_), Some(offset)) => self.regions.push(Region { offset, length: value }),
            }
            if self.count == Some(self.regions.len() as u64) {
                return Ok(Some(std::mem::take(&mut self.regions)));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::{EntryError, Map, MapLines, Region, Sparse, SparseRecords};

    fn region(offset: u64, length: u64) -> Region {
        Region { offset, length }
    }

    #[test]
    fn regions_are_in_order_apart_and_as_long_as_what_is_stored() {
        let check = |regions: &[Region], size, stored| Sparse::checked(regions.to_vec(), size, stored).is_ok();
        assert!(check(&[], 100, 0) && check(&[region(0, 5), region(5, 5), region(50, 0)], 50, 10));
        assert!(!check(&[region(5, 5), region(0, 5)], 50, 10), "out of order");
        assert!(!check(&[region(0, 6), region(5, 5)], 50, 11), "overlapping");
        assert!(!check(&[region(0, 5)], 4, 5), "behind the end");
        assert!(!check(&[region(0, 5)], 50, 6) && !check(&[region(0, 5)], 50, 4), "other bytes");
        assert!(!check(&[region(u64::MAX, 5)], u64::MAX, 5) && !check(&[], u64::MAX, 0), "overflow");
    }

    #[test]
    fn records_hold_maps_in_two_ways() {
        let read = |records: &[(&str, &str)]| {
            let mut sparse = SparseRecords::default();
            records.iter().try_for_each(|(key, value)| sparse.record(key.as_bytes(), value.as_bytes()))?;
            sparse.into_map()
        };
        let two = [region(0, 5), region(10, 1)];
        let pairs = [("numblocks", "2"), ("offset", "0"), ("numbytes", "5"), ("offset", "10"), ("numbytes", "1")];
        assert!(matches!(read(&pairs), Ok(Map::Here(found)) if found == two));
        assert!(matches!(read(&[("map", "0,5,10,1")]), Ok(Map::Here(found)) if found == two));
        assert!(matches!(read(&[("major", "1"), ("minor", "0")]), Ok(Map::InContent)));
        assert!(matches!(read(&[("size", "5")]), Ok(Map::None)));
        for bad in [&[("major", "2")][..], &[("major", "1"), ("minor", "1")], &[("map", "1,2,3")], &[("map", "a")]] {
            assert!(matches!(read(bad), Err(EntryError::Sparse)), "{bad:?}");
        }
        assert!(matches!(read(&[("numbytes", "1")]), Err(EntryError::Sparse)));
    }

    #[test]
    fn a_map_may_stand_before_the_bytes() {
        let mut lines = MapLines::default();
        assert_eq!(lines.block(b"2\n0\n5"), Ok(None));
        assert_eq!(lines.block(b"\n10\n1\n\0\0\0"), Ok(Some(vec![region(0, 5), region(10, 1)])));
        assert_eq!(MapLines::default().block(b"0\n\0"), Ok(Some(Vec::new())));
        assert_eq!(MapLines::default().block(b"x\n"), Err(EntryError::Sparse));
        assert_eq!(MapLines::default().block(&[b'1'; 30]), Err(EntryError::Sparse));
    }
}
