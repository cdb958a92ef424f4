//! Lists and maps that plugins change entry by entry. A key with a hyphen before it takes an entry away; with the same
//! entry added beside it, it is taken from whichever plugin has set it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::owners::{Claims, Conflict, Item};
use crate::api::{Field, KeyValue, LinuxDevice, LinuxNamespace, Mount};

/// What marks a removal.
const REMOVAL: char = '-';

/// The key that is taken away, if this is a removal: such have a hyphen before it.
#[must_use]
pub fn removed(key: &str) -> Option<&str> {
    key.strip_prefix(REMOVAL)
}

/// A removal of it.
pub(crate) fn removal(key: &str) -> String {
    format!("{REMOVAL}{key}")
}

/// An entry of a list.
pub(crate) trait Entry: Clone {
    /// By what it is known.
    fn key(&self) -> &str;

    /// The field that the list is.
    const FIELD: Field;
}

impl Entry for Mount {
    const FIELD: Field = Field::Mounts;

    fn key(&self) -> &str {
        &self.destination
    }
}

impl Entry for LinuxDevice {
    const FIELD: Field = Field::Devices;

    fn key(&self) -> &str {
        &self.path
    }
}

impl Entry for KeyValue {
    const FIELD: Field = Field::Env;

    fn key(&self) -> &str {
        &self.key
    }
}

impl Entry for LinuxNamespace {
    const FIELD: Field = Field::Namespace;

    fn key(&self) -> &str {
        &self.type_
    }
}

/// Adds a plugin's changes to those that there are, and answers the keys that they are about.
pub(crate) fn merge<T: Entry>(
    merged: &mut Vec<T>,
    new: &[T],
    claims: &mut Claims<'_>,
) -> Result<BTreeSet<String>, Conflict> {
    let mut keys = BTreeSet::new();
    for entry in new.iter().filter(|entry| removed(entry.key()).is_some()) {
        let key = removed(entry.key()).unwrap_or_default();
        claims.release(Item { field: T::FIELD, key: Some(key) });
        merged.retain(|other| other.key() != key && other.key() != entry.key());
        merged.push(entry.clone());
        keys.insert(key.to_owned());
    }
    for entry in new.iter().filter(|entry| removed(entry.key()).is_none()) {
        claims.entry(T::FIELD, entry.key())?;
        let taken_away = removal(entry.key());
        merged.retain(|other| other.key() != entry.key() && other.key() != taken_away);
        merged.push(entry.clone());
        keys.insert(entry.key().to_owned());
    }
    Ok(keys)
}

/// The same in what the next plugin sees of the container.
pub(crate) fn show<T>(
    shown: &mut Vec<T>,
    keys: &BTreeSet<String>,
    new: impl Iterator<Item = T>,
    key: impl Fn(&T) -> &str,
) {
    shown.retain(|entry| !keys.contains(key(entry)));
    shown.extend(new);
}

/// The same for a map, with what the next plugin sees.
pub(crate) fn merge_map<V: Clone + Default>(
    field: Field,
    merged: &mut HashMap<String, V>,
    shown: &mut HashMap<String, V>,
    new: &HashMap<String, V>,
    claims: &mut Claims<'_>,
) -> Result<(), Conflict> {
    // In one order, whichever the map has.
    let new: BTreeMap<_, _> = new.iter().collect();
    for key in new.keys().filter_map(|key| removed(key)) {
        claims.release(Item { field, key: Some(key) });
        merged.remove(key);
        merged.insert(removal(key), V::default());
        shown.remove(key);
    }
    for (key, value) in new.into_iter().filter(|(key, _)| removed(key).is_none()) {
        claims.entry(field, key)?;
        merged.remove(&removal(key));
        merged.insert(key.clone(), value.clone());
        shown.insert(key.clone(), value.clone());
    }
    Ok(())
}
