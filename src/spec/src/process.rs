//! The container's process: what runs, where, with which environment, limits and rights.

use oci_spec::runtime::{PosixRlimit, PosixRlimitBuilder, PosixRlimitType, Process, User};

use crate::SpecError;
use crate::capabilities::{self, Granted};
use crate::container::{ApparmorProfile, ContainerSpec};
use crate::inputs::{ImageDefaults, Inputs, NodeFacts};
use crate::note::Note;
use crate::selinux::labels;
use crate::user::ResolvedUser;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Name of the AppArmor profile that `RuntimeDefault` means, and that a container gets which asks for none.
pub const APPARMOR_DEFAULT: &str = "peapod-default";

pub(crate) fn process(
    inputs: &Inputs<'_>,
    user: &ResolvedUser,
    granted: Granted,
    notes: &mut Vec<Note>,
) -> Result<Process, SpecError> {
    let security = &inputs.container.security;
    let mut process = Process::default();
    process
        .set_terminal(Some(inputs.container.tty))
        .set_console_size(None)
        .set_user(oci_user(user))
        .set_args(Some(args(inputs.container, inputs.image)?))
        .set_env(Some(env(inputs, notes)?))
        .set_cwd(working_dir(inputs.container, inputs.image)?.into())
        .set_capabilities(Some(capabilities::to_oci(granted)))
        .set_rlimits(rlimits(inputs.node, notes)?)
        .set_no_new_privileges(Some(security.no_new_privs))
        .set_apparmor_profile(apparmor(inputs, notes)?)
        .set_oom_score_adj(Some(oom_score_adj(inputs, notes)))
        .set_selinux_label(labels(inputs).map(|labels| labels.process));
    Ok(process)
}

/// The mask is set because the runtime would hand on its caller's.
fn oci_user(user: &ResolvedUser) -> User {
    let mut oci = User::default();
    oci.set_uid(user.uid).set_gid(user.gid).set_umask(Some(0o022)).set_additional_gids(Some(user.groups.clone()));
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
    if all.is_empty() { Err(SpecError::NoCommand) } else { Ok(all) }
}

/// Defaults, then the image's, then the client's. A later value takes the place of an earlier one.
fn env(inputs: &Inputs<'_>, notes: &mut Vec<Note>) -> Result<Vec<String>, SpecError> {
    let mut env = vec![PATH.to_owned()];
    let hostname = if inputs.pod.hostname.is_empty() { &inputs.node.hostname } else { &inputs.pod.hostname };
    if !hostname.is_empty() {
        set(&mut env, "HOSTNAME", hostname);
    }
    if inputs.container.tty {
        set(&mut env, "TERM", "xterm");
    }
    let mut ignored = Vec::new();
    for line in &inputs.image.env {
        match line.split_once('=') {
            Some((key, value)) if !key.is_empty() && !line.contains('\0') => set(&mut env, key, value),
            _ => ignored.push(line.clone()),
        }
    }
    if !ignored.is_empty() {
        notes.push(Note::ImageEnv(ignored));
    }
    for var in &inputs.container.envs {
        let value = std::str::from_utf8(&var.value).map_err(|_| SpecError::EnvNotUtf8(var.key.clone()))?;
        set(&mut env, &var.key, value);
    }
    Ok(env)
}

fn set(env: &mut Vec<String>, key: &str, value: &str) {
    let line = format!("{key}={value}");
    let same = |known: &&mut String| known.split_once('=').is_some_and(|(name, _)| name == key);
    match env.iter_mut().find(same) {
        Some(known) => *known = line,
        None => env.push(line),
    }
}

/// What a client says must be absolute; an image's word is taken from the root.
fn working_dir(container: &ContainerSpec, image: &ImageDefaults) -> Result<String, SpecError> {
    let wanted = &container.working_dir;
    match (wanted.is_empty(), wanted.starts_with('/')) {
        (false, true) => Ok(wanted.clone()),
        (false, false) => Err(SpecError::WorkingDir(wanted.clone())),
        (true, _) => Ok(format!("/{}", image.working_dir.trim_start_matches('/'))),
    }
}

fn rlimits(node: &NodeFacts, notes: &mut Vec<Note>) -> Result<Option<Vec<PosixRlimit>>, SpecError> {
    let mut all = Vec::new();
    for limit in &node.rlimits {
        let kind = rlimit_type(&limit.name).ok_or_else(|| SpecError::UnknownRlimit(limit.name.clone()))?;
        let hard = if node.may_raise_rlimits { limit.hard } else { limit.hard.min(limit.own_hard) };
        if hard != limit.hard {
            notes.push(Note::Rlimit { name: limit.name.clone(), wanted: limit.hard, given: hard });
        }
        let built = PosixRlimitBuilder::default().typ(kind).hard(hard).soft(limit.soft.min(hard)).build();
        all.push(built.map_err(|error| SpecError::Json(error.to_string()))?);
    }
    Ok(Some(all).filter(|all| !all.is_empty()))
}

fn rlimit_type(name: &str) -> Option<PosixRlimitType> {
    serde_json::from_value(serde_json::Value::String(name.to_owned())).ok()
}

fn oom_score_adj(inputs: &Inputs<'_>, notes: &mut Vec<Note>) -> i32 {
    let wanted = inputs.container.resources.oom_score_adj.clamp(-1000, 1000) as i32;
    if inputs.node.may_lower_oom || wanted >= inputs.node.oom_score_adj {
        return wanted;
    }
    let given = inputs.node.oom_score_adj;
    notes.push(Note::OomScoreAdj { wanted, given });
    given
}

fn apparmor(inputs: &Inputs<'_>, notes: &mut Vec<Note>) -> Result<Option<String>, SpecError> {
    let security = &inputs.container.security;
    match (&security.apparmor, inputs.apparmor) {
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
