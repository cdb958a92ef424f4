//! The list of directories that a layer only implies: kept in a file beside the layer until the layers below are there.
//!
//! In memory it would be as large as a hostile layer likes, for each layer of an image that is still coming. Each path
//! is written as what it shares with the one before it and what follows, so the file is no larger than all names.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Beside `diff`.
const FILE: &str = "implicit";

/// Writes the list; without a path there is no file.
pub(crate) struct Writer {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    last: Vec<u8>,
}

impl Writer {
    /// For the layer that is unpacked in `dir`.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { path: dir.join(FILE), file: None, last: Vec::new() }
    }

    /// Adds a path, of at most 4095 bytes.
    pub(super) fn add(&mut self, path: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(BufWriter::new(File::create_new(&self.path)?)),
        };
        let shared = self.last.iter().zip(path).take_while(|(a, b)| a == b).count();
        for length in [shared, path.len() - shared] {
            let length = u16::try_from(length).map_err(io::Error::other)?;
            file.write_all(&length.to_le_bytes())?;
        }
        file.write_all(&path[shared..])?;
        self.last.clear();
        self.last.extend_from_slice(path);
        Ok(())
    }

    pub(super) fn finish(self) -> io::Result<()> {
        self.file.map_or(Ok(()), |mut file| file.flush())
    }
}

/// Reads the list of the layer in `dir`, shows each path, and removes the list.
pub(super) fn take(dir: &Path, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let path = dir.join(FILE);
    let mut file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => BufReader::new(other?),
    };
    let mut current = Vec::new();
    let mut lengths = [0; 4];
    while read_whole(&mut file, &mut lengths)? {
        let [shared, rest] = [[lengths[0], lengths[1]], [lengths[2], lengths[3]]].map(u16::from_le_bytes);
        current.truncate(usize::from(shared));
        let start = current.len();
        current.resize(start + usize::from(rest), 0);
        file.read_exact(&mut current[start..])?;
        each(&current)?;
    }
    std::fs::remove_file(path)
}

fn read_whole(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(other) => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use super::{FILE, Writer, take};

    #[test]
    fn what_is_written_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let paths: [&[u8]; 5] = [b"", b"usr", b"usr/lib", b"usr/lib/x", b"var"];
        let mut writer = Writer::new(dir.path());
        paths.iter().try_for_each(|path| writer.add(path)).unwrap();
        writer.finish().unwrap();
        let mut found = Vec::new();
        let mut read = || {
            take(dir.path(), |path| {
                found.push(path.to_vec());
                Ok(())
            })
        };
        read().unwrap();
        read().unwrap();
        assert_eq!(found, paths);
        Writer::new(dir.path()).finish().unwrap();
        assert!(!dir.path().join(FILE).exists());
    }
}
