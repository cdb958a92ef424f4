//! Families of tables.

/// What a table's chains see. Tables of different families are different tables, also with one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TableFamily {
    /// Packets of both IP versions.
    Inet,
    /// Frames that come into a bridge.
    Bridge,
}

impl TableFamily {
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Inet => 1,
            Self::Bridge => 7,
        }
    }
}
