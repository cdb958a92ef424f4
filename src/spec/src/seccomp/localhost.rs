//! A system call filter from a file of the node: the `linux.seccomp` object of the OCI runtime specification.

use std::path::Path;

use oci_spec::runtime::{LinuxSeccomp, LinuxSyscall};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::SpecError;

/// Reads the file's content field by field, so that a mistake can be named.
pub(crate) fn parse(path: &Path, text: &[u8]) -> Result<LinuxSeccomp, SpecError> {
    let wrong =
        |field: &str, reason: String| SpecError::Seccomp { path: path.to_owned(), field: field.to_owned(), reason };
    let value: Value = serde_json::from_slice(text).map_err(|error| wrong("not JSON", error.to_string()))?;
    let Value::Object(mut fields) = value else {
        return Err(wrong("the profile", "is not an object".to_owned()));
    };
    let mut profile = LinuxSeccomp::default();
    let action = field(&mut fields, "defaultAction").map_err(|reason| wrong("defaultAction", reason))?;
    let action = action.ok_or_else(|| wrong("defaultAction", "is missing".to_owned()))?;
    profile
        .set_default_action(action)
        .set_default_errno_ret(
            field(&mut fields, "defaultErrnoRet").map_err(|reason| wrong("defaultErrnoRet", reason))?,
        )
        .set_architectures(field(&mut fields, "architectures").map_err(|reason| wrong("architectures", reason))?)
        .set_flags(field(&mut fields, "flags").map_err(|reason| wrong("flags", reason))?)
        .set_listener_path(field(&mut fields, "listenerPath").map_err(|reason| wrong("listenerPath", reason))?)
        .set_listener_metadata(
            field(&mut fields, "listenerMetadata").map_err(|reason| wrong("listenerMetadata", reason))?,
        );
    let rules: Vec<Value> =
        field(&mut fields, "syscalls").map_err(|reason| wrong("syscalls", reason))?.unwrap_or_default();
    let mut syscalls = Vec::with_capacity(rules.len());
    for (number, rule) in rules.into_iter().enumerate() {
        let rule: LinuxSyscall =
            serde_json::from_value(rule).map_err(|error| wrong(&format!("syscalls[{number}]"), error.to_string()))?;
        syscalls.push(rule);
    }
    profile.set_syscalls(Some(syscalls));
    Ok(profile)
}

/// `null` counts as absent.
fn field<T: DeserializeOwned>(fields: &mut Map<String, Value>, name: &str) -> Result<Option<T>, String> {
    let value = fields.remove(name).unwrap_or(Value::Null);
    serde_json::from_value(value).map_err(|error| error.to_string())
}
