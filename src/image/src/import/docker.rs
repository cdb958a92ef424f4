//! `manifest.json`, the list of images in an archive of `docker save`. Pure.

use crate::bounds::{
    ARCHIVE_IMAGES, ARCHIVE_NAME_TEXTS, ERROR_TEXT, IMAGE_NAME_TEXT, IMAGE_NAMES, LAYERS, PATH, TEXT_OVERHEAD,
};
use crate::lenient::{self, Field, Shape, Text, Texts};
use peapod_text::collapsed;
use serde::de::{IgnoredAny, MapAccess, SeqAccess};

/// An image, as the list has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DockerImage {
    /// The name of its configuration's file.
    pub(super) config: String,
    /// References.
    pub(super) names: Vec<String>,
    /// The names of its layers' files, lowest first.
    pub(super) layers: Vec<String>,
}

/// Reads the list. What is wrong with it is said on one line, of bounded length.
pub(super) fn docker_images(bytes: &[u8]) -> Result<Vec<DockerImage>, String> {
    let read = || -> Result<Vec<DockerImage>, String> {
        let list =
            lenient::read::<DockerList>(bytes).map_err(|error| format!("its manifest.json is no JSON: {error}"))?;
        let DockerList(list) = list.or_default("its manifest.json")?;
        list.into_iter().enumerate().map(|(index, image)| image.checked(index + 1)).collect()
    };
    read().map_err(|problem| collapsed(&problem, ERROR_TEXT))
}

#[derive(Default)]
struct DockerList(Vec<DockerEntry>);

/// Names of files, as long as the kernel takes them.
const FILES: usize = LAYERS * (PATH + TEXT_OVERHEAD);
const NAMES: usize = IMAGE_NAMES * (IMAGE_NAME_TEXT + TEXT_OVERHEAD);

#[derive(Default)]
struct DockerEntry {
    config: Field<Text<PATH>>,
    names: Field<Texts<NAMES>>,
    layers: Field<Texts<FILES>>,
}

impl DockerEntry {
    /// Bytes that its names take.
    fn names_cost(&self) -> usize {
        match &self.names {
            Field::Is(Texts(names)) => names.iter().map(|name| name.len() + TEXT_OVERHEAD).sum(),
            Field::Absent | Field::Wrong | Field::Large => 0,
        }
    }

    fn checked(self, number: usize) -> Result<DockerImage, String> {
        let field = |name: &str| format!("image {number} of its manifest.json: {name}");
        let config = self.config.or_default(&field("Config"))?.0;
        let names = self.names.or_default(&field("RepoTags"))?.0;
        let layers = self.layers.or_default(&field("Layers"))?.0;
        if config.is_empty() {
            return Err(format!("image {number} of its manifest.json has no Config"));
        }
        if layers.len() > LAYERS {
            return Err(format!("image {number} has {} layers; the kernel's overlay takes {LAYERS}", layers.len()));
        }
        Ok(DockerImage { config, names: names.into_iter().filter(|name| !name.is_empty()).collect(), layers })
    }
}

impl Shape for DockerList {
    const WHAT: &'static str = "a list of images";
    const LIMIT: &'static str = "1000 images, and 1 MiB of names";

    fn list<'de, A: SeqAccess<'de>>(mut items: A) -> Result<Field<Self>, A::Error> {
        let (mut images, mut is_usable, mut left) = (Vec::<DockerEntry>::new(), true, ARCHIVE_NAME_TEXTS);
        while images.len() < ARCHIVE_IMAGES
            && let Some(item) = items.next_element::<Field<DockerEntry>>()?
        {
            match item {
                Field::Is(image) => {
                    let Some(rest) = left.checked_sub(image.names_cost()) else {
                        while items.next_element::<IgnoredAny>()?.is_some() {}
                        return Ok(Field::Large);
                    };
                    left = rest;
                    images.push(image);
                }
                Field::Absent | Field::Wrong | Field::Large => is_usable = false,
            }
        }
        if images.len() >= ARCHIVE_IMAGES && items.next_element::<IgnoredAny>()?.is_some() {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Field::Large);
        }
        Ok(if is_usable { Field::Is(Self(images)) } else { Field::Wrong })
    }
}

impl Shape for DockerEntry {
    const WHAT: &'static str = "an object";

    fn object<'de, A: MapAccess<'de>>(mut members: A) -> Result<Field<Self>, A::Error> {
        let mut image = Self::default();
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "Config" => image.config = members.next_value()?,
                "RepoTags" => image.names = members.next_value()?,
                "Layers" => image.layers = members.next_value()?,
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Field::Is(image))
    }
}

#[cfg(test)]
mod tests {
    use super::{DockerImage, docker_images};

    #[test]
    fn a_list_as_docker_writes_it_is_read() {
        let text = r#"[{"Config":"ab.json","RepoTags":["busybox:latest",""],"Layers":["cd/layer.tar","ef/layer.tar"],
            "LayerSources":{"sha256:x":{"mediaType":"y"}}},{"Config":"gh.json","RepoTags":null,"Layers":null}]"#;
        let image = |config: &str, names: &[&str], layers: &[&str]| {
            let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
            DockerImage { config: config.to_owned(), names: owned(names), layers: owned(layers) }
        };
        let wanted =
            [image("ab.json", &["busybox:latest"], &["cd/layer.tar", "ef/layer.tar"]), image("gh.json", &[], &[])];
        assert_eq!(docker_images(text.as_bytes()).unwrap(), wanted);
        assert!(docker_images(b"[]").unwrap().is_empty());
    }

    /// A list of so many images with so many short names each.
    fn names(images: usize, each: usize) -> String {
        let image = format!(r#"{{"Config":"a","RepoTags":[{}]}}"#, vec![r#""x""#; each].join(","));
        format!("[{}]", vec![image; images].join(","))
    }

    #[test]
    fn mistakes_are_named() {
        let many = format!("[{}]", vec![r#"{"Config":"a"}"#; 1001].join(","));
        let layers = format!(r#"[{{"Config":"a","Layers":[{}]}}]"#, vec![r#""x""#; 501].join(","));
        for (text, says) in [
            ("{}", "manifest.json is not a list of images"),
            ("[5]", "manifest.json is not a list of images"),
            ("[", "EOF"),
            ("[{}]", "image 1 of its manifest.json has no Config"),
            (r#"[{"Config":5}]"#, "Config is not a text"),
            (r#"[{"Config":"a","Layers":[5]}]"#, "Layers is not a list"),
            (r#"[{"Config":"a"},{"Config":"a","RepoTags":"b"}]"#, "image 2 of its manifest.json: RepoTags"),
            (&many, "1000 images"),
            (&layers, "501 layers"),
            (&names(3, 8 * 1024), "RepoTags has more than peapod takes"),
            (&names(1000, 25), "1 MiB of names"),
        ] {
            let problem = docker_images(text.as_bytes()).unwrap_err();
            assert!(problem.contains(says), "{text:.80}: {problem}");
        }
    }
}
