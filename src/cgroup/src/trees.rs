//! The mounted trees of groups.

use std::path::PathBuf;

/// What the node has mounted.
#[derive(Debug)]
pub(crate) struct MountedTrees {
    /// The unified hierarchy alone.
    pub(crate) v2: bool,
    /// At least one.
    pub(crate) trees: Vec<MountedTree>,
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
        if self.v2 {
            return self.trees.first();
        }
        self.trees.iter().find(|tree| tree.controllers.iter().any(|name| name == controller))
    }

    /// The tree whose membership counts: the freezer's, as killing freezes; any other where there is none.
    pub(crate) fn main_tree(&self) -> &MountedTree {
        let found = ["freezer", "pids", "memory", "cpu"].iter().find_map(|name| self.tree(name));
        // `detect` refuses a node without trees.
        found.unwrap_or(&self.trees[0])
    }
}
