//! SELinux labels of a container.

use crate::inputs::Inputs;

/// One label for the process, one for the files it makes.
pub(crate) struct Labels {
    pub(crate) process: String,
    pub(crate) mounts: String,
}

/// What the container asks for, else the pod. Nothing without SELinux, without a wish, or for a privileged container.
pub(crate) fn labels(inputs: &Inputs<'_>) -> Option<Labels> {
    if !inputs.node.selinux || inputs.container.security.privileged {
        return None;
    }
    let options = inputs.container.security.selinux.as_ref().or(inputs.pod.security.selinux.as_ref())?;
    let user = or(&options.user, "system_u");
    let role = or(&options.role, "system_r");
    let kind = or(&options.type_, "container_t");
    let level = or(&options.level, "s0");
    Some(Labels {
        process: format!("{user}:{role}:{kind}:{level}"),
        mounts: format!("{user}:object_r:container_file_t:{level}"),
    })
}

fn or<'a>(value: &'a str, default: &'static str) -> &'a str {
    if value.is_empty() { default } else { value }
}
