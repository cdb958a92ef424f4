//! Versions of the format, and what each of them brought.

use crate::edits::{CdiEdits, RawFile};

/// Those that are read, the oldest first, each with what a file needs it for.
const VERSIONS: [(&str, Needs); 8] = [
    ("0.3.0", |_| None),
    ("0.4.0", |file| edits(file).any(|edits| edits.mounts.iter().any(|m| !m.kind.is_empty())).then_some("mounts.type")),
    ("0.5.0", needs_0_5),
    ("0.6.0", needs_0_6),
    ("0.7.0", needs_0_7),
    ("0.8.0", |_| None),
    ("1.0.0", |_| None),
    ("1.1.0", needs_1_1),
];

/// What in a file a version is needed for.
type Needs = fn(&RawFile) -> Option<&'static str>;

/// Checks a file's version, and that it says nothing that this version does not have.
pub(crate) fn check(file: &RawFile) -> Result<(), String> {
    let version = file.cdi_version.strip_prefix('v').unwrap_or(&file.cdi_version);
    let Some(own) = VERSIONS.iter().position(|(known, _)| *known == version) else {
        let known: Vec<&str> = VERSIONS.iter().map(|(version, _)| *version).collect();
        let (text, known) = (peapod_text::excerpt(&file.cdi_version), known.join(", "));
        return Err(format!("cdiVersion {text} is none that peapod knows: {known}"));
    };
    let beyond = VERSIONS.iter().skip(own + 1).find_map(|(version, needs)| Some((version, needs(file)?)));
    match beyond {
        None => Ok(()),
        Some((needed, what)) => Err(format!("cdiVersion is {version}, and {what} needs {needed} at least")),
    }
}

/// Of the file, then of each device.
fn edits(file: &RawFile) -> impl Iterator<Item = &CdiEdits> {
    std::iter::once(&file.container_edits).chain(file.devices.iter().map(|device| &device.container_edits))
}

fn needs_0_5(file: &RawFile) -> Option<&'static str> {
    if edits(file).any(|edits| edits.device_nodes.iter().any(|node| !node.host_path.is_empty())) {
        return Some("deviceNodes.hostPath");
    }
    let digit = file.devices.iter().any(|device| device.name.starts_with(|first: char| first.is_ascii_digit()));
    digit.then_some("a device's name that begins with a digit")
}

fn needs_0_6(file: &RawFile) -> Option<&'static str> {
    if !file.annotations.is_empty() || file.devices.iter().any(|device| !device.annotations.is_empty()) {
        return Some("annotations");
    }
    let dotted = file.kind.split_once('/').is_some_and(|(_, class)| class.contains('.'));
    dotted.then_some("a class with a dot in it")
}

fn needs_0_7(file: &RawFile) -> Option<&'static str> {
    if edits(file).any(|edits| edits.intel_rdt.is_some()) {
        return Some("intelRdt");
    }
    edits(file).any(|edits| !edits.additional_gids.is_empty()).then_some("additionalGids")
}

fn needs_1_1(file: &RawFile) -> Option<&'static str> {
    if edits(file).any(|edits| !edits.net_devices.is_empty()) {
        return Some("netDevices");
    }
    let mut rdts = edits(file).filter_map(|edits| edits.intel_rdt.as_ref());
    rdts.any(|rdt| rdt.schemata.is_some() || rdt.enable_monitoring)
        .then_some("intelRdt.schemata or intelRdt.enableMonitoring")
}
