//! Whose partial blobs are, for when an image is refused: a blob that another image's pull has brought bytes of is not
//! the refused one's to drop, whatever its manifest names.

use crate::digest::Digest;
use crate::reference::Reference;
use std::collections::{HashMap, HashSet};

/// What is known of the makers of the partial blobs that stay.
#[derive(Debug, Default)]
pub(super) struct Makers {
    /// Who has brought all that is here of a blob. Without an entry it was more than one, or an earlier daemon's.
    alone: HashMap<Digest, Reference>,
    /// Blobs that are of no use and that somebody works on.
    condemned: HashSet<Digest>,
}

impl Makers {
    /// Somebody works on a blob from here on, with what is here of it: it is of use again. Who was refused has no part
    /// in it any more.
    pub(super) fn take_up(&mut self, blob: &Digest, by: &Reference, is_empty: bool) {
        let was_condemned = self.condemned.remove(blob);
        if is_empty || was_condemned {
            self.alone.insert(blob.clone(), by.clone());
        } else if self.alone.get(blob) != Some(by) {
            self.alone.remove(blob);
        }
    }

    /// Nothing is here of it any more.
    pub(super) fn forget(&mut self, blob: &Digest) {
        self.alone.remove(blob);
        self.condemned.remove(blob);
    }

    /// An image that names it was refused. Says whether it is of no use by that.
    pub(super) fn condemn(&mut self, blob: &Digest, by: &Reference) -> bool {
        self.alone.get(blob) == Some(by) && self.condemned.insert(blob.clone())
    }

    /// All that are of no use.
    pub(super) fn condemned(&self) -> Vec<Digest> {
        self.condemned.iter().cloned().collect()
    }

    pub(super) fn is_condemned(&self, blob: &Digest) -> bool {
        self.condemned.contains(blob)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_drops_what_is_anothers() {
        let reference = |text| Reference::parse(text, "docker.io").unwrap();
        let (good, evil) = (reference("registry.example/good:1"), reference("registry.example/good:evil"));
        let [own, shared, others, unknown] = [1, 2, 3, 4].map(|number| Digest::of(&[number]));
        let mut makers = Makers::default();
        makers.take_up(&own, &evil, true);
        // Begun by one and gone on with by the other, either way.
        makers.take_up(&shared, &evil, true);
        makers.take_up(&shared, &good, false);
        makers.take_up(&shared, &evil, false);
        makers.take_up(&others, &good, true);
        makers.take_up(&unknown, &evil, false);
        for (blob, is_dropped) in [(&own, true), (&shared, false), (&others, false), (&unknown, false)] {
            assert_eq!(makers.condemn(blob, &evil), is_dropped);
            assert_eq!(makers.is_condemned(blob), is_dropped);
        }
        assert_eq!(makers.condemned(), std::slice::from_ref(&own));
        // Who takes it up has a use for it.
        makers.take_up(&own, &good, false);
        assert!(makers.condemned().is_empty() && !makers.condemn(&own, &evil));
        assert!(makers.condemn(&own, &good), "unless it is refused, too");
        makers.forget(&others);
        assert!(!makers.condemn(&others, &good));
    }
}
