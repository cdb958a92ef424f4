//! The manifests of a run, read as often as somebody asks.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::bounds::MANIFEST_FILES;
use crate::explanation::explanation;
use crate::manifest::{self, LoadedManifest, MAX_LENGTH, ManifestSource};
use crate::manifest_files;

/// Files and folders; standard input was read once.
pub(crate) struct RunFiles {
    named: Vec<PathBuf>,
    input: Option<String>,
}

impl RunFiles {
    /// Reads standard input if it is one of them.
    pub(crate) fn new(named: &[PathBuf]) -> anyhow::Result<Self> {
        let input = match named.iter().find(|file| is_input(file)) {
            Some(file) => Some(manifest_files::read(file, MAX_LENGTH).context("cannot read standard input")?),
            None => None,
        };
        Ok(Self { named: named.to_vec(), input })
    }

    /// What was read from standard input.
    pub(crate) fn input(&self) -> Option<&str> {
        self.input.as_deref()
    }

    /// Files and folders, as they were named.
    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.named
    }

    /// Whether more pods may come.
    pub(crate) fn is_folder(&self) -> bool {
        self.named.iter().any(|path| path.is_dir())
    }

    /// By what the run is found again: files and folders by their absolute paths.
    pub(crate) fn identities(&self) -> Vec<String> {
        self.named.iter().filter(|file| !is_input(file)).map(|file| manifest_files::identity(file)).collect()
    }

    /// What the files ask for by now.
    pub(crate) fn read(&self) -> anyhow::Result<LoadedManifest> {
        manifest::load(&self.sources()?).with_context(|| format!("cannot run {}", self.called()))
    }

    /// What each of their fields does.
    pub(crate) fn explain(&self) -> anyhow::Result<String> {
        let explained = manifest::explain(&self.sources()?);
        Ok(explanation(&explained.with_context(|| format!("cannot run {}", self.called()))?))
    }

    /// How all of them together are called.
    fn called(&self) -> String {
        self.named.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    }

    /// The texts of all files, those of a folder in the order of their names.
    fn sources(&self) -> anyhow::Result<Vec<ManifestSource>> {
        let mut files = Vec::new();
        for named in &self.named {
            files.extend(manifest_files::files(named)?);
        }
        ensure!(files.len() <= MANIFEST_FILES, "there are {} files: give {MANIFEST_FILES} at most", files.len());
        let alone = files.len() == 1;
        let (mut sources, mut left) = (Vec::new(), MAX_LENGTH);
        for file in files {
            let (text, path) = match &self.input {
                Some(input) if is_input(&file) => (input.clone(), None),
                _ => {
                    let read = manifest_files::read(&file, left);
                    let text = read.with_context(|| format!("cannot read {}", file.display()))?;
                    (text, Some(manifest_files::identity(&file)))
                }
            };
            left = left.saturating_sub(text.len());
            // A single file is named once, before all that is said.
            let name = if alone { String::new() } else { file.display().to_string() };
            sources.push(ManifestSource { name, path, text });
        }
        Ok(sources)
    }
}

fn is_input(file: &Path) -> bool {
    file.as_os_str() == "-"
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn folders_are_read_in_the_order_of_names() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.yaml", "a.json", "c.yml", "d.txt", "e.yaml.bak"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        fs::create_dir(dir.path().join("f.yaml")).unwrap();
        let read = |path: PathBuf| RunFiles::new(&[path]).unwrap().sources();
        let sources = read(dir.path().to_owned()).unwrap();
        assert_eq!(
            sources.iter().map(|source| source.text.as_str()).collect::<Vec<_>>(),
            ["a.json", "b.yaml", "c.yml"]
        );
        assert!(sources[0].name.ends_with("/a.json") && sources[0].path.as_ref() == Some(&sources[0].name));
        let alone = read(dir.path().join("d.txt")).unwrap();
        assert_eq!((alone[0].name.as_str(), alone[0].text.as_str()), ("", "d.txt"));
        let said = |path: PathBuf| format!("{:#}", read(path).unwrap_err());
        assert!(said(dir.path().join("f.yaml")).contains("none ends with .yaml"));
        assert!(said(dir.path().join("none")).contains("cannot read"));
        fs::write(dir.path().join("b.yaml"), " ".repeat(MAX_LENGTH)).unwrap();
        assert!(said(dir.path().to_owned()).contains("longer than any Pod may be"));
    }
}
