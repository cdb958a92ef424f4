//! CreateSandbox: namespaces, sysctls, mounts, pod init. A failure undoes all of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use nix::sched::CloneFlags;
use peapod_shim_protocol::extension::{Ids, Mount as MountRequest, SandboxOptions};

use super::namespaces::{self, MadeNamespaces, Plan};
use super::{CreatedSandbox, PodSandbox, SandboxState};
use crate::error::Error;
use crate::init::User;
use crate::mount::{NewMount, unmount};
use crate::{clock, log};

impl PodSandbox {
    /// Makes a user namespace for the pod, and inside it those of these kinds: once, and before the pod is set up.
    pub(crate) fn prepare(&self, uids: Ids, gids: Ids, kinds: CloneFlags) -> Result<(), Error> {
        let mut state = self.lock();
        if !matches!(*state, SandboxState::Absent) || self.users.get().is_some() {
            return Err(Error::Exists { kind: "sandbox", id: self.id.clone() });
        }
        let began = Instant::now();
        let (users, made) = namespaces::make_with_users(uids, gids, kinds)?;
        log::info("user namespace made", &[("us", &began.elapsed().as_micros())]);
        self.users.get_or_init(|| users);
        *state = SandboxState::Prepared(made);
        Ok(())
    }

    /// Sets the pod up, once.
    pub(crate) async fn create(self: &Arc<Self>, netns: String, options: SandboxOptions) -> Result<(), Error> {
        let mut claim = Claim::of(self)?;
        let user = User { uid: options.init_uid, gid: options.init_gid, groups: options.init_groups };
        let plan = Plan {
            netns: (!netns.is_empty()).then(|| PathBuf::from(&netns)),
            new_uts: options.new_uts,
            new_ipc: options.new_ipc,
            hostname: options.hostname,
            sysctls: options.sysctls.into_iter().collect(),
            made: claim.made.take(),
            root: self.users.get().map(|users| users.root().0),
        };
        let began = Instant::now();
        let made = namespaces::make(&plan)?;
        log::info("namespaces made", &[("us", &began.elapsed().as_micros())]);
        let mounts = MadeMounts::make(&options.mounts)?;
        if options.init {
            let began = Instant::now();
            self.ensure_init(user).await?;
            log::info("pod init made", &[("us", &began.elapsed().as_micros())]);
        }
        let (ipc, uts, mounts) = (made.ipc, made.uts, mounts.keep());
        claim.fill(CreatedSandbox { at: clock::now_ns(), netns, ipc, uts, mounts });
        Ok(())
    }
}

/// The right to set the pod up; given back when that fails.
struct Claim<'a> {
    sandbox: &'a PodSandbox,
    /// Of a pod with users of its own.
    made: Option<MadeNamespaces>,
}

impl<'a> Claim<'a> {
    fn of(sandbox: &'a PodSandbox) -> Result<Self, Error> {
        let mut state = sandbox.lock();
        let made = match std::mem::replace(&mut *state, SandboxState::Creating) {
            // Those of a pod with users of its own are made once, and went with a try that failed: what were made now
            // would belong to the node's users.
            SandboxState::Absent if sandbox.users.get().is_some() => {
                *state = SandboxState::Absent;
                return Err(Error::State {
                    kind: "pod",
                    id: sandbox.id.clone(),
                    is: "half set up",
                    wanted: "prepared",
                });
            }
            SandboxState::Absent => None,
            SandboxState::Prepared(made) => Some(made),
            other => {
                *state = other;
                return Err(Error::Exists { kind: "sandbox", id: sandbox.id.clone() });
            }
        };
        Ok(Self { sandbox, made })
    }

    fn fill(self, made: CreatedSandbox) {
        *self.sandbox.lock() = SandboxState::Created(made);
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut state = self.sandbox.lock();
        if matches!(*state, SandboxState::Creating) {
            *state = SandboxState::Absent;
        }
    }
}

/// What was mounted; unmounted when the creation fails.
struct MadeMounts(Vec<PathBuf>);

impl MadeMounts {
    fn make(requests: &[MountRequest]) -> Result<Self, Error> {
        let mut mounts = Self(Vec::new());
        for mount in requests {
            let target = Path::new(&mount.target);
            if !target.is_absolute() {
                return Err(Error::Invalid { field: "mounts.target", why: format!("{target:?} is no absolute path") });
            }
            NewMount { kind: &mount.type_, source: &mount.source, target, options: &mount.options, users: None }
                .make()?;
            mounts.0.push(target.to_path_buf());
        }
        Ok(mounts)
    }

    fn keep(mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.0)
    }
}

impl Drop for MadeMounts {
    fn drop(&mut self) {
        for target in self.0.iter().rev() {
            if let Err(error) = unmount(target) {
                log::warn("a failed sandbox leaves a mount", &[("error", &error)]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Events;
    use crate::reaper::Reaper;

    /// What would be made by a second try would be the node's.
    #[tokio::test(flavor = "current_thread")]
    #[ignore = "needs root"]
    async fn with_users_of_its_own_it_is_set_up_once() {
        let dir = tempfile::tempdir().unwrap();
        let events = Arc::new(Events::new());
        let (bundle, users) = (dir.path().to_owned(), crate::users::PodUsersCell::default());
        let sandbox = Arc::new(PodSandbox::new("pod".to_owned(), bundle, Reaper::default(), events, users));
        let ids = || Ids { first: 200_000, count: 65_536, ..Ids::default() };
        sandbox.prepare(ids(), ids(), CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC).unwrap();
        let of = |sysctls: &[(&str, &str)]| SandboxOptions {
            new_uts: true,
            new_ipc: true,
            sysctls: sysctls.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            ..SandboxOptions::default()
        };
        sandbox.create(String::new(), of(&[("vm.swappiness", "1")])).await.unwrap_err();
        for _ in 0..2 {
            let refused = sandbox.create(String::new(), of(&[])).await.unwrap_err();
            assert_eq!(refused.to_string(), "pod \"pod\" is half set up, not prepared", "{refused}");
        }
        let namespaces = sandbox.namespaces();
        assert_eq!((namespaces.uts, namespaces.ipc), (String::new(), String::new()));
    }
}
