//! The mounted trees of groups.

use std::path::PathBuf;

/// What the extra cgroup2 tree of a hybrid node stands for among the controllers: it has none, and tells pressure.
pub(crate) const UNIFIED: &str = "unified";

/// What the node has mounted.
#[derive(Debug)]
pub(crate) struct MountedTrees {
    /// The unified hierarchy alone.
    pub(crate) v2: bool,
    /// At least one.
    pub(crate) trees: Vec<MountedTree>,
    /// Sizes of huge pages that are counted, as the kernel calls them: `2MB`.
    pub(crate) hugepages: Vec<String>,
    /// Whether groups tell how long they waited.
    pub(crate) pressure: bool,
}

/// One mounted tree of groups: the only one on version 2, one for each set of controllers on version 1.
#[derive(Debug)]
pub(crate) struct MountedTree {
    pub(crate) dir: PathBuf,
    /// Version 1: `memory`, `cpu` …, or `name=systemd`. Empty for a cgroup2 tree.
    pub(crate) controllers: Vec<String>,
    /// Which group of the tree is at `dir`: not the root where a container or a bind mount shows only a part.
    pub(crate) mounted: String,
}

impl MountedTree {
    /// The group in this tree, of those that a text like that of `/proc/self/cgroup` names (cgroups(7)).
    pub(crate) fn group_in<'a>(&self, text: &'a str) -> Option<&'a str> {
        text.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, group) = rest.split_once(':')?;
            let wanted = match self.controllers.first() {
                None => controllers.is_empty(),
                Some(first) => controllers.split(',').any(|name| name == first),
            };
            wanted.then_some(group)
        })
    }
}

impl MountedTrees {
    /// The tree with a controller; on version 2 the only one.
    pub(crate) fn tree(&self, controller: &str) -> Option<&MountedTree> {
        self.trees.get(self.position(controller)?)
    }

    /// Where it is among [`MountedTrees::trees`].
    pub(crate) fn position(&self, controller: &str) -> Option<usize> {
        if self.v2 {
            return Some(0);
        }
        let is_it = |tree: &MountedTree| match controller {
            UNIFIED => tree.controllers.is_empty(),
            _ => tree.controllers.iter().any(|name| name == controller),
        };
        self.trees.iter().position(is_it)
    }

    /// The tree whose membership counts: the freezer's, as killing freezes; any other where there is none.
    pub(crate) fn main_tree(&self) -> &MountedTree {
        // `detect` refuses a node without trees.
        &self.trees[self.main_position()]
    }

    /// Where it is among [`MountedTrees::trees`].
    pub(crate) fn main_position(&self) -> usize {
        ["freezer", "pids", "memory", "cpu"].iter().find_map(|name| self.position(name)).unwrap_or(0)
    }
}
