//! What systemd is told about scopes that a runtime made.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use peapod_cgroup::Limits;
use tokio::process::Command;
use tokio::time::timeout;

/// systemd's own program for its bus.
const BUSCTL: &str = "busctl";
/// How long it may take.
const LIMIT: Duration = Duration::from_secs(20);
/// How much of its words is told.
const WORDS: usize = 400;

/// Sets the limits of a running scope, of which `group` is the path. They go when it goes.
pub(crate) async fn set_limits(group: &str, limits: &Limits) -> io::Result<()> {
    let unit = group.rsplit('/').next().unwrap_or_default();
    let properties = limits.properties();
    let mut command = Command::new(BUSCTL);
    // Manager.SetUnitProperties(name, runtime, properties) of org.freedesktop.systemd1(5).
    command
        .args(["--quiet", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1"])
        .args(["org.freedesktop.systemd1.Manager", "SetUnitProperties", "sba(sv)", unit, "true"])
        .arg(properties.len().to_string());
    for (name, value) in properties {
        command.args([name, "t", &value.to_string()]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let told = |why: String| io::Error::other(format!("{BUSCTL}: {why}"));
    let output = match timeout(LIMIT, command.output()).await {
        Ok(output) => output.map_err(|error| told(error.to_string()))?,
        Err(_) => return Err(told(format!("it did not end within {} s", LIMIT.as_secs()))),
    };
    if output.status.success() {
        return Ok(());
    }
    let words: String = String::from_utf8_lossy(&output.stderr).chars().take(WORDS).collect();
    Err(told(format!("{}: {}", output.status, words.trim())))
}
