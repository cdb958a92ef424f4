//! UpdateWishes of containers that plugins ask for beside what they are called for.

use peapod_text::excerpt;

use super::MergeError;
use super::limits;
use super::owners::{Claims, Owners};
use crate::api::{ContainerEviction, ContainerUpdate, LinuxResources};
use crate::bounds::UPDATES;
use crate::name::PluginName;

/// UpdateWishes of several plugins, one for each container.
#[derive(Clone, Debug, Default)]
pub(crate) struct UpdateWishes {
    /// The container of which the plugins are told.
    subject: String,
    list: Vec<ContainerUpdate>,
    evictions: Vec<ContainerEviction>,
}

impl UpdateWishes {
    pub(crate) fn of(subject: &str) -> Self {
        Self { subject: subject.to_owned(), ..Self::default() }
    }

    /// Adds those of a plugin. `own` is what it makes of the limits of the container that it is told of; `None` where
    /// it can't.
    pub(crate) fn add(
        &mut self,
        updates: &[ContainerUpdate],
        evictions: &[ContainerEviction],
        plugin: &PluginName,
        owners: &mut Owners,
        mut own: Option<&mut LinuxResources>,
    ) -> Result<(), MergeError> {
        let count = self.list.len() + self.evictions.len() + updates.len() + evictions.len();
        if count > UPDATES {
            return Err(MergeError::TooMany(count));
        }
        for update in updates {
            let is_own = update.container_id == self.subject;
            let target = match (is_own, &mut own) {
                (true, Some(own)) => &mut **own,
                (true, None) => return Err(MergeError::Own(plugin.to_string())),
                (false, _) => self.of_container(update),
            };
            let Some(new) = update.linux.as_ref().and_then(|linux| linux.resources.as_ref()) else { continue };
            // An update whose failure is nobody's business changes all or nothing.
            let container = &update.container_id;
            let (mut merged, before) = (target.clone(), owners.of_container(container));
            match limits::merge(&mut merged, new, &mut Claims { owners: &mut *owners, container, plugin }) {
                Ok(()) => *target = merged,
                Err(error) if update.ignore_failure => {
                    owners.put_back(container, before);
                    tracing::info!(%plugin, container = %excerpt(container), %error, "an update is left out");
                }
                Err(error) => return Err(error),
            }
        }
        self.evictions.extend(evictions.iter().cloned());
        Ok(())
    }

    fn of_container(&mut self, update: &ContainerUpdate) -> &mut LinuxResources {
        let known = self.list.iter().position(|other| other.container_id == update.container_id);
        let place = known.unwrap_or_else(|| {
            let (container_id, ignore_failure) = (update.container_id.clone(), update.ignore_failure);
            self.list.push(ContainerUpdate { container_id, ignore_failure, ..ContainerUpdate::default() });
            self.list.len() - 1
        });
        // There is one at that place.
        let of = &mut self.list[place];
        of.ignore_failure &= update.ignore_failure;
        of.linux.mut_or_insert_default().resources.mut_or_insert_default()
    }

    /// What is to be done, for whom.
    pub(crate) fn finish(self) -> (Vec<ContainerUpdate>, Vec<ContainerEviction>) {
        (self.list, self.evictions)
    }

    pub(crate) fn list(&self) -> &[ContainerUpdate] {
        &self.list
    }
}
