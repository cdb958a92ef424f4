//! Trees of files that somebody else made: of any depth and width, below paths of any length.

mod open;
mod remove;
mod trash;
mod usage;

pub use remove::{NotRemoved, remove_tree, remove_tree_at};
pub use trash::Trash;
pub use usage::{Usage, usage};

#[cfg(test)]
mod tests;
