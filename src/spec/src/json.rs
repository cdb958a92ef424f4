//! JSON as the runtimes read it, always the same for the same content.

use std::path::Path;

use oci_spec::runtime::{LinuxResources, Process, Spec};
use serde::Serialize;
use serde_json::Value;

use crate::SpecError;

/// A path as text.
pub(crate) fn text(path: &Path) -> Result<&str, SpecError> {
    path.to_str().ok_or_else(|| SpecError::PathNotUtf8(path.to_owned()))
}

/// Content of a `config.json`.
pub(crate) fn spec_json(spec: &Spec) -> Result<Vec<u8>, SpecError> {
    let mut value = to_value(spec)?;
    if let Some(process) = value.get_mut("process") {
        sort_capabilities(process);
    }
    to_bytes(value)
}

/// Content of the file that `exec --process` reads.
pub(crate) fn process_json(process: &Process) -> Result<Vec<u8>, SpecError> {
    let mut value = to_value(process)?;
    sort_capabilities(&mut value);
    to_bytes(value)
}

/// Content of the file that `update -r` reads.
///
/// # Errors
/// Never with resources made here.
pub fn resources_json(resources: &LinuxResources) -> Result<Vec<u8>, SpecError> {
    to_bytes(to_value(resources)?)
}

fn to_value(from: &impl Serialize) -> Result<Value, SpecError> {
    Ok(serde_json::to_value(from)?)
}

fn to_bytes(mut value: Value) -> Result<Vec<u8>, SpecError> {
    // `oci-spec` holds free-form maps in hash maps.
    value.sort_all_objects();
    Ok(serde_json::to_vec(&value)?)
}

/// `oci-spec` holds capabilities in hash sets.
fn sort_capabilities(process: &mut Value) {
    let Some(sets) = process.get_mut("capabilities").and_then(Value::as_object_mut) else { return };
    for (_, set) in sets.iter_mut() {
        if let Value::Array(names) = set {
            names.sort_by(|one, other| one.as_str().cmp(&other.as_str()));
        }
    }
}
