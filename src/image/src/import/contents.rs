//! Which images an archive has, by its list of them. Pure.

use crate::manifest::{Document, IndexEntry, document};
use crate::reference::{Reference, Selector};

use super::docker::DockerImage;

/// An image of an archive, and under which names it is imported.
#[derive(Debug)]
pub(super) struct ListedArchiveImage {
    pub(super) names: Vec<Reference>,
    pub(super) root: ImageRoot,
}

/// What leads to an image.
#[derive(Debug)]
pub(super) enum ImageRoot {
    /// Entries of an index: one for each platform, or one that is an index itself.
    Oci(Vec<IndexEntry>),
    Docker(DockerImage),
}

/// The images of an OCI layout, by its `index.json`. Entries of the same name are one image for several platforms, as
/// are those without a name that say for which they are.
pub(super) fn of_layout(index: &[u8], default_registry: &str) -> Result<Vec<ListedArchiveImage>, String> {
    let entries = match document(index, None).map_err(|problem| problem.replace("its manifest", "its index.json"))? {
        Document::Index(entries) => entries,
        Document::Manifest(_) => return Err("its index.json is no index but a manifest".to_owned()),
    };
    let mut groups: Vec<(Option<String>, Vec<IndexEntry>)> = Vec::new();
    for entry in entries {
        let is_one_of_many = entry.name.is_some() || entry.target.is_some();
        match groups.iter_mut().find(|(name, of)| *name == entry.name && is_one_of_many && of[0].target.is_some()) {
            Some((_, group)) => group.push(entry),
            None => groups.push((entry.name.clone(), vec![entry])),
        }
    }
    let mut images: Vec<ListedArchiveImage> = Vec::new();
    for (name, group) in groups {
        let names = name.map(|name| tag_or_digest(&name, default_registry)).transpose()?.into_iter().collect();
        let same = |image: &&mut ListedArchiveImage| match &image.root {
            ImageRoot::Oci(of) => of.len() == group.len() && of.iter().zip(&group).all(|(a, b)| a.digest == b.digest),
            ImageRoot::Docker(_) => false,
        };
        // The same image under several names.
        match images.iter_mut().find(same) {
            Some(image) => image.names.extend::<Vec<_>>(names),
            None => images.push(ListedArchiveImage { names, root: ImageRoot::Oci(group) }),
        }
    }
    Ok(images)
}

/// The images of an archive of `docker save`.
pub(super) fn of_docker(list: Vec<DockerImage>, default_registry: &str) -> Result<Vec<ListedArchiveImage>, String> {
    let image = |image: DockerImage| {
        let names = image.names.iter().map(|name| tag_or_digest(name, default_registry)).collect::<Result<_, _>>()?;
        Ok(ListedArchiveImage { names, root: ImageRoot::Docker(image) })
    };
    list.into_iter().map(image).collect()
}

fn tag_or_digest(name: &str, default_registry: &str) -> Result<Reference, String> {
    Reference::parse(name, default_registry).map_err(|error| error.to_string())
}

/// The one name that all of the archive is imported under.
pub(super) fn rename(images: &mut [ListedArchiveImage], name: Reference) -> Result<(), String> {
    if matches!(name.selector, Selector::Digest(_)) {
        return Err(format!("{name} names an image by its digest, which follows from the image: give a tag"));
    }
    match images {
        [image] => {
            image.names = vec![name];
            Ok(())
        }
        _ => Err(format!("{name} can't be the name of {} images: this archive has so many", images.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::{ImageRoot, of_layout, rename};
    use crate::reference::Reference;

    fn entry(digit: char, more: &str) -> String {
        let digest = digit.to_string().repeat(64);
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":5,"digest":"sha256:{digest}"{more}}}"#
        )
    }

    fn read(entries: &[String]) -> Result<Vec<String>, String> {
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
        let images = of_layout(text.as_bytes(), "docker.io")?;
        let shown = images.iter().map(|image| {
            let names: Vec<_> = image.names.iter().map(ToString::to_string).collect();
            let ImageRoot::Oci(entries) = &image.root else { return String::new() };
            let digits: String = entries.iter().filter_map(|entry| entry.digest.hex().chars().next()).collect();
            format!("{digits} {}", names.join(" "))
        });
        Ok(shown.collect())
    }

    const AMD64: &str = r#","platform":{"os":"linux","architecture":"amd64"}"#;
    const ARM64: &str = r#","platform":{"os":"linux","architecture":"arm64"}"#;

    fn named(key: &str, name: &str) -> String {
        format!(r#","annotations":{{"{key}":"{name}"}}"#)
    }

    const FULL: &str = "io.containerd.image.name";
    const USUAL: &str = "org.opencontainers.image.ref.name";

    #[test]
    fn names_and_platforms_make_images() {
        let both = format!(r#","annotations":{{"{USUAL}":"latest","{FULL}":"docker.io/library/busybox:latest"}}"#);
        let name = named(USUAL, "localhost/a:1");
        let other = named(FULL, "b");
        let read = read(&[
            entry('1', &both),
            entry('2', &format!("{AMD64}{name}")),
            entry('3', &format!("{ARM64}{name}")),
            entry('4', &other),
            entry('1', &named(USUAL, "busybox:old")),
            entry('5', &named(USUAL, "v1.0")),
            entry('6', AMD64),
            entry('7', ARM64),
            entry('8', r#","annotations":{"vnd.docker.reference.type":"attestation-manifest"}"#),
        ]);
        assert_eq!(
            read.unwrap(),
            [
                "1 docker.io/library/busybox:latest docker.io/library/busybox:old",
                "23 localhost/a:1",
                "4 docker.io/library/b:latest",
                "5 ",
                "67 "
            ]
        );
    }

    #[test]
    fn what_is_no_list_or_no_name_is_refused() {
        assert!(read(&[entry('1', &named(FULL, "UPPER"))]).unwrap_err().contains("UPPER"));
        let manifest = r#"{"config":{"digest":"sha256:0","size":1},"layers":[]}"#;
        for text in ["[]", "5", "{}", manifest] {
            assert!(of_layout(text.as_bytes(), "docker.io").is_err(), "{text}");
        }
    }

    #[test]
    fn one_image_can_be_given_a_name() {
        let list = |entries: &[String]| {
            of_layout(format!(r#"{{"manifests":[{}]}}"#, entries.join(",")).as_bytes(), "docker.io").unwrap()
        };
        let name = |text: &str| Reference::parse(text, "docker.io").unwrap();
        let mut one = list(&[entry('1', &named(FULL, "a:1"))]);
        rename(&mut one, name("b:2")).unwrap();
        assert_eq!(one[0].names, [name("b:2")]);
        assert!(rename(&mut one, name(&format!("b@sha256:{}", "0".repeat(64)))).unwrap_err().contains("digest"));
        let mut two = list(&[entry('1', ""), entry('2', "")]);
        assert!(rename(&mut two, name("b:2")).unwrap_err().contains("2 images"));
    }
}
