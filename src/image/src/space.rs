//! Space on the file system of the state root, of which some is left free for what runs.

use rustix::io::Errno;
use std::os::fd::AsFd;

/// Whether `percent` hundredths of the file system that `file` is on would stay free, in bytes and in inodes, if so
/// many bytes more were written. Other writers take space at the same time: who writes much asks again and again.
pub(crate) fn has_space(file: impl AsFd, percent: u64, bytes: u64) -> Result<bool, Errno> {
    let disk = rustix::fs::fstatvfs(file)?;
    let blocks = disk.f_bavail.saturating_sub(bytes.div_ceil(disk.f_frsize.max(1)));
    let is_enough = |free: u64, all: u64| u128::from(free) * 100 >= u128::from(all) * u128::from(percent);
    // A file system without a count of inodes says 0.
    Ok(bytes <= disk.f_bavail.saturating_mul(disk.f_frsize)
        && is_enough(blocks, disk.f_blocks)
        && is_enough(disk.f_ffree, disk.f_files))
}

#[cfg(test)]
mod tests {
    use super::has_space;

    #[test]
    fn the_reserve_and_what_is_to_come_are_left_free() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(has_space(&file, 0, 0), Ok(true));
        assert_eq!(has_space(&file, 100, 0), Ok(false));
        for bytes in [1 << 60, u64::MAX] {
            assert_eq!(has_space(&file, 0, bytes), Ok(false));
        }
    }
}
