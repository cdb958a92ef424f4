//! Containers that are being made: of those that have no record yet, something is there all the same.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

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
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        InMaking { all: self.clone(), id: id.clone() }
    }

    /// Those of this moment.
    pub(super) fn ids(&self) -> HashSet<ContainerId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for InMaking {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
