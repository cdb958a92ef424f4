//! All files together: which device is described where, and what asking for some of them gives. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use peapod_text::{Sample, excerpt};
use thiserror::Error;

use crate::bounds::PROBLEMS;
use crate::edits::CdiEdits;
use crate::file::CdiFile;
use crate::name::CdiName;
use crate::problem::FileProblem;

/// The devices of all folders, as of one moment.
#[derive(Debug, Default)]
pub struct DeviceIndex {
    dirs: Vec<PathBuf>,
    files: Vec<(PathBuf, Arc<CdiFile>)>,
    devices: BTreeMap<CdiName, Described>,
    broken: Vec<BrokenFile>,
}

/// By which files a device is described, by their place in the list.
#[derive(Clone, Copy, Debug)]
enum Described {
    By(usize),
    /// Nobody can say which of them is meant.
    ByTwo(usize, usize),
}

/// A file, or a folder, that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}: {problem}", .path.display())]
pub struct BrokenFile {
    /// Where it is.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: FileProblem,
}

/// Why a device can't be had.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoDevice {
    /// There are no folders.
    #[error("{0}: no CDI device can be had, as cdi.spec_dirs in peapod's configuration is empty")]
    Off(CdiName),
    /// No file describes it, or that file can't be used.
    #[error("{name}: no file in {dirs} describes this device{also}")]
    Unknown {
        /// The device.
        name: CdiName,
        /// Where files were looked for.
        dirs: Sample,
        /// What else there is: devices of that kind, and files that can't be used.
        also: String,
    },
    /// Two files of one folder describe it.
    #[error("{name}: {} and {} both describe this device: remove one", one.display(), other.display())]
    Conflict {
        /// The device.
        name: CdiName,
        /// A file.
        one: PathBuf,
        /// And another one.
        other: PathBuf,
    },
}

/// What was read of a folder: its files in order of their names.
pub(crate) type ReadFolder = Vec<(PathBuf, Result<Arc<CdiFile>, FileProblem>)>;

impl DeviceIndex {
    /// Of folders, of which a later one wins.
    pub(crate) fn of(dirs: Vec<PathBuf>, folders: Vec<ReadFolder>) -> Self {
        let mut index = Self { dirs, ..Self::default() };
        for folder in folders {
            let mut devices: BTreeMap<CdiName, Described> = BTreeMap::new();
            for (path, content) in folder {
                match content {
                    Ok(file) => index.add(path, file, &mut devices),
                    Err(problem) => index.broken.push(BrokenFile { path, problem }),
                }
            }
            index.devices.append(&mut devices);
        }
        index
    }

    fn add(&mut self, path: PathBuf, file: Arc<CdiFile>, devices: &mut BTreeMap<CdiName, Described>) {
        let own = self.files.len();
        for device in file.devices.keys() {
            let described = devices.entry(CdiName::of(&file.kind, device)).or_insert(Described::By(own));
            if let Described::By(first) = *described
                && first != own
            {
                *described = Described::ByTwo(first, own);
            }
        }
        self.files.push((path, file));
    }

    /// The folders that were looked into, the last of which wins.
    #[must_use]
    pub fn dirs(&self) -> &[PathBuf] {
        &self.dirs
    }

    /// Files and folders that can't be used.
    #[must_use]
    pub fn broken(&self) -> &[BrokenFile] {
        &self.broken
    }

    /// All devices by name, each with the files that describe it: two, if it can't be had for that.
    pub fn devices(&self) -> impl Iterator<Item = (&CdiName, Vec<&Path>)> {
        self.devices.iter().map(|(name, described)| {
            let files = match *described {
                Described::By(one) => vec![one],
                Described::ByTwo(one, other) => vec![one, other],
            };
            (name, files.into_iter().filter_map(|at| self.path(at)).collect())
        })
    }

    /// What these devices need, in order: what all devices of a file have in common once, and before their own.
    ///
    /// # Errors
    /// One of them can't be had.
    pub fn edits(&self, names: &[CdiName]) -> Result<Vec<&CdiEdits>, NoDevice> {
        let (mut edits, mut begun) = (Vec::new(), BTreeSet::new());
        for name in names {
            let at = match self.devices.get(name) {
                Some(Described::By(at)) => *at,
                Some(Described::ByTwo(one, other)) => return Err(self.conflict(name, *one, *other)),
                None => return Err(self.unknown(name)),
            };
            let Some((_, file)) = self.files.get(at) else { return Err(self.unknown(name)) };
            let Some(own) = file.devices.get(name.device()) else { return Err(self.unknown(name)) };
            if begun.insert(at) {
                edits.push(&file.common);
            }
            edits.push(own);
        }
        Ok(edits)
    }

    fn path(&self, at: usize) -> Option<&Path> {
        self.files.get(at).map(|(path, _)| path.as_path())
    }

    fn conflict(&self, name: &CdiName, one: usize, other: usize) -> NoDevice {
        let path = |at| self.path(at).unwrap_or(Path::new("")).to_owned();
        NoDevice::Conflict { name: name.clone(), one: path(one), other: path(other) }
    }

    fn unknown(&self, name: &CdiName) -> NoDevice {
        if self.dirs.is_empty() {
            return NoDevice::Off(name.clone());
        }
        let mut also = String::new();
        let others: Vec<&str> =
            self.devices.keys().filter(|other| other.kind() == name.kind()).map(CdiName::device).collect();
        if !others.is_empty() {
            also += &format!("; of {} there are {}", excerpt(name.kind()), Sample::of(others));
        }
        if !self.broken.is_empty() {
            let told: Vec<String> = self.broken.iter().take(PROBLEMS).map(ToString::to_string).collect();
            let more = self.broken.len() - told.len();
            let more = if more > 0 { format!("; and {more} more") } else { String::new() };
            also += &format!("; what can't be used: {}{more}", told.join("; "));
        }
        let dirs: Vec<_> = self.dirs.iter().map(|dir| dir.to_string_lossy()).collect();
        NoDevice::Unknown { name: name.clone(), dirs: Sample::of(dirs.iter().map(AsRef::as_ref)), also }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::Format;

    /// A file whose common edits are `COMMON=<tag>`, and those of each device `<device>=<tag>`.
    fn file(kind: &str, devices: &[&str], tag: &str) -> Result<Arc<CdiFile>, FileProblem> {
        let devices: Vec<String> = devices
            .iter()
            .map(|name| format!(r#"{{"name": "{name}", "containerEdits": {{"env": ["{name}={tag}"]}}}}"#))
            .collect();
        let text = format!(
            r#"{{"cdiVersion": "0.6.0", "kind": "{kind}", "containerEdits": {{"env": ["COMMON={tag}"]}}, "devices": [{}]}}"#,
            devices.join(",")
        );
        CdiFile::parse(text.as_bytes(), Format::Json).map(Arc::new)
    }

    fn index() -> DeviceIndex {
        let at = |path: &str| PathBuf::from(path);
        DeviceIndex::of(
            vec![at("/etc/cdi"), at("/run/cdi")],
            vec![
                vec![
                    (at("/etc/cdi/a.json"), file("v/gpu", &["a", "b", "twice", "later"], "1")),
                    (at("/etc/cdi/b.json"), file("v/gpu", &["twice", "later"], "2")),
                    (at("/etc/cdi/c.json"), file("v/nic", &["a"], "3")),
                ],
                vec![
                    (at("/run/cdi/a.json"), file("v/gpu", &["b", "later"], "4")),
                    (at("/run/cdi/b.yaml"), Err(FileProblem::NoFile)),
                ],
            ],
        )
    }

    fn names(all: &[&str]) -> Vec<CdiName> {
        all.iter().map(|name| CdiName::parse(name).unwrap()).collect()
    }

    #[test]
    fn what_a_file_has_in_common_comes_once_and_first() {
        let index = index();
        let env = |wanted: &[&str]| -> Vec<String> {
            let edits = index.edits(&names(wanted)).unwrap();
            edits.iter().flat_map(|edits| edits.env.clone()).collect()
        };
        assert_eq!(env(&["v/gpu=a"]), ["COMMON=1", "a=1"]);
        // The later folder wins, for its devices alone; and over two that can't agree.
        assert_eq!(env(&["v/gpu=b"]), ["COMMON=4", "b=4"]);
        assert_eq!(env(&["v/gpu=later"]), ["COMMON=4", "later=4"]);
        assert_eq!(
            env(&["v/gpu=a", "v/nic=a", "v/gpu=b", "v/gpu=later"]),
            ["COMMON=1", "a=1", "COMMON=3", "a=3", "COMMON=4", "b=4", "later=4"]
        );
        assert_eq!(env(&[]), [""; 0]);
    }

    #[test]
    fn what_can_not_be_had_is_said_with_the_files() {
        let index = index();
        let said = |name: &str| index.edits(&names(&["v/gpu=a", name])).unwrap_err().to_string();
        assert_eq!(
            said("v/gpu=twice"),
            "v/gpu=twice: /etc/cdi/a.json and /etc/cdi/b.json both describe this device: remove one"
        );
        assert_eq!(
            said("v/gpu=z"),
            "v/gpu=z: no file in \"/etc/cdi\", \"/run/cdi\" describes this device; of \"v/gpu\" there are \"a\", \"b\", \
             \"later\", \"twice\"; what can't be used: /run/cdi/b.yaml: is no regular file"
        );
        assert!(!said("w/gpu=a").contains("there are"));
        let off = DeviceIndex::of(Vec::new(), Vec::new()).edits(&names(&["v/gpu=a"])).unwrap_err();
        assert!(off.to_string().contains("cdi.spec_dirs"), "{off}");
        let listed: Vec<String> = index.devices().map(|(name, files)| format!("{name} {}", files.len())).collect();
        assert_eq!(listed, ["v/gpu=a 1", "v/gpu=b 1", "v/gpu=later 1", "v/gpu=twice 2", "v/nic=a 1"]);
    }
}
