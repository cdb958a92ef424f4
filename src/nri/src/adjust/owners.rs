//! Which plugin has set what: no two may set the same.

use std::collections::BTreeMap;
use std::fmt;

use peapod_text::excerpt;
use protobuf::Enum as _;

use crate::api::{CompoundFieldOwners, Field, FieldOwners, OwningPlugins};
use crate::name::PluginName;

/// Owners of what plugins have set, of one container or several.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owners {
    containers: BTreeMap<String, ContainerOwners>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct ContainerOwners {
    simple: BTreeMap<i32, String>,
    entries: BTreeMap<(i32, String), String>,
}

/// Something that a plugin can set: a field, or an entry of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item<'a> {
    pub(crate) field: Field,
    pub(crate) key: Option<&'a str>,
}

impl fmt::Display for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key {
            Some(key) => write!(f, "{:?} {}", self.field, excerpt(key)),
            None => write!(f, "{:?}", self.field),
        }
    }
}

/// Two plugins have set the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("plugins {first} and {second} both set {item}: configure one of them otherwise")]
pub(crate) struct Conflict {
    first: String,
    second: String,
    item: String,
}

/// A plugin that sets something of a container.
pub(crate) struct Claims<'a> {
    pub(crate) owners: &'a mut Owners,
    pub(crate) container: &'a str,
    pub(crate) plugin: &'a PluginName,
}

impl Claims<'_> {
    /// It sets a field as a whole.
    pub(crate) fn field(&mut self, field: Field) -> Result<(), Conflict> {
        self.claim(Item { field, key: None })
    }

    /// It sets an entry of a field.
    pub(crate) fn entry(&mut self, field: Field, key: &str) -> Result<(), Conflict> {
        self.claim(Item { field, key: Some(key) })
    }

    fn claim(&mut self, item: Item<'_>) -> Result<(), Conflict> {
        let plugin = self.plugin.to_string();
        let of = self.of();
        let owner = match item.key {
            None => of.simple.entry(item.field.value()).or_insert_with(|| plugin.clone()),
            Some(key) => of.entries.entry((item.field.value(), key.to_owned())).or_insert_with(|| plugin.clone()),
        };
        if *owner == plugin {
            return Ok(());
        }
        Err(Conflict { first: owner.clone(), second: plugin, item: item.to_string() })
    }

    /// What another plugin has set is taken back, by this one's express wish.
    pub(crate) fn release(&mut self, item: Item<'_>) {
        let of = self.of();
        match item.key {
            None => of.simple.remove(&item.field.value()),
            Some(key) => of.entries.remove(&(item.field.value(), key.to_owned())),
        };
    }

    /// It adds to what several plugins may add to.
    pub(crate) fn share(&mut self, field: Field) {
        let plugin = self.plugin.to_string();
        let owner = self.of().simple.entry(field.value()).or_default();
        if !owner.split(',').any(|other| other == plugin) {
            let comma = if owner.is_empty() { "" } else { "," };
            owner.push_str(comma);
            owner.push_str(&plugin);
        }
    }

    fn of(&mut self) -> &mut ContainerOwners {
        self.owners.containers.entry(self.container.to_owned()).or_default()
    }
}

impl Owners {
    /// All that is set of a container.
    pub(crate) fn of_container(&self, container: &str) -> Option<ContainerOwners> {
        self.containers.get(container).cloned()
    }

    /// As it was before.
    pub(crate) fn put_back(&mut self, container: &str, before: Option<ContainerOwners>) {
        match before {
            Some(before) => drop(self.containers.insert(container.to_owned(), before)),
            None => drop(self.containers.remove(container)),
        }
    }

    /// Who has set a field of a container.
    pub(crate) fn of_field(&self, container: &str, field: Field) -> Option<&str> {
        self.containers.get(container)?.simple.get(&field.value()).map(String::as_str)
    }

    /// Who has set which entries of a field of a container.
    pub(crate) fn of_entries(&self, container: &str, field: Field) -> Vec<(&str, &str)> {
        let entries = self.containers.get(container).into_iter().flat_map(|of| &of.entries);
        let of_field = entries.filter(|((of, _), _)| *of == field.value());
        of_field.map(|((_, key), owner)| (key.as_str(), owner.as_str())).collect()
    }

    /// As validators are told.
    pub(crate) fn message(&self) -> OwningPlugins {
        let mut message = OwningPlugins::new();
        for (container, of) in &self.containers {
            let mut fields = FieldOwners::new();
            fields.simple.extend(of.simple.iter().map(|(field, owner)| (*field, owner.clone())));
            for ((field, key), owner) in &of.entries {
                let compound: &mut CompoundFieldOwners = fields.compound.entry(*field).or_default();
                compound.owners.insert(key.clone(), owner.clone());
            }
            message.owners.insert(container.clone(), fields);
        }
        message
    }
}
