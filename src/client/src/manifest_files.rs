//! The files that a user names: read within bounds, folders looked into, and which pods they are about.

use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::bounds::MANIFEST_FILES;
use crate::manifest::{MAX_LENGTH, Workload};

/// What manifests' names end with.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// Whether a word on the command line can be nothing else than a manifest or a folder. Others can be folders, too.
pub(crate) fn is_file(word: &str) -> bool {
    word == "-" || word.starts_with(['.', '/']) || word.ends_with('/') || is_named_so(Path::new(word))
}

fn is_named_so(path: &Path) -> bool {
    path.extension().is_some_and(|end| ENDINGS.iter().any(|known| end == *known))
}

/// A file of so many bytes at most, or standard input for `-`.
pub(crate) fn read(file: &Path, most: usize) -> anyhow::Result<String> {
    let mut text = String::new();
    let limit = most as u64 + 1;
    if file.as_os_str() == "-" {
        std::io::stdin().lock().take(limit).read_to_string(&mut text)?;
    } else {
        fs::File::open(file)?.take(limit).read_to_string(&mut text)?;
    }
    anyhow::ensure!(
        text.len() <= most,
        "it is longer than any Pod may be ({} MiB, all files together)",
        MAX_LENGTH >> 20
    );
    Ok(text)
}

/// A file itself; of a folder the manifests in it, by name. Links to them are followed, as a ConfigMap's are.
pub(crate) fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if path.as_os_str() == "-" || !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable = || format!("cannot read {}", path.display());
    let mut found = Vec::new();
    for entry in path.read_dir().with_context(unreadable)? {
        let file = entry.with_context(unreadable)?.path();
        let is_hidden = file.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && is_named_so(&file) && file.is_file() {
            found.push(file);
            let many = found.len() > MANIFEST_FILES;
            anyhow::ensure!(!many, "{} has more than {MANIFEST_FILES} manifests", path.display());
        }
    }
    found.sort();
    anyhow::ensure!(!found.is_empty(), "no manifest is in {}: none ends with .yaml, .yml or .json", path.display());
    Ok(found)
}

/// By what name pods remember the file that they are of.
pub(crate) fn identity(file: &Path) -> String {
    located(file).display().to_string()
}

/// The one path of a file, whatever words lead to it: its folder's own path, and the name in it. A link in that place
/// stays one, as what it leads to may be another file next time.
pub(crate) fn located(file: &Path) -> PathBuf {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let real = match (absolute.parent(), absolute.file_name()) {
        (Some(folder), Some(name)) => fs::canonicalize(folder).map(|folder| folder.join(name)),
        _ => fs::canonicalize(&absolute),
    };
    real.unwrap_or(absolute)
}

/// A file or folder, under whatever path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ManifestIdentity {
    path: String,
    /// Without links, if it is there.
    real: Option<PathBuf>,
}

impl ManifestIdentity {
    /// Of an [`identity`].
    pub(crate) fn of(path: &str) -> Self {
        Self { path: path.to_owned(), real: fs::canonicalize(path).ok() }
    }

    /// Whether both are one file.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.path == other.path || (self.real.is_some() && self.real == other.real)
    }

    /// Whether it lies in that folder, and in none below it.
    pub(crate) fn is_in(&self, folder: &Self) -> bool {
        let parent = Path::new(&self.path).parent();
        let real = |path: Option<&PathBuf>| path.and_then(|path| Some(path.parent()?.to_owned()));
        parent == Some(Path::new(&folder.path)) || (folder.real.is_some() && real(self.real.as_ref()) == folder.real)
    }
}

/// What a manifest asks for, as it names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct NamedWorkload {
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl NamedWorkload {
    /// Of a workload.
    pub(crate) fn of(workload: &Workload) -> Self {
        let (kind, namespace, name) = workload.key();
        Self { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// A word by which somebody can mean it.
    pub(crate) fn word(&self) -> String {
        let first = if self.kind == "Pod" { self.namespace.clone() } else { self.kind.to_lowercase() };
        format!("{first}/{}", self.name)
    }

    /// Whether somebody can mean it by this word: its name, `namespace/name` or `kind/name`.
    pub(crate) fn is_called(&self, word: &str) -> bool {
        match word.split_once('/') {
            Some((first, name)) => {
                name == self.name && (first == self.namespace || self.kind.eq_ignore_ascii_case(first))
            }
            None => word == self.name,
        }
    }
}

impl fmt::Display for NamedWorkload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Workload::title((&self.kind, &self.namespace, &self.name)))
    }
}

/// Kinds of which pods are made.
const KINDS: [&str; 3] = ["Pod", "Job", "Deployment"];

#[derive(Default, Deserialize)]
#[serde(default)]
struct NamedDocument {
    kind: Option<String>,
    metadata: Option<NamedMetadata>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NamedMetadata {
    name: Option<String>,
    namespace: Option<String>,
}

/// What a text asks for. Only kinds and names are looked at: a manifest that can't be run any more can be taken down.
pub(crate) fn named_workloads(text: &str) -> anyhow::Result<Vec<NamedWorkload>> {
    let documents: Vec<Option<NamedDocument>> = serde_saphyr::from_multiple(text).map_err(|error| {
        anyhow::anyhow!("{}", error.without_snippet().to_string().lines().next().unwrap_or_default())
    })?;
    let named = documents.into_iter().flatten().filter_map(|document| {
        let kind = document.kind.filter(|kind| KINDS.contains(&kind.as_str()))?;
        let metadata = document.metadata?;
        let namespace = metadata.namespace.filter(|text| !text.is_empty()).unwrap_or_else(|| "default".to_owned());
        Some(NamedWorkload { kind, namespace, name: metadata.name? })
    });
    Ok(named.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_files() {
        for word in ["-", "pod.yaml", "./web", "/srv/pods", "a/b.yml", "x.json", ".", "pods/"] {
            assert!(is_file(word), "{word}");
        }
        for word in ["web", "default/web", "0123abcd", "web.example"] {
            assert!(!is_file(word), "{word}");
        }
    }

    #[test]
    fn workloads_of_a_text() {
        let text = "kind: Pod\nmetadata: {name: a}\n---\nkind: ConfigMap\nmetadata: {name: b}\n---\n---\n\
                    kind: Deployment\nmetadata: {name: c, namespace: d}\nspec: {odd: [1]}\n";
        let named = named_workloads(text).unwrap();
        let workload = |kind: &str, namespace: &str, name: &str| NamedWorkload {
            kind: kind.into(),
            namespace: namespace.into(),
            name: name.into(),
        };
        assert_eq!(named, [workload("Pod", "default", "a"), workload("Deployment", "d", "c")]);
        assert!(named_workloads("{").is_err());
        for word in ["c", "d/c", "deployment/c"] {
            assert!(named[1].is_called(word), "{word}");
        }
        assert!(!named[1].is_called("default/c") && !named[1].is_called("d"));
    }

    #[test]
    fn a_file_is_one_under_all_its_paths() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("one/two")).unwrap();
        fs::write(at("one/pod.yaml"), "").unwrap();
        fs::write(at("one/other.yaml"), "").unwrap();
        std::os::unix::fs::symlink("one", at("linked")).unwrap();
        std::os::unix::fs::symlink("one/pod.yaml", at("link.yaml")).unwrap();
        let of = |name: &str| ManifestIdentity::of(&identity(&at(name)));
        let file = of("one/pod.yaml");
        for same in ["one/two/../pod.yaml", "linked/pod.yaml", "link.yaml"] {
            assert!(of(same).is(&file) && file.is(&of(same)) && of(same).is_in(&of("linked/")), "{same}");
        }
        assert!(!file.is(&of("one/other.yaml")) && !file.is_in(&of("one/two")) && !of("none").is(&of("gone")));
        assert_eq!(identity(&at("one/two/../pod.yaml")), identity(&at("linked/pod.yaml")));
        assert!(identity(&at("link.yaml")).ends_with("/link.yaml"), "a link may lead elsewhere tomorrow");
        fs::remove_file(at("one/pod.yaml")).unwrap();
        assert!(of("one/pod.yaml").is(&file), "also of a file that is gone");
    }

    #[test]
    fn a_folder_has_its_manifests() {
        let dir = tempfile::tempdir().unwrap();
        assert!(files(dir.path()).unwrap_err().to_string().contains("no manifest"));
        for name in ["b.yaml", "a.json", ".hidden.yaml", "text", "c.yaml~"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir(dir.path().join("d.yaml")).unwrap();
        let found = files(dir.path()).unwrap();
        assert_eq!(found, [dir.path().join("a.json"), dir.path().join("b.yaml")]);
        assert_eq!(files(Path::new("no/such")).unwrap(), [Path::new("no/such")]);
    }
}
