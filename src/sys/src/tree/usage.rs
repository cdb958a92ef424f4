//! What a tree takes of its disk, counted while others go on changing it.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{FileType, Statx};

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
    let whole = walk(open::top(root)?, &mut count)?.is_none();
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

    fn entry(&mut self, _: BorrowedFd<'_>, _: &CStr, stat: &Statx) {
        let folder = FileType::from_raw_mode(stat.stx_mode.into()) == FileType::Directory;
        let links = if folder { 1 } else { stat.stx_nlink.max(1) };
        self.bytes += (u128::from(stat.stx_blocks.saturating_mul(BLOCK)) << UNIT) / u128::from(links);
        self.inodes += (1 << UNIT) / u128::from(links);
    }
}
