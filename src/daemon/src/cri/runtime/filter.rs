//! Parts that filters have in common.

use std::collections::BTreeMap;

use peapod_pod::Resolved;

/// Every pair of the selector has to be there.
pub(super) fn has_labels(labels: &BTreeMap<String, String>, selector: &BTreeMap<String, String>) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// All, or with an id the one that it means. An unknown or ambiguous id matches nothing; that is no error in a list.
pub(super) fn one_or_all<T, I: Iterator<Item = T>>(
    id: &str,
    one: impl FnOnce() -> Resolved<T>,
    all: impl FnOnce() -> I,
) -> Vec<T> {
    if id.is_empty() {
        return all().collect();
    }
    match one() {
        Resolved::One(found) => vec![found],
        Resolved::Unknown | Resolved::Ambiguous => Vec::new(),
    }
}
