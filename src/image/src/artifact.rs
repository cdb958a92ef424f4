//! Artifacts: what a manifest describes that is no image. Each of its blobs becomes a file. Pure.

use crate::blob::Blob;
use crate::bounds::{ARTIFACT_NAME, ARTIFACT_NAME_DEPTH};
use crate::digest::Digest;
use peapod_text::excerpt;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

/// The type of a blob that stands where there is nothing.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// A part of a name that file systems take.
const PART: usize = 255;

/// An artifact's manifest.
#[derive(Debug)]
pub(crate) struct ArtifactManifest {
    /// A media type; never empty.
    pub(crate) kind: String,
    pub(crate) annotations: BTreeMap<String, String>,
    /// In the manifest's order.
    pub(crate) files: Vec<ArtifactFile>,
}

/// A blob of an artifact, and where it is among its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArtifactFile {
    /// Relative, without `.` and `..`.
    pub(crate) name: PathBuf,
    pub(crate) blob: Blob,
}

impl ArtifactFile {
    /// What stands in the place of a layer's diff id: the file's name and content. No archive has that digest, as none
    /// is this text.
    pub(crate) fn id(name: &Path, blob: &Digest) -> Digest {
        Digest::of(format!("file of an artifact\n{blob}\n{}", name.display()).as_bytes())
    }
}

/// Files of blobs, each with its media type and its title. One without a title is called by its digest.
pub(crate) fn files(blobs: Vec<(Blob, String, Option<String>)>) -> Result<Vec<ArtifactFile>, String> {
    let mut files = Vec::new();
    let mut taken = BTreeSet::new();
    for (blob, kind, title) in blobs {
        if kind == EMPTY {
            continue;
        }
        let name = match title.filter(|title| !title.is_empty()) {
            Some(title) => name_of(&title)?,
            None => PathBuf::from(blob.digest.hex()),
        };
        // Neither twice the same, nor a file that others lie below.
        if name.ancestors().any(|above| taken.contains(above)) || lies_above(&name, &taken) {
            return Err(format!("two of its files are called {}", excerpt(&name)));
        }
        taken.insert(name.clone());
        files.push(ArtifactFile { name, blob });
    }
    Ok(files)
}

/// Paths are in the order of their parts: what is below comes right after.
fn lies_above(name: &Path, taken: &BTreeSet<PathBuf>) -> bool {
    taken.range(name.to_path_buf()..).next().is_some_and(|next| next.starts_with(name))
}

fn name_of(title: &str) -> Result<PathBuf, String> {
    let wrong = |why: String| format!("one of its files is called {}, which {why}", excerpt(title));
    if title.len() > ARTIFACT_NAME {
        return Err(wrong(format!("has more than {ARTIFACT_NAME} bytes")));
    }
    if title.chars().any(char::is_control) {
        return Err(wrong("has control characters".to_owned()));
    }
    let mut name = PathBuf::new();
    for part in Path::new(title).components() {
        match part {
            Component::Normal(part) if part.len() <= PART => name.push(part),
            Component::Normal(_) => return Err(wrong(format!("has a part of more than {PART} bytes"))),
            Component::CurDir => {}
            Component::RootDir | Component::ParentDir | Component::Prefix(_) => {
                return Err(wrong("leads out of it".to_owned()));
            }
        }
    }
    match name.components().count() {
        0 => Err(wrong("is no name".to_owned())),
        depth if depth > ARTIFACT_NAME_DEPTH => Err(wrong(format!("is more than {ARTIFACT_NAME_DEPTH} levels deep"))),
        _ => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(titles: &[Option<&str>]) -> Result<Vec<String>, String> {
        let blob = |number: usize| Blob { digest: Digest::of(&number.to_le_bytes()), size: 1 };
        let blobs = titles.iter().enumerate();
        let blobs = blobs.map(|(number, title)| (blob(number), "x".to_owned(), title.map(str::to_owned))).collect();
        Ok(files(blobs)?.into_iter().map(|file| file.name.to_str().unwrap().to_owned()).collect())
    }

    #[test]
    fn files_are_called_as_their_titles() {
        let named = called(&[Some("model.bin"), Some("./dir//tokens"), Some("dir/more"), None, Some("")]).unwrap();
        assert_eq!(named[..3], ["model.bin", "dir/tokens", "dir/more"]);
        assert!(named[3..].iter().all(|name| name.len() == 64), "{named:?}");
        let empty = Blob { digest: Digest::of(b"{}"), size: 2 };
        assert_eq!(files(vec![(empty, EMPTY.to_owned(), None)]).unwrap(), []);
    }

    #[test]
    fn titles_that_lead_elsewhere_or_meet_are_refused() {
        let (long, part, deep) = ("x/".repeat(600), "x".repeat(256), "d/".repeat(ARTIFACT_NAME_DEPTH) + "f");
        for title in ["/etc/passwd", "../x", "a/../../b", "a/..", ".", "./", "a\nb", "\0", &long, &part, &deep] {
            assert!(called(&[Some(title)]).is_err(), "{title:?}");
        }
        for meeting in [["a", "a"], ["a", "./a/"], ["a", "a/b"], ["a/b", "a"], ["a/b/c", "a/b"]] {
            assert!(called(&meeting.map(Some)).unwrap_err().contains("called"), "{meeting:?}");
        }
        called(&["a/b", "a-b", "a.b", "ab/c"].map(Some)).unwrap();
    }

    #[test]
    fn name_and_content_make_the_identity() {
        let [one, two] = [Digest::of(b"1"), Digest::of(b"2")];
        let ids = [("a", &one), ("b", &one), ("a", &two)].map(|(name, blob)| ArtifactFile::id(Path::new(name), blob));
        assert!(ids[0] != ids[1] && ids[0] != ids[2] && ids[1] != ids[2]);
    }
}
