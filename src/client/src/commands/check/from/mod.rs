//! `peapod check --from`: another runtime's configuration, key by key, and what will differ on peapod.

mod containerd;
mod crio;
mod keys;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::report::CheckReport;
use crate::bounds::CONFIGURATION_BYTES;
use crate::image_cli::OtherRuntime;

/// Reads the files and tells the fate of each key. `file`: in place of where the runtime looks.
pub(super) fn check_from(runtime: OtherRuntime, file: Option<&Path>) -> anyhow::Result<CheckReport> {
    let files = match (file, runtime) {
        (Some(file), _) => vec![file.to_owned()],
        (None, OtherRuntime::Containerd) => vec![PathBuf::from("/etc/containerd/config.toml")],
        (None, OtherRuntime::Crio) => crio_files(Path::new("/etc/crio"))?,
    };
    let mut report = CheckReport::default();
    for file in files {
        let text = read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let of_file = differences(runtime, &text).with_context(|| format!("cannot read {}", file.display()))?;
        report.0.extend(of_file.0);
    }
    Ok(report)
}

/// In the order in which CRI-O reads them.
fn crio_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = Vec::new();
    files.extend(Some(folder.join("crio.conf")).filter(|path| path.exists()));
    let mut more: Vec<PathBuf> = match std::fs::read_dir(folder.join("crio.conf.d")) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect(),
        Err(_) => Vec::new(),
    };
    more.sort();
    files.extend(more);
    anyhow::ensure!(!files.is_empty(), "{} has neither crio.conf nor files in crio.conf.d", folder.display());
    Ok(files)
}

fn read(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(file)?.take(CONFIGURATION_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > CONFIGURATION_BYTES {
        return Err(io::Error::other("it is larger than any configuration"));
    }
    Ok(text)
}

fn differences(runtime: OtherRuntime, text: &str) -> anyhow::Result<CheckReport> {
    let document: toml::Table = text.parse()?;
    let mut report = CheckReport::default();
    for key in keys::keys(&document) {
        let shown = key.name.strip_prefix("plugins.io.containerd.").unwrap_or(&key.name).to_owned();
        match runtime {
            OtherRuntime::Crio => keys::tell(&shown, &key.name, &key, crio::KEYS, &mut report),
            OtherRuntime::Containerd => match containerd::of_plugin(&key) {
                Some(name) => keys::tell(&shown, &name, &key, containerd::KEYS, &mut report),
                None => keys::tell(&shown, &key.name, &key, containerd::OUTSIDE, &mut report),
            },
        }
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a report says, beside the file that it is about.
    fn golden(runtime: OtherRuntime, input: &str, wanted: &str) {
        let found = differences(runtime, input).unwrap().text();
        assert_eq!(found, wanted, "\n--- found:\n{found}");
    }

    #[test]
    fn containerd_version_2() {
        let input = include_str!("testdata/containerd-2.toml");
        golden(OtherRuntime::Containerd, input, include_str!("testdata/containerd-2.txt"));
    }

    #[test]
    fn containerd_version_3() {
        let input = include_str!("testdata/containerd-3.toml");
        golden(OtherRuntime::Containerd, input, include_str!("testdata/containerd-3.txt"));
    }

    #[test]
    fn crio() {
        golden(OtherRuntime::Crio, include_str!("testdata/crio.toml"), include_str!("testdata/crio.txt"));
    }

    #[test]
    fn files_of_crio_are_read_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        assert!(crio_files(dir.path()).unwrap_err().to_string().contains("neither"));
        std::fs::create_dir(dir.path().join("crio.conf.d")).unwrap();
        for name in ["crio.conf.d/20-b.conf", "crio.conf", "crio.conf.d/10-a.conf"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let names: Vec<_> = crio_files(dir.path()).unwrap();
        let names: Vec<_> = names.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["crio.conf", "10-a.conf", "20-b.conf"]);
    }

    #[test]
    fn what_is_no_toml_is_refused() {
        assert!(differences(OtherRuntime::Crio, "[crio").is_err());
        let long = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(long.path(), vec![b'#'; usize::try_from(CONFIGURATION_BYTES).unwrap() + 1]).unwrap();
        assert!(check_from(OtherRuntime::Crio, Some(long.path())).is_err());
    }
}
