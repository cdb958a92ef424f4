//! What a tree takes of its disk, counted while others go on changing it.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{FileType, Stat};

use super::open;
use super::walk::{Visit, walk};

/// Blocks of a stat are of so many bytes, whatever the file system's own size.
const BLOCK: u64 = 512;
/// Links share what they lead to: each counts as its part, in units of 2^-32.
const UNIT: u32 = 32;

/// What is below a folder, the folder itself not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of all blocks.
    pub bytes: u64,
    /// Files, folders and everything else; several links to one file are one.
    pub inodes: u64,
    /// Everything was seen. Else there is at least what was counted.
    pub whole: bool,
}

/// Counts what is below `root`. Blocks. No link is followed, no mount is entered. `go_on` is asked at each entry.
///
/// # Errors
/// `root` can't be opened.
pub fn usage(root: &Path, go_on: impl FnMut() -> bool) -> std::io::Result<Usage> {
    let mut count = UsageCount { bytes: 0, inodes: 0, go_on };
    let whole = walk(open::top(root)?, &mut count)?;
    let round = |scaled: u128| u64::try_from((scaled + (1 << (UNIT - 1))) >> UNIT).unwrap_or(u64::MAX);
    Ok(Usage { bytes: round(count.bytes), inodes: round(count.inodes), whole })
}

struct UsageCount<F> {
    bytes: u128,
    inodes: u128,
    go_on: F,
}

impl<F: FnMut() -> bool> Visit for UsageCount<F> {
    fn goes_on(&mut self) -> bool {
        (self.go_on)()
    }

    fn entry(&mut self, _: BorrowedFd<'_>, _: &CStr, stat: &Stat) {
        let folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let (blocks, links) = numbers(stat);
        let links = if folder { 1 } else { links.max(1) };
        self.bytes += (u128::from(blocks.saturating_mul(BLOCK)) << UNIT) / u128::from(links);
        self.inodes += (1 << UNIT) / u128::from(links);
    }
}

#[allow(clippy::unnecessary_cast, reason = "the types of a stat's fields differ between architectures")]
fn numbers(stat: &Stat) -> (u64, u64) {
    (u64::try_from(stat.st_blocks).unwrap_or_default(), stat.st_nlink as u64)
}
