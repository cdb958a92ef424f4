//! Files of this node become an archive for a container. Others may change them meanwhile: what is opened is what was
//! looked at, and no link that somebody puts in its place is followed.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, open, openat, openat2, readlinkat};
use rustix::io::Errno;
use tar::{Builder, EntryType, Header};

use super::error::CopyError;
use super::extract::{LeftOut, left_out};

/// Nothing on the way to what is in a folder is a link.
const INSIDE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);
/// A pipe is not waited for.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
const NO_FILE: &str = "it is a device, a pipe or a socket";

/// Writes a file or folder, under another name, and answers what it left out. Links stay links, but the one that is
/// named.
pub(crate) fn pack(from: &Path, name: &Path, to: impl Write) -> Result<LeftOut, CopyError> {
    let failed = failed(from);
    let mut packer = Packer { builder: Builder::new(to), left_out: LeftOut::default() };
    let named = open(from, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(&failed)?;
    let found = fstat(&named).map_err(&failed)?;
    match FileType::from_raw_mode(found.st_mode) {
        FileType::Directory => packer.tree(&named, from, name)?,
        FileType::RegularFile => packer.file(open(from, READ, Mode::empty()), from, name)?,
        _ => return Err(CopyError::NotCopied(left_out(from.as_os_str().as_bytes(), NO_FILE))),
    }
    packer.builder.into_inner().and_then(|mut to| to.flush()).map_err(unreadable(from))?;
    Ok(packer.left_out)
}

struct Packer<W: Write> {
    builder: Builder<W>,
    left_out: LeftOut,
}

impl<W: Write> Packer<W> {
    /// A folder with all that is in it.
    fn tree(&mut self, root: &OwnedFd, from: &Path, name: &Path) -> Result<(), CopyError> {
        // Where it is below the root.
        let mut waiting = vec![PathBuf::new()];
        while let Some(below) = waiting.pop() {
            let is_root = below.as_os_str().is_empty();
            let (path, below, name) = if is_root {
                (from.to_owned(), PathBuf::from("."), name.to_owned())
            } else {
                (from.join(&below), below.clone(), name.join(&below))
            };
            let failed = failed(&path);
            let look = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let there = match openat2(root, &below, look, Mode::empty(), INSIDE) {
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                    self.left_out.add(path.as_os_str().as_bytes(), "it was removed meanwhile");
                    continue;
                }
                there => there.map_err(&failed)?,
            };
            let found = fstat(&there).map_err(&failed)?;
            match FileType::from_raw_mode(found.st_mode) {
                FileType::Directory => {
                    let mut header = header(&found, EntryType::Directory);
                    self.builder.append_data(&mut header, &name, io::empty()).map_err(unreadable(&path))?;
                    let own = if is_root { Path::new("") } else { &below };
                    waiting.extend(entries(&there).map_err(&failed)?.iter().map(|entry| own.join(entry)));
                }
                FileType::RegularFile => {
                    let opened = openat2(root, &below, READ | OFlags::NOFOLLOW, Mode::empty(), INSIDE);
                    self.file(opened, &path, &name)?;
                }
                FileType::Symlink => {
                    let target = readlinkat(&there, "", Vec::new()).map_err(&failed)?;
                    let mut header = header(&found, EntryType::Symlink);
                    let target = OsStr::from_bytes(target.as_bytes());
                    self.builder.append_link(&mut header, &name, target).map_err(unreadable(&path))?;
                }
                _ => self.left_out.add(path.as_os_str().as_bytes(), NO_FILE),
            }
        }
        Ok(())
    }

    /// A file, which was one a moment ago.
    fn file(&mut self, opened: rustix::io::Result<OwnedFd>, path: &Path, name: &Path) -> Result<(), CopyError> {
        let failed = failed(path);
        let file = match opened {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => None,
            opened => Some(opened.map_err(&failed)?),
        };
        let found = file.as_ref().map(fstat).transpose().map_err(&failed)?;
        let Some((file, found)) =
            file.zip(found).filter(|(_, found)| FileType::from_raw_mode(found.st_mode) == FileType::RegularFile)
        else {
            self.left_out.add(path.as_os_str().as_bytes(), "something else took its place meanwhile");
            return Ok(());
        };
        let size = u64::try_from(found.st_size).unwrap_or_default();
        let mut header = header(&found, EntryType::Regular);
        header.set_size(size);
        // As many bytes as the header says, whatever becomes of the file meanwhile.
        let mut content = ReadSoFar { from: File::from(file), read: 0 };
        let padded = (&mut content).chain(io::repeat(0)).take(size);
        self.builder.append_data(&mut header, name, padded).map_err(unreadable(path))?;
        if content.read < size {
            let missing = format!("its last {} bytes: it became shorter while it was read", size - content.read);
            self.left_out.add(path.as_os_str().as_bytes(), &missing);
        }
        Ok(())
    }
}

struct ReadSoFar {
    from: File,
    read: u64,
}

impl Read for ReadSoFar {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.read += count as u64;
        Ok(count)
    }
}

/// Names in a folder; the last comes first.
fn entries(folder: impl AsFd) -> rustix::io::Result<Vec<std::ffi::OsString>> {
    let folder = openat(folder, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::new(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    names.sort_by(|one, other| other.cmp(one));
    Ok(names)
}

fn failed(path: &Path) -> impl Fn(Errno) -> CopyError {
    let path = path.display().to_string();
    move |errno| CopyError::Read { path: path.clone(), source: errno.into() }
}

fn unreadable(path: &Path) -> impl Fn(io::Error) -> CopyError {
    let path = path.display().to_string();
    move |source| CopyError::Read { path: path.clone(), source }
}

/// Without an owner: files belong to whoever runs tar in the container.
fn header(found: &Stat, kind: EntryType) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(found.st_mode & 0o777);
    header.set_mtime(u64::try_from(found.st_mtime).unwrap_or_default());
    header.set_size(0);
    header
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// Does something once when the first file's content passes.
    struct Meanwhile<'a>(Vec<u8>, &'a dyn Fn(), Cell<bool>);

    impl Write for Meanwhile<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if bytes.contains(&b'!') && !self.2.replace(true) {
                self.1();
            }
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is left out, and the archive, if something happens between the packing of `top/a` and of `top/b`.
    fn packed(make: impl Fn(&Path), meanwhile: impl Fn(&Path)) -> (Vec<String>, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        fs::create_dir(&top).unwrap();
        fs::write(dir.path().join("secret"), "secret").unwrap();
        fs::write(top.join("a"), "!").unwrap();
        make(&top);
        let change = || meanwhile(&top);
        let mut to = Meanwhile(Vec::new(), &change, Cell::new(false));
        let left_out = pack(&top, Path::new("top"), &mut to).unwrap();
        assert!(to.2.get());
        (left_out.notes, to.0)
    }

    fn has_secret(archive: &[u8]) -> bool {
        archive.windows(6).any(|part| part == b"secret")
    }

    #[test]
    fn what_takes_the_place_of_a_file_or_folder_is_not_followed() {
        let (notes, archive) = packed(
            |top| {
                fs::create_dir(top.join("b")).unwrap();
                fs::write(top.join("b/secret"), "x").unwrap();
            },
            |top| {
                fs::rename(top.join("b"), top.join("../old")).unwrap();
                symlink("..", top.join("b")).unwrap();
            },
        );
        assert_eq!(notes, Vec::<String>::new());
        let entries: Vec<_> = tar::Archive::new(archive.as_slice())
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().header().entry_type())
            .collect();
        assert_eq!(entries, [EntryType::Directory, EntryType::Regular, EntryType::Symlink]);
        assert!(!has_secret(&archive));
    }

    #[test]
    fn what_is_a_link_or_a_pipe_when_it_is_opened_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("secret"), "secret").unwrap();
        symlink("secret", dir.path().join("link")).unwrap();
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, dir.path().join("pipe"), mode).unwrap();
        let root = open(dir.path(), OFlags::PATH, Mode::empty()).unwrap();
        for name in ["link", "pipe", "gone"] {
            let mut packer = Packer { builder: Builder::new(Vec::new()), left_out: LeftOut::default() };
            let opened = openat2(&root, name, READ | OFlags::NOFOLLOW, Mode::empty(), INSIDE);
            packer.file(opened, Path::new(name), Path::new(name)).unwrap();
            assert!(packer.left_out.notes[0].contains("took its place"), "{name}: {:?}", packer.left_out);
            assert!(!has_secret(&packer.builder.into_inner().unwrap()));
        }
    }

    #[test]
    fn what_is_gone_and_what_became_shorter_is_told() {
        let make = |top: &Path| fs::write(top.join("b"), "x").unwrap();
        let (notes, _) = packed(make, |top| fs::remove_file(top.join("b")).unwrap());
        assert!(notes.len() == 1 && notes[0].contains("removed meanwhile"), "{notes:?}");
        let long = "!".repeat(1 << 20);
        let cut = |top: &Path| File::options().write(true).open(top.join("a")).unwrap().set_len(3).unwrap();
        let (notes, archive) = packed(|top| fs::write(top.join("a"), &long).unwrap(), cut);
        assert!(notes.len() == 1 && notes[0].contains("bytes: it became shorter"), "{notes:?}");
        assert!(archive.len() > 1 << 20);
    }

    #[test]
    fn a_pipe_that_is_named_is_an_error_and_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, Mode::from_raw_mode(0o600)).unwrap();
        let refused = pack(&pipe, Path::new("x"), Vec::new()).unwrap_err().to_string();
        assert!(refused.contains("nothing was copied: left out"), "{refused}");
    }
}
