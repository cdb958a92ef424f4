//! Property tests of everything that reads what others wrote: parsers get a kept corpus and mutations of it, and must
//! neither panic nor take more than a bound of memory or time.
//!
//! ```ignore
//! #[test]
//! fn reference() {
//!     peapod_fuzz::target!("reference")
//!         .seeds(["busybox", "registry.example:5000/a/b@sha256:…"])
//!         .tokens(["@", ":", "/"])
//!         .check(|input| {
//!             let _ = Reference::parse(&String::from_utf8_lossy(input), "registry.example");
//!         });
//! }
//! ```
//!
//! The corpus of target `x` is the folder `fuzz/x` of its crate: every file there is tried first, at each run. An input
//! that failed is made smaller, then written to `$CARGO_TARGET_TMPDIR` or the folder for temporary files; moved into
//! the corpus it is tried for ever. Mutated inputs are tried for `PEAPOD_FUZZ_SECONDS` (default: [`SECONDS`]) from
//! `PEAPOD_FUZZ_SEED` (default: one that is always the same, so that a change fails by its own fault). `make fuzz` runs
//! all targets side by side, with a new seed each time.
//!
//! A test dependency: nothing that is shipped knows this crate.

#![allow(clippy::panic, clippy::print_stderr, reason = "a test reports to a person, by panicking")]

mod corpus;
mod mutate;
mod target;

pub use corpus::Corpus;
pub use target::{FuzzBudget, FuzzTarget, SECONDS};

/// A [`FuzzTarget`] whose corpus is the folder `fuzz/NAME` of the calling crate.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        $crate::FuzzTarget::new($name, concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/", $name))
    };
}
