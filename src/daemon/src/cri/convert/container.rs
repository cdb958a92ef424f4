//! A container's configuration as a checked specification.

use std::collections::{BTreeMap, HashSet};

use peapod_api::v1::{self, ContainerConfig, KeyValue};
use peapod_cdi::{CdiName, names_of_annotation};
use peapod_spec::bounds::{CDI_DEVICES, IMAGE_NAME_BYTES, LABELS, PROGRAM_BYTES, VARIABLES};
use peapod_spec::container::{ContainerMetadata, ContainerSpec, EnvVar};
use peapod_text::excerpt;

use super::field::{
    Checked, FieldError, all_without_nul, any_absolute_path, at_most, name, not_empty, relative_path, required, short,
    without_nul,
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
    let working_dir = match config.working_dir {
        path if path.is_empty() => path,
        path => any_absolute_path("working_dir", path)?.to_string_lossy().into_owned(),
    };
    program_size(&config.command, &config.args, &config.envs)?;
    for (field, map) in
        [("labels", &config.labels), ("annotations", &config.annotations), ("image.annotations", &image.annotations)]
    {
        at_most(field, "entries", map.len(), LABELS)?;
    }
    let log_path = match config.log_path {
        path if path.is_empty() => None,
        path => Some(relative_path("log_path", path)?),
    };
    Ok(ContainerSpec {
        metadata: ContainerMetadata { name: name("metadata.name", metadata.name)?, attempt: metadata.attempt },
        image: not_empty("image.image", short("image.image", image.image, IMAGE_NAME_BYTES)?)?,
        user_specified_image: short("image.user_specified_image", image.user_specified_image, IMAGE_NAME_BYTES)?,
        image_annotations: image.annotations,
        command: all_without_nul("command", config.command)?,
        args: all_without_nul("args", config.args)?,
        working_dir,
        envs: envs(config.envs)?,
        mounts: mounts::mounts(config.mounts)?,
        devices: mounts::devices(config.devices)?,
        cdi_devices: cdi_devices(config.cdi_devices, &config.annotations)?,
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
            return Err(FieldError::new(field("key"), format!("{} contains `=`", excerpt(&key))));
        }
        if value.contains(&0) {
            return Err(FieldError::new(field("value"), format!("the value of {} contains a NUL byte", excerpt(&key))));
        }
        checked.push(EnvVar { key, value: value.to_vec() });
    }
    Ok(checked)
}

/// What no process can be given is not kept. The image's part is counted when it is known.
fn program_size(command: &[String], args: &[String], envs: &[KeyValue]) -> Checked<()> {
    let size = |strings: &[String]| strings.iter().map(|text| text.len() + 1).sum::<usize>();
    at_most("command", "bytes", size(command), PROGRAM_BYTES)?;
    at_most("args", "bytes", size(args), PROGRAM_BYTES)?;
    at_most("envs", "entries", envs.len(), VARIABLES)?;
    at_most("envs", "bytes", envs.iter().map(|env| env.key.len() + env.value.len() + 2).sum(), PROGRAM_BYTES)
}

/// Devices by CDI name, of the field and then of annotations, each once. Annotations are the container's own: a pod's
/// come from its author, who may not be allowed a device, and a kubelet's device plugins answer with the container's.
fn cdi_devices(devices: Vec<v1::CdiDevice>, annotations: &BTreeMap<String, String>) -> Checked<Vec<String>> {
    let mut names = Vec::new();
    let mut seen = HashSet::new();
    let mut add = |field: &str, name: CdiName| {
        at_most(field, "devices, those of annotations counted,", seen.len() + 1, CDI_DEVICES)?;
        if seen.insert(name.clone()) {
            names.push(name.to_string());
        }
        Ok(())
    };
    for (index, device) in devices.into_iter().enumerate() {
        let field = format!("CDI_devices[{index}].name");
        let name = CdiName::parse(&device.name).map_err(|error| FieldError::new(&field, error.to_string()))?;
        add("CDI_devices", name)?;
    }
    for (key, value) in annotations {
        let field = format!("annotations[{}]", excerpt(key));
        let listed = names_of_annotation(key, value);
        for name in listed.map_err(|error| FieldError::new(&field, error.to_string()))? {
            add(&field, name)?;
        }
    }
    Ok(names)
}
