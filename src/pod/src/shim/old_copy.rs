//! The runtime of shims that were started before runtimes were run from sealed views (`sealed.rs`): one sealed copy in
//! memory for all pods, whose content nobody could change, but whose mode and owner everybody could who reached it
//! through `/proc/self/exe`. Such shims go on with it, so it is made good, and then immutable; it takes
//! `CAP_LINUX_IMMUTABLE` to undo that, which no container has by default.

use std::fs::File;
use std::io;

use rustix::fs::{Gid, IFlags, Mode, SealFlags, Uid, fchmod, fchown, fcntl_get_seals, ioctl_getflags, ioctl_setflags};

/// The seals by which such a copy is known: it has all four.
const SEALS: SealFlags = SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);
/// As they were made.
const MODE: Mode = Mode::from_raw_mode(0o777);

/// Makes good what the shim with that number runs, if it is such a copy. Blocks.
pub(crate) fn settle(shim: u32) {
    let Ok(files) = std::fs::read_dir(format!("/proc/{shim}/fd")) else { return };
    for file in files.flatten() {
        let path = file.path();
        if !std::fs::read_link(&path).is_ok_and(|target| target.as_os_str().as_encoded_bytes().starts_with(b"/memfd:"))
        {
            continue;
        }
        if let Err(error) = File::open(&path).and_then(|copy| pin(&copy)) {
            tracing::warn!(%error, shim, "an older shim's copy of its OCI runtime can't be made immutable");
        }
    }
}

fn pin(copy: &File) -> io::Result<()> {
    if fcntl_get_seals(copy) != Ok(SEALS) {
        return Ok(());
    }
    let flags = ioctl_getflags(copy)?;
    if flags.contains(IFlags::IMMUTABLE) {
        return Ok(());
    }
    fchown(copy, Some(Uid::ROOT), Some(Gid::ROOT))?;
    fchmod(copy, MODE)?;
    Ok(ioctl_setflags(copy, flags | IFlags::IMMUTABLE)?)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::MetadataExt;

    use rustix::fs::{MemfdFlags, fcntl_add_seals, memfd_create};
    use rustix::io::Errno;

    use super::*;

    /// Needs root.
    #[test]
    fn a_copy_that_was_tampered_with_is_made_good_for_good() {
        let made = memfd_create("runtime", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        let unsealed = memfd_create("another", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        fcntl_add_seals(&made, SEALS).unwrap();
        fchown(&made, Some(Uid::from_raw(7)), None).unwrap();
        fchmod(&made, Mode::empty()).unwrap();
        settle(std::process::id());
        settle(std::process::id());
        let copy = File::from(made);
        let metadata = copy.metadata().unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.uid()), (0o777, 0));
        assert_eq!(fchmod(&copy, Mode::empty()), Err(Errno::PERM));
        let at = format!("/proc/self/fd/{}", copy.as_raw_fd());
        assert_eq!(rustix::fs::chmod(at, Mode::empty()), Err(Errno::PERM));
        assert_eq!(fchown(&copy, Some(Uid::from_raw(7)), None), Err(Errno::PERM));
        assert_eq!(fchmod(&unsealed, Mode::empty()), Ok(()));
    }
}
