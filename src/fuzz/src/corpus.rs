//! What a target starts from: the files that are kept, and seeds that code makes.

use std::fs;
use std::io;
use std::path::Path;

/// Inputs by name, in the order of their names: the same on every machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Corpus {
    inputs: Vec<(String, Vec<u8>)>,
}

impl Corpus {
    /// The files of a folder; none if there is no such folder.
    ///
    /// # Errors
    /// When the folder or one of its files can't be read.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut inputs = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                inputs.push((entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?));
            }
        }
        inputs.sort();
        Ok(Self { inputs })
    }

    /// Adds an input that code made.
    pub fn add(&mut self, name: impl Into<String>, input: Vec<u8>) {
        self.inputs.push((name.into(), input));
    }

    /// Whether there is nothing to start from.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    /// Names and inputs.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.inputs.iter().map(|(name, input)| (name.as_str(), input.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_by_name_and_folders_not_at_all() -> io::Result<()> {
        let place = tempfile::tempdir()?;
        for (name, text) in [("b", "2"), ("a", "1")] {
            fs::write(place.path().join(name), text)?;
        }
        fs::create_dir(place.path().join("c"))?;
        let corpus = Corpus::read(place.path())?;
        assert_eq!(corpus.iter().collect::<Vec<_>>(), [("a", &b"1"[..]), ("b", b"2")]);
        assert!(Corpus::read(&place.path().join("missing"))?.is_empty());
        Ok(())
    }
}
