//! How the plugins of a configuration are.

use super::conflist::Conflist;
use std::sync::Arc;
use std::time::Instant;

/// What the plugins of a configuration said last.
#[derive(Default)]
pub(crate) struct Health {
    pub(super) of: Option<Arc<Conflist>>,
    pub(super) trouble: Option<String>,
    pub(super) asked: Option<Instant>,
    /// The configuration by which was taken away what belongs to nobody.
    pub(super) collected: Option<Arc<Conflist>>,
}
