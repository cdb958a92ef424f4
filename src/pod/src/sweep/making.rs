//! Containers that are being made: of those that have no record yet, something is there all the same.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use peapod_sys::sync::lock;

use crate::id::ContainerId;

/// Their ids.
#[derive(Clone, Debug, Default)]
pub(crate) struct Making(Arc<Mutex<HashSet<ContainerId>>>);

/// A container that is being made until this is dropped.
#[derive(Debug)]
pub(crate) struct InMaking {
    all: Making,
    id: ContainerId,
}

impl Making {
    /// Before anything of it is there.
    pub(crate) fn begin(&self, id: &ContainerId) -> InMaking {
        lock(&self.0).insert(id.clone());
        InMaking { all: self.clone(), id: id.clone() }
    }

    /// Those of this moment.
    pub(super) fn ids(&self) -> HashSet<ContainerId> {
        lock(&self.0).clone()
    }
}

impl Drop for InMaking {
    fn drop(&mut self) {
        lock(&self.all.0).remove(&self.id);
    }
}
