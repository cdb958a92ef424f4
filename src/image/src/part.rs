//! A part of an image, as a volume beside a container's root file system shows it.

use crate::model::Rootfs;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A folder or file of an image. Nobody changes it: layers are not written to.
#[derive(Debug)]
pub struct ImagePart {
    root: OwnedFd,
    path: PathBuf,
}

/// Why there is no such part.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// The image has nothing there, or links that lead nowhere.
    #[error("the image has nothing there")]
    Missing,
    /// It is a device, a FIFO or a socket.
    #[error("it is neither a folder nor a file of the image")]
    Odd,
    /// The image can't be looked at.
    #[error(transparent)]
    Io(#[from] io::Error),
}

const LOOK: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);
const WITHIN: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

impl Rootfs {
    /// What the image has at an absolute path. Links are followed within the image, as a container of it would follow
    /// them.
    ///
    /// Blocks for a moment.
    ///
    /// # Errors
    /// [`PartError`]
    pub fn part(&self, path: &Path) -> Result<ImagePart, PartError> {
        let root = self.open()?;
        let found = match rustix::fs::openat2(&root, within(path), LOOK, Mode::empty(), WITHIN) {
            Ok(found) => found,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG) => return Err(PartError::Missing),
            Err(error) => return Err(PartError::Io(error.into())),
        };
        let stat = rustix::fs::fstat(&found).map_err(io::Error::from)?;
        if !matches!(FileType::from_raw_mode(stat.st_mode), FileType::Directory | FileType::RegularFile) {
            return Err(PartError::Odd);
        }
        let path = |fd: &OwnedFd| std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        let place = path(&found)?;
        let place = place.strip_prefix(path(&root)?).map_err(|_| io::Error::other("it is outside of the image"))?;
        Ok(ImagePart { path: place.to_path_buf(), root })
    }
}

impl ImagePart {
    /// Where it is within the image: relative, without symbolic links; empty for all of it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it has something at a path in it, be it a link that leads nowhere.
    #[must_use]
    pub fn has(&self, path: &Path) -> bool {
        let (path, flags) = (self.path.join(within(path)), LOOK.union(OFlags::NOFOLLOW));
        rustix::fs::openat2(&self.root, within(&path), flags, Mode::empty(), WITHIN).is_ok()
    }
}

/// A path as `openat2` takes it.
fn within(path: &Path) -> &Path {
    let path = path.strip_prefix("/").unwrap_or(path);
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_stay_in_the_image_and_lead_to_what_they_name_there() {
        let dir = tempfile::tempdir().unwrap();
        let layer = dir.path().join("layer");
        std::fs::create_dir_all(layer.join("usr/share/model")).unwrap();
        std::fs::create_dir(dir.path().join("node")).unwrap();
        std::fs::write(layer.join("usr/share/model/weights"), "w").unwrap();
        symlink("/usr/share", layer.join("absolute")).unwrap();
        symlink("../../../../usr", layer.join("up")).unwrap();
        symlink("../node", layer.join("out")).unwrap();
        symlink(dir.path().join("node"), layer.join("far")).unwrap();
        symlink("round", layer.join("round")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, layer.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let rootfs = Rootfs { lower_dirs: vec![layer] };
        let part = |path: &str| rootfs.part(Path::new(path));
        for (path, place) in [
            ("/", ""),
            ("/usr/share", "usr/share"),
            ("/absolute/model/weights", "usr/share/model/weights"),
            ("/up/share", "usr/share"),
            ("/up/../../usr/./", "usr"),
        ] {
            assert_eq!(part(path).unwrap().path(), Path::new(place), "{path}");
        }
        for path in ["/none", "/out", "/far", "/round", "/usr/share/model/weights/x", &"/x".repeat(3000)] {
            assert!(matches!(part(path), Err(PartError::Missing)), "{path}");
        }
        assert!(matches!(part("/fifo"), Err(PartError::Odd)));
        let share = part("/up/share").unwrap();
        assert!(share.has(Path::new("model/weights")) && !share.has(Path::new("usr")));
        assert!(part("/").unwrap().has(Path::new("round")));
    }
}
