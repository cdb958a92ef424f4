//! A further process in a running container.

use oci_spec::runtime::Process;
use serde::Deserialize;

use crate::SpecError;
use crate::json::process_json;
use crate::process::check_size;

/// What all processes of a container have in common: user, environment, directory, rights and limits.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecTemplate {
    /// Without arguments.
    process: Process,
}

impl ExecTemplate {
    pub(crate) fn of(process: &Process) -> Self {
        let mut process = process.clone();
        process.set_args(None);
        Self { process }
    }

    /// Out of a container's `config.json`, of which nothing else is looked at.
    ///
    /// # Errors
    /// It is no JSON, or has no process.
    pub fn parse(config_json: &[u8]) -> Result<Self, SpecError> {
        #[derive(Deserialize)]
        struct OnlyProcess {
            process: Option<Process>,
        }
        let config: OnlyProcess = serde_json::from_slice(config_json)?;
        config.process.as_ref().map(Self::of).ok_or(SpecError::NoProcess)
    }

    /// The file that `exec --process` of the OCI runtimes reads, for these arguments.
    ///
    /// # Errors
    /// Nothing to run, or more than a process can have.
    pub fn process(&self, args: &[String], tty: bool) -> Result<Vec<u8>, SpecError> {
        if args.is_empty() {
            return Err(SpecError::NoCommand);
        }
        let mut process = self.process.clone();
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
}
