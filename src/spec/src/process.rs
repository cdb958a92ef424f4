//! The container's process: what runs, where, with which environment, limits and rights.

use std::collections::HashMap;
use std::path::PathBuf;

use oci_spec::runtime::{PosixRlimit, PosixRlimitBuilder, Process, User};

use crate::SpecError;
use crate::apply_edits;
use crate::bounds::{PROGRAM_BYTES, STRING_BYTES, VARIABLES};
use crate::capabilities::{self, Granted};
use crate::container::{APPARMOR_DEFAULT, ApparmorProfile, ContainerSpec, Resources};
use crate::inputs::{ImageDefaults, Inputs, NodeFacts};
use crate::note::Note;
use crate::path::normal_path;
use crate::pod::Scope;
use crate::user::{ResolvedUser, UserIds};
use peapod_text::Sample;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(crate) fn process(
    inputs: &Inputs<'_>,
    user: &ResolvedUser,
    granted: Granted,
    notes: &mut Vec<Note>,
) -> Result<Process, SpecError> {
    let security = &inputs.container.security;
    if inputs.node.selinux.is_none() && (security.selinux.is_some() || inputs.pod.security.selinux.is_some()) {
        notes.push(Note::SelinuxOff);
    }
    let (args, mut env) = (args(inputs.container, inputs.image.defaults)?, env(inputs, user, notes)?);
    apply_edits::set_variables(&mut env, inputs.devices.edits);
    check_size(&args, &env)?;
    let mut process = Process::default();
    process
        .set_terminal(Some(inputs.container.tty))
        .set_console_size(None)
        .set_user(oci_user(&user.ids))
        .set_args(Some(args))
        .set_env(Some(env))
        .set_cwd(working_dir(inputs.container, inputs.image.defaults)?)
        .set_capabilities(Some(capabilities::to_oci(granted)))
        .set_rlimits(rlimits(inputs, notes)?)
        .set_no_new_privileges(Some(security.no_new_privs))
        .set_apparmor_profile(apparmor(inputs, notes)?)
        .set_selinux_label(inputs.labels()?.map(|labels| labels.process));
    Ok(process)
}

/// The mask is set because the runtime would hand on its caller's.
fn oci_user(ids: &UserIds) -> User {
    let mut oci = User::default();
    oci.set_uid(ids.uid).set_gid(ids.gid).set_umask(Some(0o022)).set_additional_gids(Some(ids.groups.clone()));
    oci
}

/// A command replaces entrypoint and cmd; args alone replace cmd.
fn args(container: &ContainerSpec, image: &ImageDefaults) -> Result<Vec<String>, SpecError> {
    let (command, args) = match (container.command.is_empty(), container.args.is_empty()) {
        (false, _) => (&container.command, &container.args),
        (true, false) => (&image.entrypoint, &container.args),
        (true, true) => (&image.entrypoint, &image.cmd),
    };
    let all: Vec<String> = command.iter().chain(args).cloned().collect();
    // The request's own were looked at when it came.
    if all.iter().any(|arg| arg.contains('\0')) {
        return Err(SpecError::ImageNul("Entrypoint or Cmd"));
    }
    if all.is_empty() { Err(SpecError::NoCommand) } else { Ok(all) }
}

/// What execve(2) would refuse, or what an OCI runtime would take for ever to hand to it.
pub(crate) fn check_size(args: &[String], env: &[String]) -> Result<(), SpecError> {
    let too_many = |what, count, most| Err(SpecError::TooMany { field: "command and envs", what, count, most });
    if env.len() > VARIABLES {
        return too_many("variables, those of the image counted", env.len(), VARIABLES);
    }
    let strings = || args.iter().chain(env);
    if let Some(long) = strings().map(String::len).find(|len| *len > STRING_BYTES) {
        return too_many("bytes in one argument or variable", long, STRING_BYTES);
    }
    let all = strings().map(|text| text.len() + 1 + size_of::<usize>()).sum();
    if all > PROGRAM_BYTES {
        return too_many("bytes of arguments and variables", all, PROGRAM_BYTES);
    }
    Ok(())
}

/// Defaults, then the image's, then the client's. A later value takes the place of an earlier one.
///
/// HOME is always there: an OCI runtime that misses it reads the container's own passwd file, which may be a pipe by
/// then.
fn env(inputs: &Inputs<'_>, user: &ResolvedUser, notes: &mut Vec<Note>) -> Result<Vec<String>, SpecError> {
    let mut env = Environment::default();
    env.set("PATH", PATH);
    // The host name goes with the network.
    let own_name = inputs.pod.namespaces.network == Scope::Pod && !inputs.pod.hostname.is_empty();
    let hostname = if own_name { &inputs.pod.hostname } else { &inputs.node.hostname };
    if !hostname.is_empty() {
        env.set("HOSTNAME", hostname);
    }
    if inputs.container.tty {
        env.set("TERM", "xterm");
    }
    let usable = |line: &&String| line.find('=').is_some_and(|at| at != 0) && !line.contains('\0');
    let (lines, ignored): (Vec<_>, Vec<_>) = inputs.image.defaults.env.iter().partition(usable);
    for (key, value) in lines.into_iter().filter_map(|line| line.split_once('=')) {
        env.set(key, value);
    }
    if !ignored.is_empty() {
        notes.push(Note::ImageEnv(Sample::of(ignored.into_iter().map(String::as_str))));
    }
    for var in &inputs.container.envs {
        let value = std::str::from_utf8(&var.value).map_err(|_| SpecError::EnvNotUtf8(var.key.clone()))?;
        env.set(&var.key, value);
    }
    if !env.places.contains_key("HOME") {
        env.set("HOME", &user.home);
    }
    Ok(env.lines())
}

/// Variables in the order in which they were first set.
#[derive(Default)]
struct Environment<'a> {
    variables: Vec<(&'a str, &'a str)>,
    /// Where in the list.
    places: HashMap<&'a str, usize>,
}

impl<'a> Environment<'a> {
    fn set(&mut self, key: &'a str, value: &'a str) {
        let place = *self.places.entry(key).or_insert(self.variables.len());
        match self.variables.get_mut(place) {
            Some(variable) => variable.1 = value,
            None => self.variables.push((key, value)),
        }
    }

    fn lines(self) -> Vec<String> {
        self.variables.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
    }
}

/// What a client says must be absolute; an image's word is taken from the root.
fn working_dir(container: &ContainerSpec, image: &ImageDefaults) -> Result<PathBuf, SpecError> {
    let wanted = &container.working_dir;
    match (wanted.is_empty(), wanted.starts_with('/')) {
        (false, true) => Ok(normal_path(wanted)),
        (false, false) => Err(SpecError::WorkingDir(wanted.clone())),
        (true, _) if image.working_dir.contains('\0') => Err(SpecError::ImageNul("WorkingDir")),
        (true, _) => Ok(normal_path(&image.working_dir)),
    }
}

/// What the node can't give is noted, and the most that it can is given: nothing a container could fail by.
fn rlimits(inputs: &Inputs<'_>, notes: &mut Vec<Note>) -> Result<Option<Vec<PosixRlimit>>, SpecError> {
    let mut all = Vec::new();
    for limit in inputs.defaults.ulimits.iter() {
        let most = inputs.node.hard_limits.iter().find(|(kind, _)| *kind == limit.kind()).map(|(_, most)| *most);
        let hard = most.map_or(limit.hard(), |most| limit.hard().min(most));
        if hard != limit.hard() {
            notes.push(Note::Ulimit { wanted: limit, given: hard });
        }
        let built = PosixRlimitBuilder::default().typ(limit.kind().of_oci()).hard(hard).soft(limit.soft().min(hard));
        all.push(built.build().map_err(|error| SpecError::Json(error.to_string()))?);
    }
    Ok(Some(all).filter(|all| !all.is_empty()))
}

pub(crate) fn oom_score_adj(resources: &Resources, node: &NodeFacts, notes: &mut Vec<Note>) -> i32 {
    let wanted = resources.oom_score_adj.clamp(-1000, 1000) as i32;
    if node.may_lower_oom || wanted >= node.oom_score_adj {
        return wanted;
    }
    let given = node.oom_score_adj;
    notes.push(Note::OomScoreAdj { wanted, given });
    given
}

fn apparmor(inputs: &Inputs<'_>, notes: &mut Vec<Note>) -> Result<Option<String>, SpecError> {
    let security = &inputs.container.security;
    match (&security.apparmor, inputs.profiles.apparmor) {
        (Some(ApparmorProfile::Localhost(name)), None) => Err(SpecError::ApparmorOff(name.clone())),
        (_, None) => Ok(None),
        (Some(ApparmorProfile::Localhost(name)), Some(loaded)) => {
            if loaded.contains(name) {
                Ok(Some(name.clone()))
            } else {
                Err(SpecError::ApparmorNotLoaded(name.clone()))
            }
        }
        (Some(ApparmorProfile::Unconfined), Some(_)) => Ok(Some("unconfined".to_owned())),
        (Some(ApparmorProfile::RuntimeDefault), Some(loaded)) if !security.privileged => {
            let name = APPARMOR_DEFAULT.to_owned();
            if loaded.contains(&name) { Ok(Some(name)) } else { Err(SpecError::ApparmorNotLoaded(name)) }
        }
        (None, Some(loaded)) if !security.privileged => {
            let default = loaded.iter().find(|name| *name == APPARMOR_DEFAULT).cloned();
            if default.is_none() {
                notes.push(Note::Apparmor);
            }
            Ok(default)
        }
        (None | Some(ApparmorProfile::RuntimeDefault), Some(_)) => Ok(None),
    }
}
