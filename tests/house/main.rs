//! What the workspace promises about itself: which crate may know which, and how its text looks.

#![allow(clippy::expect_used, clippy::panic, reason = "a test reports to a person")]

mod bounds;
mod circles;
mod columns;
mod edges;
mod makefile;
mod metrics;
mod once;
mod pointers;
mod source;
mod style;
mod types;

use std::path::{Path, PathBuf};

/// The checkout.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the checkout").to_owned()
}
