//! Devices that files of the node describe, in the format of the Container Device Interface (CDI) 0.3 to 1.1: what a
//! vendor's device needs in a container, be it nodes, mounts, variables, groups or hooks.
//!
//! Read [`DeviceCache`] first: it knows the folders, and answers with a [`DeviceIndex`] of what is in them now. A file
//! that can't be used costs its own devices and no others; who asks for one of these hears of it by [`NoDevice`].
//! Nothing here knows containers: who makes one turns [`CdiEdits`] into its configuration.

pub mod bounds;

mod cache;
mod check;
mod edits;
mod file;
mod folder;
#[cfg(test)]
mod fuzz;
mod index;
mod name;
mod problem;
mod version;

pub use cache::DeviceCache;
pub use edits::{CdiEdits, CdiHook, CdiMount, CdiNetDevice, CdiNode, CdiRdt};
pub use index::{BrokenFile, DeviceIndex, NoDevice};
pub use name::{CdiName, NoName, names_of_annotation};
pub use problem::FileProblem;
