//! The files that `peapod run` is given, and what it says of them.

use std::fmt::Write;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::bounds::MANIFEST_FILES;
use crate::manifest::{Explained, MAX_LENGTH, ManifestSource};

/// What of a folder is read.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// The texts of all files, those of a folder in the order of their names. `-` is standard input.
pub(crate) fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<ManifestSource>> {
    let mut files = Vec::new();
    for path in paths {
        files.extend(expand(path).with_context(|| format!("cannot read {}", path.display()))?);
    }
    ensure!(files.len() <= MANIFEST_FILES, "there are {} files: give {MANIFEST_FILES} at most", files.len());
    let alone = files.len() == 1;
    let (mut sources, mut left) = (Vec::new(), MAX_LENGTH);
    for file in files {
        let text = read_one(&file, left).with_context(|| format!("cannot read {}", file.display()))?;
        left -= text.len();
        // A single file is named once, before all that is said.
        let name = if alone { String::new() } else { file.display().to_string() };
        sources.push(ManifestSource { name, text });
    }
    Ok(sources)
}

/// How all of them together are called.
pub(crate) fn called(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// A line for each field.
pub(crate) fn explanation(explained: &[Explained]) -> String {
    let mut text = String::new();
    let places = |document: &Explained| {
        let file = document.file.clone();
        let place = move |line: u64| if file.is_empty() { format!("{line}") } else { format!("{file}:{line}") };
        document.fields.iter().map(move |field| place(field.line)).collect::<Vec<_>>()
    };
    let width = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or_default();
    let place_width = width(&mut explained.iter().flat_map(places).map(|place| place.len()));
    let paths = |document: &Explained| {
        document.fields.iter().map(|field| format!("{} {}", document.kind, field.path)).collect::<Vec<_>>()
    };
    let path_width = width(&mut explained.iter().flat_map(paths).map(|path| path.len()));
    for document in explained {
        for ((place, path), field) in places(document).iter().zip(paths(document)).zip(&document.fields) {
            // Writing to a string can't fail.
            let _ = writeln!(text, "{place:>place_width$}  {path:path_width$}  {}", field.effect);
        }
    }
    text
}

fn expand(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if path.as_os_str() == "-" || !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        let wanted =
            file.extension().and_then(|ending| ending.to_str()).is_some_and(|ending| ENDINGS.contains(&ending));
        if wanted && file.is_file() {
            files.push(file);
            ensure!(files.len() <= MANIFEST_FILES, "it has more than {MANIFEST_FILES} files");
        }
    }
    ensure!(!files.is_empty(), "no file in it ends in .yaml, .yml or .json");
    files.sort();
    Ok(files)
}

fn read_one(file: &Path, most: usize) -> anyhow::Result<String> {
    let mut text = String::new();
    let limit = most as u64 + 1;
    if file.as_os_str() == "-" {
        std::io::stdin().lock().take(limit).read_to_string(&mut text)?;
    } else {
        File::open(file)?.take(limit).read_to_string(&mut text)?;
    }
    ensure!(text.len() <= most, "it is longer than any Pod may be ({} MiB, all files together)", MAX_LENGTH >> 20);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_read_in_the_order_of_names() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.yaml", "a.json", "c.yml", "d.txt", "e.yaml.bak"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        fs::create_dir(dir.path().join("f.yaml")).unwrap();
        let sources = read(&[dir.path().to_owned()]).unwrap();
        assert_eq!(
            sources.iter().map(|source| source.text.as_str()).collect::<Vec<_>>(),
            ["a.json", "b.yaml", "c.yml"]
        );
        assert!(sources[0].name.ends_with("/a.json"));
        let alone = read(&[dir.path().join("d.txt")]).unwrap();
        assert_eq!((alone[0].name.as_str(), alone[0].text.as_str()), ("", "d.txt"));
        let said = |paths: &[PathBuf]| format!("{:#}", read(paths).unwrap_err());
        assert!(said(&[dir.path().join("f.yaml")]).contains("no file in it ends in"));
        assert!(said(&[dir.path().join("none")]).contains("cannot read"));
        fs::write(dir.path().join("b.yaml"), " ".repeat(MAX_LENGTH)).unwrap();
        assert!(said(&[dir.path().to_owned()]).contains("longer than any Pod may be"));
    }
}
