//! Which images an archive has, by its list of them. Pure.

use super::docker::{DockerImage, docker_images};
use crate::manifest::{Document, IndexEntry, document};
use crate::reference::{Reference, Selector};

/// An image of an archive, and under which names it is imported.
#[derive(Debug)]
pub(super) struct ListedArchiveImage {
    pub(super) names: Vec<Reference>,
    pub(super) root: ImageRoot,
}

/// What is to be imported of an archive.
#[derive(Debug)]
pub(super) struct ArchiveList {
    pub(super) images: Vec<ListedArchiveImage>,
    /// Images that may be those above, or may not.
    pub(super) beside: Vec<ListedArchiveImage>,
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
        Document::Manifest(_) | Document::Artifact(_) => {
            return Err("its index.json is no index but a manifest".to_owned());
        }
    };
    let mut groups: Vec<(Option<String>, Vec<IndexEntry>)> = Vec::new();
    // What a builder says about an image has a platform that nothing has.
    let is_image = |entry: &IndexEntry| entry.target.as_ref().is_none_or(|target| target.os != "unknown");
    for entry in entries.into_iter().filter(is_image) {
        let is_one_of_many = entry.name.is_some() || entry.target.is_some();
        match groups.iter_mut().find(|(name, of)| *name == entry.name && is_one_of_many && of[0].target.is_some()) {
            Some((_, group)) => group.push(entry),
            None => groups.push((entry.name.clone(), vec![entry])),
        }
    }
    let mut images: Vec<ListedArchiveImage> = Vec::new();
    for (name, group) in groups {
        let names: Vec<_> = name.map(|name| tag_or_digest(&name, default_registry)).transpose()?.into_iter().collect();
        let same = |image: &&mut ListedArchiveImage| match &image.root {
            ImageRoot::Oci(of) => of.len() == group.len() && of.iter().zip(&group).all(|(a, b)| a.digest == b.digest),
            ImageRoot::Docker(_) => false,
        };
        // The same image under several names.
        match images.iter_mut().find(same) {
            Some(image) => add(&mut image.names, names),
            None => images.push(ListedArchiveImage { names, root: ImageRoot::Oci(group) }),
        }
    }
    Ok(images)
}

/// A name that stands twice is one.
fn add(names: &mut Vec<Reference>, more: Vec<Reference>) {
    for name in more {
        if !names.contains(&name) {
            names.push(name);
        }
    }
}

/// The images of an archive of `docker save`, by its `manifest.json`.
pub(super) fn of_docker(list: &[u8], default_registry: &str) -> Result<Vec<ListedArchiveImage>, String> {
    let image = |image: DockerImage| {
        let read = image.names.iter().map(|name| tag_or_digest(name, default_registry));
        let (mut names, read) = (Vec::new(), read.collect::<Result<Vec<_>, _>>()?);
        add(&mut names, read);
        Ok(ListedArchiveImage { names, root: ImageRoot::Docker(image) })
    };
    docker_images(list)?.into_iter().map(image).collect()
}

/// Of both lists OCI's, which has the manifests, unless Docker's alone has names.
///
/// Docker, from 25 on, lists an image without a name among OCI's only if no other was listed before it: such images
/// stand in its own list alone. Where there are indexes somebody else has written both lists, and his own has one
/// platform's image of each.
pub(super) fn together(
    layout: Option<Vec<ListedArchiveImage>>,
    docker: Option<Vec<ListedArchiveImage>>,
) -> ArchiveList {
    let docker = docker.unwrap_or_default();
    match layout {
        Some(images) if is_named(&images) || !is_named(&docker) => {
            let is_index = |image: &ListedArchiveImage| match &image.root {
                ImageRoot::Oci(entries) => entries.len() > 1 || entries.iter().any(|entry| entry.is_index),
                ImageRoot::Docker(_) => false,
            };
            let is_plain = !images.iter().any(is_index);
            let beside = docker.into_iter().filter(|image| is_plain && image.names.is_empty()).collect();
            ArchiveList { images, beside }
        }
        _ => ArchiveList { images: docker, beside: Vec::new() },
    }
}

/// Whether any image has a name.
pub(super) fn is_named(images: &[ListedArchiveImage]) -> bool {
    images.iter().any(|image| !image.names.is_empty())
}

fn tag_or_digest(name: &str, default_registry: &str) -> Result<Reference, String> {
    Reference::parse(name, default_registry).map_err(|error| error.to_string())
}

/// The name of so many images that an archive has, which are one.
pub(super) fn only_name(images: usize, name: Reference) -> Result<Vec<Reference>, String> {
    match (images, &name.selector) {
        (_, Selector::Digest(_)) => {
            Err(format!("{name} names an image by its digest, which follows from the image: give a tag"))
        }
        (1, Selector::Tag(_)) => Ok(vec![name]),
        _ => Err(format!("{name} can't be the name of {images} images: this archive has so many")),
    }
}

#[cfg(test)]
mod tests {
    use super::{ImageRoot, of_docker, of_layout, only_name, together};
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

    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    const FULL: &str = "io.containerd.image.name";
    const USUAL: &str = "org.opencontainers.image.ref.name";

    #[test]
    fn names_that_stand_twice_are_one() {
        let twice = ["a:1", "a:1", "b:1"].map(|name| entry('1', &named(FULL, name)));
        assert_eq!(read(&twice).unwrap(), ["1 docker.io/library/a:1 docker.io/library/b:1"]);
        let docker = r#"[{"Config":"c.json","RepoTags":["a:1","docker.io/library/a:1"],"Layers":[]}]"#;
        assert_eq!(of_docker(docker.as_bytes(), "docker.io").unwrap()[0].names.len(), 1);
    }

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
        let name = |text: &str| Reference::parse(text, "docker.io").unwrap();
        assert_eq!(only_name(1, name("b:2")).unwrap(), [name("b:2")]);
        assert!(only_name(1, name(&format!("b@sha256:{}", "0".repeat(64)))).unwrap_err().contains("digest"));
        assert!(only_name(2, name("b:2")).unwrap_err().contains("2 images"));
    }

    #[test]
    fn of_two_lists_one_is_taken_and_what_it_lacks() {
        let layout = |entries: &[String]| {
            let text = format!(r#"{{"mediaType":"{INDEX}","manifests":[{}]}}"#, entries.join(","));
            Some(of_layout(text.as_bytes(), "docker.io").unwrap())
        };
        let docker = |text: &str| Some(of_docker(text.as_bytes(), "docker.io").unwrap());
        let (name, bare) = (named(FULL, "a:1"), r#"[{"Config":"1"}]"#);
        let tagged = r#"[{"Config":"1","RepoTags":["a:1"]},{"Config":"2"}]"#;
        let index = entry('1', &name).replace("manifest.v1", "index.v1");
        for (what, layout, docker, wanted) in [
            ("OCI alone", layout(&[entry('1', "")]), None, (1, 0)),
            ("Docker alone", None, docker(tagged), (2, 0)),
            ("both have names", layout(&[entry('1', &name)]), docker(tagged), (1, 1)),
            ("Docker alone has names", layout(&[entry('1', "")]), docker(tagged), (2, 0)),
            ("neither has", layout(&[entry('1', "")]), docker(bare), (1, 1)),
            ("OCI's is empty", layout(&[]), docker(bare), (0, 1)),
            ("of several platforms", layout(&[index]), docker(bare), (1, 0)),
            ("of several platforms, flat", layout(&[entry('1', AMD64), entry('2', ARM64)]), docker(bare), (1, 0)),
        ] {
            let list = together(layout, docker);
            assert_eq!((list.images.len(), list.beside.len()), wanted, "{what}");
        }
        // As Docker 25.0.0 wrote it.
        let none = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":null}}"#);
        assert!(of_layout(none.as_bytes(), "docker.io").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_name_gives_none() {
        let id = format!("sha256:{}", "1".repeat(64));
        for (key, name) in
            [(USUAL, "v1.0"), (USUAL, "Some/Thing:x"), (USUAL, "linux+amd64/v3:"), (USUAL, &id), (FULL, &id)]
        {
            assert_eq!(read(&[entry('1', &named(key, name))]).unwrap(), ["1 "], "{name}");
        }
        // What is said about an image is none.
        let unknown = r#","platform":{"os":"unknown","architecture":"unknown"}"#;
        assert_eq!(read(&[entry('1', &named(FULL, "a:1")), entry('2', unknown)]).unwrap().len(), 1);
    }
}
