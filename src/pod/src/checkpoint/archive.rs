//! A checkpoint's archive: what is in a folder, and documents beside it.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;
use tar::{Builder, EntryType, Header};

use super::{CHANGES, DELETED, IMAGES};

/// Notes of CRIU's beside its images.
const NOTES: [&str; 2] = ["dump.log", "stats-dump"];

/// Writes CRIU's images and notes and the changes of the root file system, which are in `folder`, and the documents.
pub(super) fn write(folder: &Path, documents: &[(&str, Vec<u8>)], at: u64, to: &mut dyn Write) -> io::Result<()> {
    let mut archive = Builder::new(to);
    // First of all: who wants to know what it is need not read it all.
    for (name, content) in documents {
        archive.append_data(&mut header(EntryType::Regular, content.len() as u64, at), name, content.as_slice())?;
    }
    archive.append_data(&mut header(EntryType::Directory, 0, at), format!("{IMAGES}/"), io::empty())?;
    let mut images: Vec<_> = std::fs::read_dir(folder.join(IMAGES))?.collect::<Result<_, _>>()?;
    images.sort_by_key(std::fs::DirEntry::file_name);
    for image in images {
        let name = Path::new(IMAGES).join(image.file_name());
        append(&mut archive, &image.path(), &name, at)?;
    }
    for name in [CHANGES, DELETED].into_iter().chain(NOTES) {
        let file = folder.join(name);
        if file.symlink_metadata().is_ok() {
            append(&mut archive, &file, Path::new(name), at)?;
        }
    }
    archive.into_inner()?.flush()
}

/// A file, and nothing else.
fn append(archive: &mut Builder<&mut dyn Write>, file: &Path, name: &Path, at: u64) -> io::Result<()> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
    let content = File::options().read(true).custom_flags(flags).open(file)?;
    let found = content.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other(format!("{} is no regular file", file.display())));
    }
    archive.append_data(&mut header(EntryType::Regular, found.len(), at), name, content)
}

fn header(kind: EntryType, size: u64, at: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(if kind == EntryType::Directory { 0o700 } else { 0o600 });
    header.set_mtime(at);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_what_the_field_looks_for() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(IMAGES)).unwrap();
        for (name, text) in
            [("checkpoint/b.img", "b"), ("checkpoint/a.img", "a"), (CHANGES, "tar"), ("dump.log", "log")]
        {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        std::fs::write(dir.path().join("neighbour"), "ours").unwrap();
        let mut bytes = Vec::new();
        write(dir.path(), &[("config.dump", b"{}".to_vec())], 7, &mut bytes).unwrap();
        let mut archive = tar::Archive::new(&bytes[..]);
        let names = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            assert_eq!(entry.header().mtime().unwrap(), 7);
            entry.path().unwrap().to_string_lossy().into_owned()
        });
        let wanted = ["config.dump", "checkpoint/", "checkpoint/a.img", "checkpoint/b.img", CHANGES, "dump.log"];
        assert_eq!(names.collect::<Vec<_>>(), wanted);
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("checkpoint/c.img")).unwrap();
        write(dir.path(), &[], 0, &mut Vec::new()).unwrap_err();
    }
}
