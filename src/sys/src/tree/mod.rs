//! Trees of files that somebody else made: of any depth and width, below paths of any length.

mod label;
mod open;
mod remove;
mod trash;
mod usage;
mod walk;

pub use label::{Labelled, NotLabelled, label_tree};
pub use remove::{NotRemoved, remove_tree, remove_tree_at};
pub use trash::Trash;
pub use usage::{Usage, usage};
pub use walk::Unseen;

#[cfg(test)]
mod tests;
