//! What a run tells others that it looks after: what it carries out, and not what somebody wishes meanwhile, which may
//! be refused or wait for images.

use std::collections::BTreeMap;

use super::Fleet;
use crate::manifest_files::NamedWorkload;
use crate::runs::{KnownWorkload, RunSubjects};

impl Fleet<'_> {
    /// Writes it down where it is something else than before. What can't be written is written later; until then more
    /// runs than others know.
    pub(super) fn tell_subjects(&mut self) {
        let subjects = RunSubjects::new(&self.context.connection.endpoint, looked_after(self).into_values());
        if subjects != self.subjects && self.context.record.looks_after(&subjects).is_ok() {
            self.subjects = subjects;
        }
    }
}

/// Of several of a name the last one counts.
fn looked_after(fleet: &Fleet<'_>) -> BTreeMap<NamedWorkload, KnownWorkload> {
    let mut all = BTreeMap::new();
    for (index, controller) in fleet.controllers.iter().enumerate() {
        let known = controller.known();
        if fleet.leaving.contains(&index) {
            all.remove(&known.named);
        } else {
            all.insert(known.named.clone(), known);
        }
    }
    let coming = fleet.successors.iter().map(|(_, wish)| KnownWorkload::on(wish));
    all.extend(coming.map(|known| (known.named.clone(), known)));
    all
}
