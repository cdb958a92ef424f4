//! The OCI runtime by itself, with the very configuration of a container of peapod: what no daemon can be quicker than.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::options::variable;
use crate::results::Results;

/// How many commands are run in it.
pub(crate) const EXECS: usize = 3;

/// Runs create, start, a few commands and delete on a copy of the bundle of a running container, with its root file
/// system.
pub(crate) fn measure(bundle: &Path, runtime: &str, dir: &Path, results: &mut Results) -> Result<()> {
    let own = dir.join("alone");
    fs::create_dir_all(&own).context("make a bundle")?;
    let text = fs::read(bundle.join("config.json")).context("read a container's config.json")?;
    let mut config: Value = serde_json::from_slice(&text).context("read a container's config.json")?;
    config["root"]["path"] = json!(bundle.join("rootfs"));
    config["linux"]["cgroupsPath"] = json!("/bench/alone/container");
    fs::write(own.join("config.json"), config.to_string()).context("write config.json")?;
    let program = PathBuf::from(variable(&format!("PEAPOD_{}", runtime.to_uppercase()))?);
    let alone = Alone { program, root: own.join("state"), log: own.join("words") };
    let pid_file = own.join("pid");
    let began = Instant::now();
    alone.run(&["create", "--bundle"], &[own.as_os_str(), "--pid-file".as_ref(), pid_file.as_os_str()])?;
    results.time("OCI runtime alone: create", began.elapsed());
    let start = Instant::now();
    alone.run(&["start"], &[])?;
    results.time("OCI runtime alone: start", start.elapsed());
    results.time("OCI runtime alone: create+start", began.elapsed());
    for _ in 0..EXECS {
        let exec = Instant::now();
        alone.run_in(&["exec"], &[], &["true"])?;
        results.time("OCI runtime alone: exec", exec.elapsed());
    }
    let delete = Instant::now();
    alone.run(&["delete", "--force"], &[])?;
    results.time("OCI runtime alone: kill and delete", delete.elapsed());
    Ok(())
}

struct Alone {
    program: PathBuf,
    root: PathBuf,
    log: PathBuf,
}

impl Alone {
    fn run(&self, action: &[&str], args: &[&OsStr]) -> Result<()> {
        self.run_in(action, args, &[])
    }

    /// What comes after the container's name is the command that is run in it.
    fn run_in(&self, action: &[&str], args: &[&OsStr], words: &[&str]) -> Result<()> {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(&self.root).arg("--log").arg(&self.log).args(["--log-format", "json"]);
        command.args(action).args(args).arg("alone").args(words);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = command.status().with_context(|| format!("run {}", self.program.display()))?;
        let words = || fs::read_to_string(&self.log).unwrap_or_default();
        ensure!(status.success(), "{} {}: {status} {}", self.program.display(), action.join(" "), words());
        Ok(())
    }
}
