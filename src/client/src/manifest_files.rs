//! The files that a user names: read within bounds, folders looked into, and which pods they are about.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

use crate::bounds::MANIFEST_FILES;
use crate::manifest::MAX_LENGTH;

/// What manifests' names end with.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// Whether a word on the command line is a manifest or a folder rather than a pod's name.
pub(crate) fn is_file(word: &str) -> bool {
    word == "-" || word.starts_with(['.', '/']) || is_named_so(Path::new(word))
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
        std::fs::File::open(file)?.take(limit).read_to_string(&mut text)?;
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
    std::path::absolute(file).unwrap_or_else(|_| file.to_owned()).display().to_string()
}

/// A pod, as a manifest names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedPod {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

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

/// The pods that a text names. Only names are looked at: a manifest that can't be run any more can be taken down.
pub(crate) fn named_pods(text: &str) -> anyhow::Result<Vec<NamedPod>> {
    let documents: Vec<Option<NamedDocument>> = serde_saphyr::from_multiple(text).map_err(|error| {
        anyhow::anyhow!("{}", error.without_snippet().to_string().lines().next().unwrap_or_default())
    })?;
    let pods = documents.into_iter().flatten().filter(|document| document.kind.as_deref() == Some("Pod"));
    let named = pods.filter_map(|document| {
        let metadata = document.metadata?;
        let namespace = metadata.namespace.filter(|text| !text.is_empty()).unwrap_or_else(|| "default".to_owned());
        Some(NamedPod { namespace, name: metadata.name? })
    });
    Ok(named.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_files() {
        for word in ["-", "pod.yaml", "./web", "/srv/pods", "a/b.yml", "x.json", "."] {
            assert!(is_file(word), "{word}");
        }
        for word in ["web", "default/web", "0123abcd", "web.example"] {
            assert!(!is_file(word), "{word}");
        }
    }

    #[test]
    fn pods_of_a_text() {
        let text = "kind: Pod\nmetadata: {name: a}\n---\nkind: ConfigMap\nmetadata: {name: b}\n---\n---\n\
                    kind: Pod\nmetadata: {name: c, namespace: d}\nspec: {odd: [1]}\n";
        let named = named_pods(text).unwrap();
        let pod = |namespace: &str, name: &str| NamedPod { namespace: namespace.into(), name: name.into() };
        assert_eq!(named, [pod("default", "a"), pod("d", "c")]);
        assert!(named_pods("{").is_err());
    }

    #[test]
    fn a_folder_has_its_manifests() {
        let dir = tempfile::tempdir().unwrap();
        assert!(files(dir.path()).unwrap_err().to_string().contains("no manifest"));
        for name in ["b.yaml", "a.json", ".hidden.yaml", "text", "c.yaml~"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        std::fs::create_dir(dir.path().join("d.yaml")).unwrap();
        let found = files(dir.path()).unwrap();
        assert_eq!(found, [dir.path().join("a.json"), dir.path().join("b.yaml")]);
        assert_eq!(files(Path::new("no/such")).unwrap(), [Path::new("no/such")]);
    }
}
