//! A container's configuration as a checked specification.

use peapod_api::v1::{ContainerConfig, KeyValue};
use peapod_spec::container::{ContainerMetadata, ContainerSpec, EnvVar};

use super::field::{
    Checked, FieldError, absolute_path, all_without_nul, not_empty, relative_path, required, without_nul,
};
use super::{mounts, resources, security, signal};

/// Checks all fields of a container.
pub(crate) fn container_spec(config: Option<ContainerConfig>) -> Checked<ContainerSpec> {
    let config = required("config", config)?;
    spec(config).map_err(|error| error.within("config"))
}

fn spec(config: ContainerConfig) -> Checked<ContainerSpec> {
    if config.windows.is_some() {
        return Err(FieldError::unsupported("windows", "peapod runs on Linux"));
    }
    let metadata = required("metadata", config.metadata)?;
    let image = required("image", config.image)?;
    let linux = config.linux.unwrap_or_default();
    let working_dir = config.working_dir;
    if !working_dir.is_empty() {
        absolute_path("working_dir", working_dir.clone())?;
    }
    let log_path = match config.log_path {
        path if path.is_empty() => None,
        path => Some(relative_path("log_path", path)?),
    };
    Ok(ContainerSpec {
        metadata: ContainerMetadata { name: not_empty("metadata.name", metadata.name)?, attempt: metadata.attempt },
        image: not_empty("image.image", image.image)?,
        user_specified_image: image.user_specified_image,
        image_annotations: image.annotations,
        command: all_without_nul("command", config.command)?,
        args: all_without_nul("args", config.args)?,
        working_dir,
        envs: envs(config.envs)?,
        mounts: mounts::mounts(config.mounts)?,
        devices: mounts::devices(config.devices)?,
        cdi_devices: cdi_devices(config.cdi_devices)?,
        labels: config.labels,
        annotations: config.annotations,
        log_path,
        stdin: config.stdin,
        stdin_once: config.stdin_once,
        tty: config.tty,
        stop_signal: signal::number(config.stop_signal)?,
        resources: resources(linux.resources).map_err(|error| error.within("linux.resources"))?,
        security: security::security(linux.security_context).map_err(|error| error.within("linux.security_context"))?,
    })
}

fn envs(envs: Vec<KeyValue>) -> Checked<Vec<EnvVar>> {
    let mut checked = Vec::with_capacity(envs.len());
    for (index, KeyValue { key, value }) in envs.into_iter().enumerate() {
        let field = |part: &str| format!("envs[{index}].{part}");
        let key = without_nul(&field("key"), not_empty(&field("key"), key)?)?;
        if key.contains('=') {
            return Err(FieldError::new(field("key"), format!("{key:?} contains `=`")));
        }
        if value.contains(&0) {
            return Err(FieldError::new(field("value"), format!("the value of {key} contains a NUL byte")));
        }
        checked.push(EnvVar { key, value: value.to_vec() });
    }
    Ok(checked)
}

/// Names only; there is nothing yet that could look them up.
fn cdi_devices(devices: Vec<peapod_api::v1::CdiDevice>) -> Checked<Vec<String>> {
    match devices.into_iter().next() {
        None => Ok(Vec::new()),
        Some(device) => {
            let reason = format!("{:?}: CDI devices are not supported yet", device.name);
            Err(FieldError::unsupported("CDI_devices[0]", reason))
        }
    }
}
