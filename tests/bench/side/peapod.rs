//! peapod, with folders and a network of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{program, write_hosts};

pub(super) fn socket(dir: &Path) -> PathBuf {
    dir.join("run/peapod.sock")
}

pub(super) fn configure(dir: &Path, runtime: &str) -> Result<()> {
    let certs = dir.join("certs.d");
    write_hosts(&certs)?;
    let text = format!(
        "state_root = {state:?}\nrun_root = {run:?}\n\
         [shim]\npath = {shim:?}\n\
         [runtimes]\ndefault = {runtime:?}\n\
         [runtimes.handlers.crun]\npath = {crun:?}\n\
         [runtimes.handlers.runc]\npath = {runc:?}\n\
         [image]\nhosts_dirs = [{certs:?}]\n\
         [network]\nbridge = \"pbench0\"\nsubnets = [\"10.98.0.0/16\"]\n",
        state = dir.join("state"),
        run = dir.join("run"),
        shim = program("PEAPOD_SHIM")?,
        crun = program("PEAPOD_CRUN")?,
        runc = program("PEAPOD_RUNC")?,
    );
    fs::write(dir.join("config.toml"), text).context("write peapod's configuration")
}

pub(super) fn command(dir: &Path, stages: bool) -> Result<Command> {
    let mut command = Command::new(program("PEAPOD_BIN")?);
    command.arg("serve").arg("--config").arg(dir.join("config.toml"));
    if stages {
        command.args(["--log-format", "json", "--log-level", "info,peapod_stage=debug"]);
    }
    Ok(command)
}
