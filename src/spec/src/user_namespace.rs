//! Users and groups of a pod's own: which of the node's they are.

use serde::{Deserialize, Serialize};

/// The ids of a namespace, from 0 on, and those of the node that they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IdRange {
    first: u32,
    count: u32,
}

/// The user namespace of a pod. Two equal ones mean the same files to their containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UserNamespace {
    /// Users.
    pub uids: IdRange,
    /// Groups.
    pub gids: IdRange,
}

/// Whose users a container has, as its client says. They are its pod's, whatever it says: this is to be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerUsers {
    /// It does not say.
    #[default]
    OfPod,
    /// The node's.
    Node,
    /// Those of a namespace.
    Own(UserNamespace),
}

impl IdRange {
    /// So many ids, the first of which is that one of the node. `None` if there are none, if one of them is the node's
    /// root, or if the node has not so many: the highest number is no id.
    #[must_use]
    pub fn new(first: u32, count: u32) -> Option<Self> {
        let is_range = first > 0 && count > 0 && first.checked_add(count).is_some();
        is_range.then_some(Self { first, count })
    }

    /// The first one of the node: root inside.
    #[must_use]
    pub fn first(self) -> u32 {
        self.first
    }

    /// How many there are, at least 1.
    #[must_use]
    pub fn count(self) -> u32 {
        self.count
    }

    /// Which one of the node an id inside is; `None` if it is none.
    #[must_use]
    pub fn on_node(self, id: u32) -> Option<u32> {
        (id < self.count).then(|| self.first.saturating_add(id))
    }
}

impl UserNamespace {
    /// Root inside, as the node's user and group.
    #[must_use]
    pub fn root(self) -> (u32, u32) {
        (self.uids.first(), self.gids.first())
    }
}

impl ContainerUsers {
    /// Whether a container that says so can be in a pod with these users; `None`: the node's.
    #[must_use]
    pub fn are_of(self, pod: Option<UserNamespace>) -> bool {
        match self {
            Self::OfPod => true,
            Self::Node => pod.is_none(),
            Self::Own(own) => pod == Some(own),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_of_ids_that_there_are_and_never_of_root() {
        for (first, count, is_one) in [
            (65_536, 65_536, true),
            (1, 1, true),
            (u32::MAX - 1, 1, true),
            (0, 65_536, false),
            (65_536, 0, false),
            (u32::MAX - 1, 2, false),
            (u32::MAX, 1, false),
            (65_536, u32::MAX, false),
        ] {
            assert_eq!(IdRange::new(first, count).is_some(), is_one, "{first} {count}");
        }
        let range = IdRange::new(1000, 10).unwrap();
        assert_eq!([0, 9, 10].map(|id| range.on_node(id)), [Some(1000), Some(1009), None]);
    }

    #[test]
    fn a_container_has_the_users_of_its_pod() {
        let of = |first| {
            let range = IdRange::new(first, 65_536).unwrap();
            UserNamespace { uids: range, gids: range }
        };
        for (said, pod, fits) in [
            (ContainerUsers::OfPod, None, true),
            (ContainerUsers::OfPod, Some(of(7)), true),
            (ContainerUsers::Node, None, true),
            (ContainerUsers::Node, Some(of(7)), false),
            (ContainerUsers::Own(of(7)), Some(of(7)), true),
            (ContainerUsers::Own(of(8)), Some(of(7)), false),
            (ContainerUsers::Own(of(7)), None, false),
        ] {
            assert_eq!(said.are_of(pod), fits, "{said:?} {pod:?}");
        }
    }
}
