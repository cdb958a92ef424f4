//! What systemd is told about scopes that a runtime made.

use std::io;

use peapod_cgroup::Limits;

use crate::program;

/// systemd's own program for its bus.
const BUSCTL: &str = "busctl";
/// Manager.SetUnitProperties(name, runtime, properties), org.freedesktop.systemd1(5).
const SET_UNIT_PROPERTIES: [&str; 7] = [
    "--quiet",
    "call",
    "org.freedesktop.systemd1",
    "/org/freedesktop/systemd1",
    "org.freedesktop.systemd1.Manager",
    "SetUnitProperties",
    "sba(sv)",
];

/// Sets the limits of a running scope, of which `group` is the path. They go when it goes.
pub(crate) async fn set_limits(group: &str, limits: &Limits) -> io::Result<()> {
    let unit = group.rsplit('/').next().unwrap_or_default();
    let properties = limits.properties().map(|(name, value)| (name, value.to_string()));
    let count = properties.len().to_string();
    let mut args = SET_UNIT_PROPERTIES.to_vec();
    args.extend([unit, "true", &count]);
    args.extend(properties.iter().flat_map(|(name, value)| [*name, "t", value]));
    program::run(BUSCTL.as_ref(), &args, b"").await.map_err(|error| io::Error::other(format!("{BUSCTL}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where there is no bus and where there is no such scope.
    #[tokio::test]
    async fn an_error_names_the_program() {
        let error = set_limits("/peapod.slice/peapod-no-such.scope", &Limits::default()).await.unwrap_err().to_string();
        assert!(error.starts_with("busctl: "), "{error}");
    }
}
