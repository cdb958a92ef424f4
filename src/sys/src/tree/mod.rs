//! Trees of files that somebody else made: of any depth and width, below paths of any length.

mod open;
mod remove;

pub use remove::{NotRemoved, remove_tree, remove_tree_at};

#[cfg(test)]
mod tests;
