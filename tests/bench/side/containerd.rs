//! containerd, with folders and a bridge network of its own by the usual CNI plugins.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use super::{program, tool, write_hosts};
use crate::options::variable;

pub(super) fn socket(dir: &Path) -> PathBuf {
    dir.join("run/containerd.sock")
}

pub(super) fn configure(dir: &Path) -> Result<()> {
    let (certs, cni) = (dir.join("certs.d"), dir.join("net.d"));
    write_hosts(&certs)?;
    fs::create_dir_all(&cni).context("make net.d")?;
    fs::write(cni.join("10-bench.conflist"), network().to_string()).context("write the network's configuration")?;
    fs::write(dir.join("config.toml"), settings(dir, &certs, &cni)?).context("write containerd's configuration")
}

/// As containerd's own installation script has it: a bridge with masquerading, and host ports.
fn network() -> serde_json::Value {
    json!({"cniVersion": "1.0.0", "name": "bench", "plugins": [
        {
            "type": "bridge", "bridge": "cbench0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "10.99.0.0/16"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": true}},
    ]})
}

fn settings(dir: &Path, certs: &Path, cni: &Path) -> Result<String> {
    let registry = variable("PEAPOD_REGISTRY")?;
    let handler = |name: &str, path: PathBuf| {
        format!(
            "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.{name}]\nruntime_type = 'io.containerd.runc.v2'\n\
             [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.{name}.options]\nBinaryName = {path:?}\n",
        )
    };
    Ok(format!(
        "version = 3\nroot = {root:?}\nstate = {state:?}\n\
         [grpc]\naddress = {socket:?}\n\
         [plugins.'io.containerd.cri.v1.images'.pinned_images]\nsandbox = '{registry}/pause:3.9'\n\
         [plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = {certs:?}\n\
         [plugins.'io.containerd.cri.v1.runtime']\nrestrict_oom_score_adj = true\n\
         [plugins.'io.containerd.cri.v1.runtime'.cni]\nbin_dirs = [{plugins:?}]\nconf_dir = {cni:?}\n\
         {crun}{runc}",
        root = dir.join("root"),
        state = dir.join("state"),
        socket = socket(dir),
        plugins = tool("cni")?,
        crun = handler("crun", program("PEAPOD_BENCH_CRUN")?),
        runc = handler("runc", program("PEAPOD_RUNC")?),
    ))
}

pub(super) fn command(dir: &Path) -> Result<Command> {
    let mut command = Command::new(tool("containerd")?);
    command.arg("--config").arg(dir.join("config.toml")).args(["--log-level", "info"]);
    // It looks for its shim there.
    command.env("PATH", format!("{}:{}", variable("PEAPOD_GOTOOLS")?, variable("PATH")?));
    Ok(command)
}
