//! Sealed views of OCI runtimes.
//!
//! A runtime's process is inside a container for a moment, and the container reaches its binary by `/proc/<pid>/exe`:
//! to write to it (CVE-2019-5736), or to take its mode away, which its owner may, and root in a container is its owner.
//! So with each call crun first makes of itself what can't be written, by three changes of the node's mount table, and
//! starts anew: about 2 ms, and on a busy node more, as all who mount wait for each other. If it lies on a read-only
//! mount already, it goes on at once.
//!
//! So peapod makes one such mount for all pods; their shims open the file in it by the daemon's number when they begin,
//! and run that. The mount is an overlay without an upper layer: nothing makes it writable, its inodes are not those of
//! the node's file system, and locks, leases and frozen file systems are its own. It is nowhere in the tree and, once
//! the file is open, in no mount namespace, so that it can't be mounted anew with other flags either. Where there are
//! no overlays, it is a read-only bind mount of the file.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use peapod_shim_protocol::sealed;
use rustix::fs::{CWD, Mode, OFlags, open, openat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
    open_tree,
};

use crate::bounds::RUNTIME_BYTES;

/// What a runtime names itself by that looks whether it is sealed.
const MARK: &[u8] = b"_LIBCONTAINER_CLONED_BINARY";
/// What every program of the kernel's own format begins with.
const ELF: &[u8] = b"\x7fELF";

/// The views of one daemon, by the runtimes' paths.
#[derive(Debug)]
pub(super) struct Views {
    /// A directory of the daemon's: an overlay without an upper layer has to have a second lower one.
    beside: PathBuf,
    made: HashMap<PathBuf, SealedView>,
    /// `/dev/null` as commands in containers get it for their input. An OCI runtime leaves them the node's own.
    null: Option<File>,
}

#[derive(Debug)]
struct SealedView {
    /// Of the runtime's file when the view was made: another one means that it was replaced.
    fingerprint: sealed::Fingerprint,
    /// `None` for a runtime that has no use for one. Open for reading: as long as it is, nobody gets an exclusive lease
    /// on it.
    view: Option<File>,
}

impl Views {
    /// With none of a runtime yet.
    pub(super) fn new(beside: PathBuf) -> Self {
        let null = bind(Path::new("/dev/null")).inspect_err(|error| {
            tracing::warn!(%error, "/dev/null can't be sealed: each shim tries by itself");
        });
        Self { beside, made: HashMap::new(), null: null.ok() }
    }

    /// The value of [`sealed::NULL_ENV`].
    pub(super) fn null(&self) -> Option<OsString> {
        Some(path_for_shims(self.null.as_ref()?).into())
    }

    /// The value of [`sealed::RUNTIME_ENV`] for a shim that is to run this runtime; `None` if it has to run it as it
    /// is. Blocks.
    pub(super) fn find(&mut self, program: &Path) -> Option<OsString> {
        let fingerprint = sealed::fingerprint(&std::fs::metadata(program).ok()?);
        if self.made.get(program).is_none_or(|made| made.fingerprint != fingerprint) {
            let view = self.view(program, fingerprint).unwrap_or_else(|error| {
                tracing::warn!(%error, runtime = %program.display(), "it can't be sealed: each call does that by itself");
                None
            });
            self.made.insert(program.to_path_buf(), SealedView { fingerprint, view });
        }
        let view = self.made.get(program)?.view.as_ref()?;
        Some(sealed::value(Path::new(&path_for_shims(view)), program))
    }

    fn view(&self, program: &Path, fingerprint: sealed::Fingerprint) -> io::Result<Option<File>> {
        if !knows_views(&File::open(program)?)? {
            return Ok(None);
        }
        let view = overlay(program, &self.beside).and_then(|view| check(view, fingerprint)).or_else(|error| {
            tracing::info!(%error, runtime = %program.display(), "no overlay for it: a bind mount");
            bind(program).and_then(|view| check(view, fingerprint))
        })?;
        Ok(Some(view))
    }
}

fn path_for_shims(view: &File) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), view.as_raw_fd())
}

/// Whether a program looks for a seal. One that does not may depend on where its file lies.
fn knows_views(file: &File) -> io::Result<bool> {
    let mut file = file.take(RUNTIME_BYTES);
    let mut window = vec![0; 64 * 1024];
    let (mut kept, mut first) = (0, true);
    loop {
        let read = file.read(&mut window[kept..])?;
        let known = &window[..kept + read];
        if read == 0 || first && !known.starts_with(ELF) {
            return Ok(false);
        }
        if known.windows(MARK.len()).any(|some| some == MARK) {
            return Ok(true);
        }
        // The mark may begin here and end in what is read next.
        let (end, rest) = (known.len(), known.len().min(MARK.len()));
        window.copy_within(end - rest..end, 0);
        (kept, first) = (rest, false);
    }
}

fn overlay(program: &Path, beside: &Path) -> io::Result<File> {
    let program = program.canonicalize()?;
    let (Some(dir), Some(name)) = (program.parent(), program.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let path = |dir: &Path| open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let (dir, beside) = (path(dir)?, path(beside)?);
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    // By number: a path may have colons, and a value no more than 255 bytes.
    let lower = format!("/proc/self/fd/{}:/proc/self/fd/{}", dir.as_raw_fd(), beside.as_raw_fd());
    fsconfig_set_string(&context, "lowerdir", lower)?;
    // Turned on by itself where the two are of different file systems, and said in the kernel's log. Nobody looks at
    // inode numbers.
    let _ = fsconfig_set_string(&context, "xino", "off");
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV;
    let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    let file = openat(&mount, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    Ok(File::from(file))
}

fn bind(path: &Path) -> io::Result<File> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount: OwnedFd = open_tree(CWD, path, flags)?;
    peapod_sys::make_read_only(&mount)?;
    File::open(format!("/proc/self/fd/{}", mount.as_raw_fd()))
}

/// Whether it is what was asked for, safe, and can be run.
fn check(view: File, fingerprint: sealed::Fingerprint) -> io::Result<File> {
    if sealed::fingerprint(&view.metadata()?) != fingerprint {
        return Err(io::Error::other("the runtime was replaced meanwhile"));
    }
    if !sealed::is_sealed(&view) {
        return Err(io::Error::other("what was mounted is not read-only for the runtime"));
    }
    runs(&view)?;
    Ok(view)
}

fn runs(view: &File) -> io::Result<()> {
    let mut command = Command::new(format!("/proc/self/fd/{}", view.as_raw_fd()));
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    // It has begun, which is all that was asked.
    let _ = child.kill();
    child.wait().map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions, TryLockError};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    fn program(dir: &Path, bytes: &[u8]) -> PathBuf {
        let path = dir.join("bin").join("runtime");
        fs::create_dir_all(dir.join("bin")).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn views(dir: &Path) -> Views {
        fs::create_dir_all(dir.join("beside")).unwrap();
        Views::new(dir.join("beside"))
    }

    /// Any program that runs, with the mark behind it, where nothing looks.
    fn marked() -> Vec<u8> {
        [fs::read("/bin/true").unwrap().as_slice(), MARK].concat()
    }

    #[test]
    fn only_what_looks_for_a_seal_gets_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut views = views(dir.path());
        let far = [ELF, &vec![0; usize::try_from(RUNTIME_BYTES).unwrap()], MARK].concat();
        for bytes in [&b""[..], b"#!/bin/sh\n# _LIBCONTAINER_CLONED_BINARY\n", ELF, &far] {
            assert_eq!(views.find(&program(dir.path(), bytes)), None);
        }
        assert_eq!(views.find(&dir.path().join("missing")), None);
        // Wherever the reading is cut.
        for before in (64 * 1024 - 2 * MARK.len())..(64 * 1024 + 2) {
            let file = program(dir.path(), &[ELF, &vec![0; before], MARK, b"\0"].concat());
            assert!(knows_views(&File::open(file).unwrap()).unwrap(), "{before}");
        }
    }

    /// Needs root.
    #[test]
    fn a_view_is_made_once_and_anew_when_the_runtime_has_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = program(dir.path(), &marked());
        let mut views = views(dir.path());
        let first = views.find(&path).expect("a view");
        assert_eq!(views.find(&path), Some(first.clone()));
        let (at, of) = sealed::parse(&first).expect("two paths");
        assert_eq!(of, path);
        assert_eq!(fs::read(&at).unwrap(), marked());
        assert_eq!(
            sealed::fingerprint(&fs::metadata(&at).unwrap()),
            sealed::fingerprint(&fs::metadata(&path).unwrap())
        );

        let other = program(dir.path(), &[&marked(), MARK].concat());
        let (at, _) = sealed::parse(&views.find(&other).expect("a view")).unwrap();
        assert_eq!(fs::metadata(at).unwrap().len(), (marked().len() + MARK.len()) as u64);
    }

    /// Needs root.
    #[test]
    fn null_is_one_and_sealed() {
        let dir = tempfile::tempdir().unwrap();
        let path = views(dir.path()).null();
        // Closed with the views.
        assert!(File::open(path.unwrap()).is_err());
        let views = views(dir.path());
        let null = File::options().read(true).write(true).open(views.null().unwrap()).unwrap();
        assert!(sealed::is_sealed_null(&null));
        assert_eq!(io::copy(&mut &null, &mut io::sink()).unwrap(), 0);
        io::Write::write_all(&mut &null, b"gone").unwrap();
        assert_eq!(rustix::fs::fchmod(&null, Mode::from_raw_mode(0o667)), Err(rustix::io::Errno::ROFS));
    }

    /// Needs root: even that can't change it.
    #[test]
    fn nobody_changes_a_view() {
        use rustix::fs::{
            AtFlags, IFlags, Timestamps, XattrFlags, fchmod, fchown, fsetxattr, futimens, ioctl_setflags,
        };
        use rustix::io::Errno;
        let dir = tempfile::tempdir().unwrap();
        let path = program(dir.path(), &marked());
        let views = views(dir.path());
        let fingerprint = sealed::fingerprint(&fs::metadata(&path).unwrap());
        let made = [overlay(&path, &views.beside), bind(&path)].map(|view| check(view.unwrap(), fingerprint).unwrap());
        for view in &made {
            let at = format!("/proc/self/fd/{}", view.as_raw_fd());
            let before = fs::metadata(&path).unwrap();
            let now = Timestamps {
                last_access: rustix::fs::Timespec { tv_sec: 1, tv_nsec: 1 },
                last_modification: rustix::fs::Timespec { tv_sec: 1, tv_nsec: 1 },
            };
            let tried = [
                fchmod(view, Mode::empty()),
                rustix::fs::chmod(&at, Mode::empty()),
                fchown(view, Some(rustix::fs::Uid::from_raw(1)), None),
                futimens(view, &now),
                fsetxattr(view, "user.x", b"x", XattrFlags::empty()),
                fsetxattr(view, "trusted.x", b"x", XattrFlags::empty()),
                rustix::fs::utimensat(CWD, &at, &now, AtFlags::empty()),
                open(&at, OFlags::WRONLY, Mode::empty()).map(drop),
                open(&at, OFlags::RDWR | OFlags::TRUNC, Mode::empty()).map(drop),
            ];
            assert!(tried.iter().all(|tried| *tried == Err(Errno::ROFS)), "{tried:?}");
            assert!(ioctl_setflags(view, IFlags::IMMUTABLE).is_err());
            // No way to the flags of the mount: it is in no namespace.
            assert!(open_tree(CWD, &at, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC).is_err());
            let remount = nix::mount::MsFlags::MS_REMOUNT | nix::mount::MsFlags::MS_BIND;
            let none: Option<&str> = None;
            assert!(nix::mount::mount(none, at.as_str(), none, remount, none).is_err());
            let after = fs::metadata(&path).unwrap();
            assert_eq!((before.mode(), before.uid(), before.ctime()), (after.mode(), after.uid(), after.ctime()));
        }
        // Locks on the overlay's file are not locks on the node's.
        let [overlay, _] = &made;
        overlay.lock().unwrap();
        assert!(!matches!(File::open(&path).unwrap().try_lock(), Err(TryLockError::WouldBlock)));
    }
}
