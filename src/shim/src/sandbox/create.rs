//! CreateSandbox: namespaces, sysctls, mounts, pod init. A failure undoes all of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use peapod_shim_protocol::extension::SandboxOptions;

use super::namespaces::{self, Plan};
use super::pod_init::User;
use crate::clock;
use crate::core::Core;
use crate::error::Error;
use crate::log;
use crate::mount::{Mount, unmount};

/// Sets the pod up, once.
pub(crate) async fn create(core: &Arc<Core>, netns: String, options: SandboxOptions) -> Result<(), Error> {
    if core.sandbox.created_at() != 0 {
        return Err(Error::Exists { kind: "sandbox", id: core.id.clone() });
    }
    let plan = Plan {
        netns: (!netns.is_empty()).then(|| PathBuf::from(&netns)),
        new_uts: options.new_uts,
        new_ipc: options.new_ipc,
        hostname: options.hostname,
        sysctls: options.sysctls.into_iter().collect(),
    };
    let began = Instant::now();
    let made = namespaces::make(&plan)?;
    log::info("namespaces made", &[("us", &began.elapsed().as_micros())]);
    let mut mounts = Undo(Vec::new());
    for mount in &options.mounts {
        let target = Path::new(&mount.target);
        if !target.is_absolute() {
            return Err(Error::Invalid { field: "mounts.target", why: format!("{target:?} is no absolute path") });
        }
        Mount { kind: &mount.type_, source: &mount.source, target, options: &mount.options }.make()?;
        mounts.0.push(target.to_path_buf());
    }
    if options.init {
        let began = Instant::now();
        let user = User { uid: options.init_uid, gid: options.init_gid, groups: options.init_groups };
        core.sandbox.ensure_init(core, user).await?;
        log::info("pod init made", &[("us", &began.elapsed().as_micros())]);
    }
    let mut state = core.sandbox.lock();
    state.netns = netns;
    (state.ipc, state.uts) = (made.ipc, made.uts);
    state.mounts = std::mem::take(&mut mounts.0);
    state.created_at = clock::now_ns();
    Ok(())
}

/// Mounts of a creation that fails.
struct Undo(Vec<PathBuf>);

impl Drop for Undo {
    fn drop(&mut self) {
        for target in self.0.iter().rev() {
            if let Err(error) = unmount(target) {
                log::warn("a failed sandbox leaves a mount", &[("error", &error)]);
            }
        }
    }
}
