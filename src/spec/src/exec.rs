//! A further process in a running container.

use oci_spec::runtime::Spec;

use crate::SpecError;
use crate::json::process_json;
use crate::process::check_size;

/// A process with the container's own user, environment, directory, rights and limits, as the file that `exec --process`
/// of the OCI runtimes reads.
///
/// # Errors
/// Nothing to run, more than a process can have, or a configuration without a process.
pub fn exec_process(spec: &Spec, args: &[String], tty: bool) -> Result<Vec<u8>, SpecError> {
    if args.is_empty() {
        return Err(SpecError::NoCommand);
    }
    let mut process = spec.process().clone().ok_or(SpecError::NoProcess)?;
    process.set_terminal(Some(tty)).set_args(Some(args.to_vec()));
    if tty
        && let Some(env) = process.env_mut()
        && !env.iter().any(|line| line.starts_with("TERM="))
    {
        env.push("TERM=xterm".to_owned());
    }
    check_size(args, process.env().as_deref().unwrap_or_default())?;
    process_json(&process)
}
