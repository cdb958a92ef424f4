//! Text of others (containers, images, registries, plugins, clients, manifests) as it may stand in an error, a log line
//! or on a terminal: on one line, printable, and not longer than a bound. And errors, with their causes, as one line.
//! Pure.

mod bounds;
mod error;
mod excerpt;
#[cfg(test)]
mod fuzz;
mod line;

pub use bounds::{EXCERPT_BYTES, SAMPLE_NAMES};
pub use error::{chain, innermost};
pub use excerpt::{Sample, excerpt};
pub use line::{collapsed, is_hidden, one_line, shortened};
