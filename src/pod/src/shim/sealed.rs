//! Sealed copies of OCI runtimes.
//!
//! A runtime's process is inside a container for a moment, which can reach its binary by `/proc/<pid>/exe` (CVE-2019-5736). So with each call
//! crun first makes of itself what can't be written, by three changes of the node's mount table, and starts anew: about 2 ms, and on a busy
//! node more, as all who mount wait for each other. If it is in a sealed file in memory already, it goes on at once. So peapod makes one such
//! copy for all pods; their shims open it by the daemon's number when they begin, and run that.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use peapod_shim_protocol::sealed;
use rustix::fs::{MemfdFlags, Timespec, Timestamps, fcntl_add_seals, futimens, memfd_create};
use rustix::io::Errno;

/// What a runtime names itself by that knows sealed copies of itself.
const MARK: &[u8] = b"_LIBCONTAINER_CLONED_BINARY";
/// What every program of the kernel's own format begins with.
const ELF: &[u8] = b"\x7fELF";
/// A larger one takes more memory than it saves time: crun has half a megabyte, runc fourteen.
const LARGEST: u64 = 4 << 20;

/// The copies of one daemon, by the runtimes' paths.
#[derive(Debug, Default)]
pub(super) struct Copies {
    made: HashMap<PathBuf, Made>,
}

#[derive(Debug)]
struct Made {
    /// Of the file as it was.
    print: sealed::Print,
    /// `None` for a runtime that has no use for one.
    copy: Option<File>,
}

impl Copies {
    /// The value of [`sealed::ENV`] for a shim that is to run this runtime; `None` if it has to run it as it is. Blocks.
    pub(super) fn find(&mut self, program: &Path) -> Option<OsString> {
        let print = sealed::print(&std::fs::metadata(program).ok()?);
        if self.made.get(program).is_none_or(|made| made.print != print) {
            let copy = copy(program).unwrap_or_else(|error| {
                tracing::warn!(%error, runtime = %program.display(), "no sealed copy can be made: each call makes one by itself");
                None
            });
            self.made.insert(program.to_path_buf(), Made { print, copy });
        }
        let copy = self.made.get(program)?.copy.as_ref()?;
        let at = format!("/proc/{}/fd/{}", std::process::id(), copy.as_raw_fd());
        Some(sealed::value(Path::new(&at), program))
    }
}

fn copy(program: &Path) -> io::Result<Option<File>> {
    let file = File::open(program)?;
    let metadata = file.metadata()?;
    if metadata.size() > LARGEST {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes)?;
    if !bytes.starts_with(ELF) || !bytes.windows(MARK.len()).any(|some| some == MARK) {
        return Ok(None);
    }
    let mut copy = memory(program)?;
    copy.write_all(&bytes)?;
    // By which shims see that the runtime is another one by now.
    let modified = Timespec { tv_sec: metadata.mtime(), tv_nsec: metadata.mtime_nsec() };
    futimens(&copy, &Timestamps { last_access: modified, last_modification: modified })?;
    fcntl_add_seals(&copy, sealed::SEALS)?;
    runs(&copy)?;
    Ok(Some(copy))
}

fn memory(program: &Path) -> io::Result<File> {
    let name = program.file_name().unwrap_or_default();
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels before 6.3 have no such flag, and need none.
    let made = memfd_create(name, flags | MemfdFlags::EXEC).or_else(|error| match error {
        Errno::INVAL => memfd_create(name, flags),
        other => Err(other),
    })?;
    Ok(File::from(made))
}

/// Whether the node lets anybody run such a file.
fn runs(copy: &File) -> io::Result<()> {
    let mut command = Command::new(format!("/proc/self/fd/{}", copy.as_raw_fd()));
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    // It has begun, which is all that was asked.
    let _ = child.kill();
    child.wait().map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn program(dir: &Path, bytes: &[u8]) -> PathBuf {
        let path = dir.join("runtime");
        fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn only_what_knows_copies_is_copied() {
        let dir = tempfile::tempdir().unwrap();
        let mut copies = Copies::default();
        let large = [ELF, &vec![0; LARGEST as usize], MARK].concat();
        for bytes in [&b""[..], b"#!/bin/sh\n# _LIBCONTAINER_CLONED_BINARY\n", ELF, &large] {
            assert_eq!(copies.find(&program(dir.path(), bytes)), None);
        }
        assert_eq!(copies.find(&dir.path().join("missing")), None);
    }

    #[test]
    fn a_copy_is_made_once_and_anew_when_the_runtime_has_changed() {
        let dir = tempfile::tempdir().unwrap();
        // Any program that runs, with the mark behind it, where nothing looks.
        let bytes = [fs::read("/bin/true").unwrap().as_slice(), MARK].concat();
        let path = program(dir.path(), &bytes);
        let mut copies = Copies::default();
        let first = copies.find(&path).expect("a copy");
        assert_eq!(copies.find(&path), Some(first.clone()));
        let (at, of) = sealed::parse(&first).expect("two paths");
        assert_eq!(of, path);
        assert_eq!(fs::read(&at).unwrap(), bytes);
        assert_eq!(sealed::print(&fs::metadata(&at).unwrap()), sealed::print(&fs::metadata(&path).unwrap()));
        assert!(File::options().write(true).open(&at).and_then(|mut file| file.write_all(b"x")).is_err());

        let other = program(dir.path(), &[&bytes, MARK].concat());
        let (at, _) = sealed::parse(&copies.find(&other).expect("a copy")).unwrap();
        assert_eq!(fs::metadata(at).unwrap().len(), (bytes.len() + MARK.len()) as u64);
    }
}
