//! What damaged databases may cost. ARCHITECTURE.md, "Bounds", lists all of them.

/// Files of one database that were set aside and are kept to be looked at.
pub(crate) const DATABASES_SET_ASIDE: usize = 3;
