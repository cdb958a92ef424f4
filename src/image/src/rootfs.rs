//! Looking into an image without making a container of it.

use crate::model::Rootfs;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// A container's writable layer.
#[derive(Clone, Copy, Debug)]
pub struct Writable<'a> {
    /// What the container changed.
    pub upper: &'a Path,
    /// The kernel's scratch folder beside it.
    pub work: &'a Path,
}

impl Writable<'_> {
    /// A volatile overlay leaves a mark that forbids to use its upper directory again, as a crash may have left half of
    /// it. To be called when it was unmounted in peace.
    pub(crate) fn forget_volatile(&self) -> io::Result<()> {
        let mark = self.work.join("work/incompat");
        let removed = [std::fs::remove_file(mark.join("volatile/dirty"))]
            .into_iter()
            .chain(["volatile", ""].map(|folder| std::fs::remove_dir(mark.join(folder))));
        removed
            .filter(|outcome| !outcome.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound))
            .collect()
    }
}

/// What is mounted in every container. A link into it reads what the image does not hold, without an end in some
/// places.
const MOUNTED: [&str; 3] = ["/proc", "/sys", "/dev"];
/// As many links of one path as the kernel follows.
const LINKS: usize = 40;

/// Whether the path is a link, or a chain of links, to what is mounted in every container.
fn leads_to_a_mount(root: &OwnedFd, path: &str) -> bool {
    let mut path = Path::new("/").join(path);
    for _ in 0..LINKS {
        if path == Path::new("/dev/null") {
            return false;
        }
        if MOUNTED.iter().any(|mounted| path.starts_with(mounted)) {
            return true;
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let target = rustix::fs::openat2(root, &path, flags, Mode::empty(), resolve)
            .and_then(|link| rustix::fs::readlinkat(link, "", Vec::new()));
        // Nothing there, or no link.
        let Ok(target) = target else { return false };
        let mut next = path.parent().unwrap_or(Path::new("/")).to_path_buf();
        for part in Path::new(OsStr::from_bytes(target.to_bytes())).components() {
            match part {
                Component::RootDir => next = PathBuf::from("/"),
                Component::ParentDir => _ = next.pop(),
                Component::Normal(name) => next.push(name),
                Component::CurDir | Component::Prefix(_) => {}
            }
        }
        path = next;
    }
    false
}

fn no_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is a FIFO, a socket or a device, not a file")
}

fn read_within(root: &OwnedFd, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let relative = path.trim_start_matches('/');
    if leads_to_a_mount(root, relative) {
        let why = "it is a link to what every container mounts, not a file of the image";
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    // NONBLOCK: a FIFO of that name must not hold us up.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = match rustix::fs::openat2(root, relative, flags, Mode::empty(), resolve) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
        // A socket; a device, as nothing is mounted with devices.
        Err(rustix::io::Errno::NXIO | rustix::io::Errno::ACCESS) => return Err(no_file()),
        Err(error) => return Err(error.into()),
    };
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Ok(None);
    }
    if !kind.is_file() {
        return Err(no_file());
    }
    let mut content = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut content)?;
    if content.len() > limit {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    Ok(Some(content))
}

impl Rootfs {
    /// Reads a file such as `/etc/passwd` as a container would see it: links are followed within the image, whiteouts
    /// hide what is below them. `None` if it isn't there or is a folder.
    ///
    /// Blocks for a moment: several layers are merged in a mount of their own that is attached nowhere.
    ///
    /// # Errors
    /// The kernel's, `FileTooLarge` if the file has more than `limit` bytes, or `InvalidData` for a FIFO, a socket, a
    /// device, or a link to `/proc`, `/sys` or `/dev`: nobody reads such a one without waiting for who knows what.
    pub fn read_file(&self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        read_within(&self.open()?, path, limit)
    }

    /// Reads several files so, in one mount.
    ///
    /// # Errors
    /// The kernel's, when the image can't be mounted; of each file those of [`Rootfs::read_file`].
    pub fn read_files<const N: usize>(
        &self,
        paths: [&str; N],
        limit: usize,
    ) -> io::Result<[io::Result<Option<Vec<u8>>>; N]> {
        let root = self.open()?;
        Ok(paths.map(|path| read_within(&root, path, limit)))
    }

    /// The first of the paths at which the image has something, be it a link that leads nowhere. Links above it are
    /// followed within the image.
    ///
    /// # Errors
    /// The kernel's.
    pub fn first_taken<'a>(&self, paths: &[&'a Path]) -> io::Result<Option<&'a Path>> {
        if paths.is_empty() {
            return Ok(None);
        }
        let root = self.open()?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        for path in paths {
            match rustix::fs::openat2(&root, *path, flags, Mode::empty(), resolve) {
                Ok(_) => return Ok(Some(path)),
                Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    pub(crate) fn open(&self) -> io::Result<OwnedFd> {
        // An overlay without an upper directory needs two lower ones; a single layer is the tree itself.
        if let [only] = self.lower_dirs.as_slice() {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            return Ok(rustix::fs::open(only, flags, Mode::empty())?);
        }
        self.mount_as_known(None)
    }

    /// The same with a container's writable layer on top. Attached nowhere, and gone when the descriptor and all made
    /// from it are closed.
    pub(crate) fn open_writable(&self, writable: &Writable<'_>) -> io::Result<OwnedFd> {
        self.mount_as_known(Some(writable))
    }

    fn mount_as_known(&self, writable: Option<&Writable<'_>>) -> io::Result<OwnedFd> {
        match self.mount(true, writable) {
            // Kernels before 6.8 know only one option with all directories.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.mount(false, writable),
            other => other,
        }
    }

    fn mount(&self, one_by_one: bool, writable: Option<&Writable<'_>>) -> io::Result<OwnedFd> {
        let fs = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        if one_by_one {
            for dir in &self.lower_dirs {
                rustix::mount::fsconfig_set_string(&fs, "lowerdir+", dir.as_path())?;
            }
        } else {
            let dirs: Vec<_> = self.lower_dirs.iter().map(|dir| dir.as_os_str()).collect();
            rustix::mount::fsconfig_set_string(&fs, "lowerdir", dirs.join(OsStr::new(":")))?;
        }
        let mut attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        match writable {
            Some(writable) => {
                rustix::mount::fsconfig_set_string(&fs, "upperdir", writable.upper)?;
                rustix::mount::fsconfig_set_string(&fs, "workdir", writable.work)?;
                rustix::mount::fsconfig_set_flag(&fs, "volatile")?;
            }
            None => attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY,
        }
        rustix::mount::fsconfig_create(&fs)?;
        Ok(rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
    }
}
