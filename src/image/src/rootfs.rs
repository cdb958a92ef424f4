//! Looking into an image without making a container of it.

use crate::model::Rootfs;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

impl Rootfs {
    /// Reads a file such as `/etc/passwd` as a container would see it: links are followed within the image, whiteouts
    /// hide what is below them. `None` if it isn't there or is no regular file.
    ///
    /// Blocks for a moment: several layers are merged in a mount of their own that is attached nowhere.
    ///
    /// # Errors
    /// The kernel's, or `FileTooLarge` if the file has more than `limit` bytes.
    pub fn read_file(&self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let root = self.open()?;
        let relative = path.trim_start_matches('/');
        // NONBLOCK: a FIFO of that name must not hold us up.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let file = match rustix::fs::openat2(&root, relative, flags, Mode::empty(), resolve) {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::NXIO) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if !file.metadata()?.is_file() {
            return Ok(None);
        }
        let mut content = Vec::new();
        file.take(limit as u64 + 1).read_to_end(&mut content)?;
        if content.len() > limit {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        Ok(Some(content))
    }

    fn open(&self) -> io::Result<OwnedFd> {
        // An overlay without an upper directory needs two lower ones; a single layer is the tree itself.
        if let [only] = self.lower_dirs.as_slice() {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            return Ok(rustix::fs::open(only, flags, Mode::empty())?);
        }
        match self.mount(true) {
            // Kernels before 6.8 know only one option with all directories.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.mount(false),
            other => other,
        }
    }

    fn mount(&self, one_by_one: bool) -> io::Result<OwnedFd> {
        let fs = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        if one_by_one {
            for dir in &self.lower_dirs {
                rustix::mount::fsconfig_set_string(&fs, "lowerdir+", dir.as_path())?;
            }
        } else {
            let dirs: Vec<_> = self.lower_dirs.iter().map(|dir| dir.as_os_str()).collect();
            rustix::mount::fsconfig_set_string(&fs, "lowerdir", dirs.join(std::ffi::OsStr::new(":")))?;
        }
        rustix::mount::fsconfig_create(&fs)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV;
        Ok(rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
    }
}
