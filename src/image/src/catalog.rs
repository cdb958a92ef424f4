//! What is here, as one immutable snapshot: lists and look-ups never wait.

use crate::digest::Digest;
use crate::model::{Image, ImageId};
use crate::reference::Reference;
use arc_swap::ArcSwap;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// All images at one moment.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) images: Arc<Vec<Arc<Image>>>,
    pub(crate) bytes: u64,
    pub(crate) inodes: u64,
    /// Sorted, so that a prefix finds its range.
    by_id: BTreeMap<ImageId, Arc<Image>>,
    by_name: HashMap<String, Arc<Image>>,
}

/// Fewer digits of an id could be met by accident.
const MIN_PREFIX: usize = 6;

impl Catalog {
    pub(crate) fn new(images: Vec<Image>, bytes: u64, inodes: u64) -> Self {
        let images: Vec<Arc<Image>> = images.into_iter().map(Arc::new).collect();
        let by_id = images.iter().map(|image| (image.id.clone(), Arc::clone(image))).collect();
        let names = |image: &Arc<Image>| image.repo_tags.iter().chain(&image.repo_digests).cloned().collect::<Vec<_>>();
        let by_name = images
            .iter()
            .flat_map(|image| names(image).into_iter().map(move |name| (name, Arc::clone(image))))
            .collect();
        Self { images: Arc::new(images), bytes, inodes, by_id, by_name }
    }

    pub(crate) fn by_id(&self, id: &ImageId) -> Option<Arc<Image>> {
        self.by_id.get(id).cloned()
    }

    /// The image with that full name: `registry/repository:tag` or `registry/repository@digest`.
    pub(crate) fn by_name(&self, name: &str) -> Option<Arc<Image>> {
        self.by_name.get(name).cloned()
    }

    /// The image that is meant: an id, a name, or the beginning of an id that fits no other.
    pub(crate) fn resolve(&self, text: &str, default_registry: &str) -> Option<Arc<Image>> {
        if let Some(id) = ImageId::parse(text) {
            return self.by_id(&id);
        }
        let named = Reference::parse(text, default_registry).ok();
        named.and_then(|reference| self.by_name(&reference.to_string())).or_else(|| self.by_prefix(text))
    }

    fn by_prefix(&self, text: &str) -> Option<Arc<Image>> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        if digits.len() < MIN_PREFIX || digits.len() > 64 {
            return None;
        }
        let from = ImageId(Digest::from_hex(&format!("{digits:0<64}"))?);
        let mut fitting = self.by_id.range(from..).take_while(|(id, _)| id.begins_with(digits));
        let (_, image) = fitting.next()?;
        fitting.next().is_none().then(|| Arc::clone(image))
    }
}

/// The current snapshot. A writer brings each new one with the number of its transaction, so that two who finish at
/// once can't put an older one on top.
#[derive(Default)]
pub(crate) struct CatalogCell {
    current: ArcSwap<(u64, Arc<Catalog>)>,
    next: AtomicU64,
}

impl CatalogCell {
    pub(crate) fn get(&self) -> Arc<Catalog> {
        Arc::clone(&self.current.load().1)
    }

    /// To be called within the transaction: transactions are serial, so their numbers tell their order.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// To be called after the commit.
    pub(crate) fn publish(&self, number: u64, catalog: &Arc<Catalog>) {
        let new = Arc::new((number, Arc::clone(catalog)));
        self.current.rcu(|old| if old.0 >= number { Arc::clone(old) } else { Arc::clone(&new) });
    }
}

#[cfg(test)]
mod tests {
    use super::{Arc, Catalog, CatalogCell};
    use crate::digest::Digest;
    use crate::model::{Image, ImageConfig, ImageId};

    fn image(seed: &str, tags: &[&str], digests: &[&str]) -> Image {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Image {
            id: ImageId(Digest::of(seed.as_bytes())),
            repo_tags: owned(tags),
            repo_digests: owned(digests),
            size: 1,
            config: ImageConfig::default(),
            annotations: std::collections::BTreeMap::new(),
            pinned: false,
        }
    }

    #[test]
    fn an_image_is_found_by_every_name_it_has() {
        let digest = format!("docker.io/library/busybox@{}", Digest::of(b"manifest"));
        let a = image("a", &["docker.io/library/busybox:latest", "x.io/b:1"], &[&digest]);
        let (a_id, id) = (a.id.clone(), a.id.to_string());
        let hex = id.strip_prefix("sha256:").unwrap().to_owned();
        let catalog = Catalog::new(vec![a, image("b", &[], &[])], 0, 0);
        for (text, is_beginning) in
            [(&id[..], true), (&hex, true), (&id[..15], true), (&hex[1..], false), ("busybox", false)]
        {
            assert_eq!(a_id.begins_with(text), is_beginning, "{text}");
        }
        let short = format!("busybox@{}", Digest::of(b"manifest"));
        let tagged = format!("busybox:whatever@{}", Digest::of(b"manifest"));
        for text in [
            "busybox",
            "busybox:latest",
            "docker.io/busybox",
            "x.io/b:1",
            &digest,
            &short,
            &tagged,
            &id,
            &hex,
            &hex[..6],
            &id[..15],
        ] {
            assert_eq!(
                catalog.resolve(text, "docker.io").map(|image| image.id.to_string()),
                Some(id.clone()),
                "{text}"
            );
        }
        for text in ["", "busybox:1", "x.io/b", "y.io/busybox", &hex[..5], "sha256:", "ffffffffff", "sha256:zzzzzz"] {
            assert!(catalog.resolve(text, "docker.io").is_none(), "{text}");
        }
    }

    #[test]
    fn a_beginning_that_fits_two_ids_finds_none() {
        let mut images = vec![image("a", &[], &[]), image("b", &[], &[])];
        let hex = "abcdef".to_owned() + &"0".repeat(58);
        images[0].id = ImageId(Digest::from_hex(&hex).unwrap());
        images[1].id = ImageId(Digest::from_hex(&("abcdef1".to_owned() + &"0".repeat(57))).unwrap());
        let catalog = Catalog::new(images, 0, 0);
        assert!(catalog.resolve("abcdef", "docker.io").is_none());
        assert!(catalog.resolve("abcdef1", "docker.io").is_some());
    }

    #[test]
    fn an_older_snapshot_never_replaces_a_newer_one() {
        let cell = CatalogCell::default();
        let (first, second) = (cell.number(), cell.number());
        cell.publish(second, &Arc::new(Catalog::new(vec![], 2, 0)));
        cell.publish(first, &Arc::new(Catalog::new(vec![], 1, 0)));
        assert_eq!(cell.get().bytes, 2);
    }
}
