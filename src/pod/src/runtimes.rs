//! The node's OCI runtimes, by the names of their handlers, and what each of them can do.
//!
//! Runtimes are asked for their features in the background: a list right after the daemon's start need not wait until
//! programs have been run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use peapod_text::excerpt;
use tokio::task::JoinSet;

use crate::config::OciRuntime;
use crate::error::Error;
use crate::features::{self, Features};
use crate::id::PodId;
use crate::known_features::KnownFeatures;
use crate::owner_mapping::OwnerMapping;

/// The field that asks for users of a pod's own.
const USERS: &str = "config.linux.security_context.namespace_options.userns_options";

/// All runtimes of the configuration.
#[derive(Debug)]
pub(crate) struct Runtimes {
    by_handler: BTreeMap<String, Arc<NodeRuntime>>,
    /// The handler that the empty name means.
    default_handler: String,
    /// The tasks that ask runtimes for their features. They are aborted with this.
    _asking: JoinSet<()>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct NodeRuntime {
    oci: OciRuntime,
    features: KnownFeatures,
    /// Of the node; all of them share it.
    owners: Arc<OwnerMapping>,
}

/// A pod's handler, resolved once: when the pod is admitted, or taken up from its record. Clones share it.
#[derive(Clone, Debug)]
pub(crate) enum Handler {
    Configured(Arc<NodeRuntime>),
    /// Recorded pods may have one.
    Unknown(UnknownHandler),
}

/// The name of a handler that the configuration has not.
#[derive(Clone, Debug)]
pub(crate) struct UnknownHandler {
    name: String,
    /// Those that it has.
    configured: String,
}

impl Runtimes {
    /// Begins to ask all of them at once.
    pub(crate) fn new(runtimes: &BTreeMap<String, OciRuntime>, default_handler: &str, owners: OwnerMapping) -> Self {
        let (mut asking, owners) = (JoinSet::new(), Arc::new(owners));
        let mut ask = |oci: &OciRuntime| {
            let (features, task) = KnownFeatures::of(oci.path.clone());
            asking.spawn(task);
            Arc::new(NodeRuntime { oci: oci.clone(), features, owners: Arc::clone(&owners) })
        };
        let by_handler = runtimes.iter().map(|(name, oci)| (name.clone(), ask(oci))).collect();
        Self { by_handler, default_handler: default_handler.to_owned(), _asking: asking }
    }

    /// The handler of that name, which is empty for the default one.
    pub(crate) fn handler(&self, name: &str) -> Handler {
        let name = if name.is_empty() { &self.default_handler } else { name };
        if let Some(runtime) = self.by_handler.get(name) {
            return Handler::Configured(Arc::clone(runtime));
        }
        let configured: Vec<&str> = self.by_handler.keys().map(String::as_str).collect();
        Handler::Unknown(UnknownHandler { name: excerpt(name).to_string(), configured: configured.join(", ") })
    }

    /// What the OCI runtime at that path can do, which a container may have been started with under another
    /// configuration.
    pub(crate) async fn features(&self, program: &Path) -> Features {
        match self.by_handler.values().find(|runtime| runtime.oci.path == program) {
            Some(runtime) => runtime.features.now().await,
            // Seldom enough to ask each time.
            None => features::ask(program).await.features,
        }
    }

    /// Where runtimes keep their containers' states.
    pub(crate) fn roots(&self) -> impl Iterator<Item = &Path> {
        self.by_handler.values().map(|runtime| runtime.oci.root.as_path())
    }
}

impl Handler {
    /// The OCI runtime behind it.
    pub(crate) fn runtime(&self) -> Result<&OciRuntime, Error> {
        match self {
            Self::Configured(runtime) => Ok(&runtime.oci),
            Self::Unknown(UnknownHandler { name, configured }) => Err(Error::Invalid {
                field: "runtime_handler".to_owned(),
                reason: format!("{name} is not configured; configured are {configured}"),
            }),
        }
    }

    /// Whether a pod that is there can have another container made or started.
    pub(crate) fn serves(&self, pod: &PodId) -> Result<(), Error> {
        let Self::Unknown(UnknownHandler { name, configured }) = self else { return Ok(()) };
        Err(Error::Precondition {
            what: "pod sandbox",
            id: pod.to_string(),
            state: format!("of runtime handler {name}, which is not configured (configured are {configured})"),
            need: "that makes and starts its containers: configure it again and restart peapod, or run another sandbox",
        })
    }

    /// What the OCI runtime can do; nothing if there is none. One that could not tell, or was replaced, is asked again,
    /// and waited for until its time for that is over.
    pub(crate) async fn features(&self) -> Features {
        match self {
            Self::Configured(runtime) => runtime.features.now().await,
            Self::Unknown(_) => Features::default(),
        }
    }

    /// The same from memory, as it was told last; only right after the daemon's start is the runtime waited for.
    pub(crate) async fn last_features(&self) -> Features {
        match self {
            Self::Configured(runtime) => runtime.features.last().await,
            Self::Unknown(_) => Features::default(),
        }
    }
}

impl Handler {
    /// Whether its pods can have users of their own.
    ///
    /// # Errors
    /// They can't; says why, and what would change that.
    pub(crate) async fn can_have_users(&self) -> Result<(), Error> {
        let refused = |reason| Err(Error::Invalid { field: USERS.to_owned(), reason });
        let runtime = self.runtime()?;
        if !self.features().await.user_namespaces {
            let path = runtime.path.display();
            return refused(format!(
                "{path}, the OCI runtime of the pod's handler, does not say that it has user namespaces and idmapped \
                 mounts (`{path} features`): use a newer one, another handler, or mode NODE"
            ));
        }
        let Self::Configured(runtime) = self else { return Ok(()) };
        runtime.owners.ask().await.or_else(refused)
    }

    /// The same from memory, as far as it was asked before.
    pub(crate) async fn has_users(&self) -> bool {
        let Self::Configured(runtime) = self else { return false };
        runtime.features.last().await.user_namespaces && runtime.owners.ask().await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::program;

    /// One runtime, whose program is that script, as handler `one`.
    fn runtimes(dir: &Path, script: &str) -> Runtimes {
        let shim = dir.join("shim");
        std::fs::create_dir(&shim).unwrap();
        let runtime = OciRuntime { path: program(dir, script), root: dir.join("root"), cgroup_writable: false };
        let owners = OwnerMapping::new(program(&shim, "#!/bin/sh\n[ -e ${0%/*}/mappable ]"), dir.into());
        Runtimes::new(&BTreeMap::from([("one".to_owned(), runtime)]), "one", owners)
    }

    #[tokio::test]
    async fn who_needs_features_waits_for_the_answer_and_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let go = dir.path().join("go");
        let script =
            "#!/bin/sh\nwhile ! [ -e ${0%/*}/go ]; do sleep 0.01; done\n[ $1 = --version ] && echo crun version 1.8.1";
        let runtimes = runtimes(dir.path(), script);
        let handler = runtimes.handler("");
        assert_eq!(handler.runtime().unwrap().path, dir.path().join("runtime"));
        let early = tokio::time::timeout(std::time::Duration::from_millis(50), handler.features()).await;
        assert!(early.is_err(), "{early:?}");
        let early = tokio::time::timeout(std::time::Duration::from_millis(50), handler.last_features()).await;
        assert!(early.is_err(), "{early:?}");
        std::fs::write(go, "").unwrap();
        assert!(handler.features().await.recursive_read_only && handler.last_features().await.recursive_read_only);
    }

    #[tokio::test]
    async fn users_take_a_runtime_and_a_file_system() {
        const ABLE: &str = "#!/bin/sh\n[ $1 = features ] && \
            echo '{\"linux\":{\"namespaces\":[\"user\"],\"mountExtensions\":{\"idmap\":{\"enabled\":true}}}}'";
        for (script, mappable, can) in
            [(ABLE, true, true), (ABLE, false, false), ("#!/bin/sh\necho crun version 1.8.1", true, false)]
        {
            let dir = tempfile::tempdir().unwrap();
            let runtimes = runtimes(dir.path(), script);
            let handler = runtimes.handler("one");
            if mappable {
                std::fs::write(dir.path().join("shim/mappable"), "").unwrap();
            }
            let asked = handler.can_have_users().await;
            assert_eq!((asked.is_ok(), handler.has_users().await), (can, can), "{script} {mappable}: {asked:?}");
        }
    }

    #[tokio::test]
    async fn an_unknown_handler_is_named_and_can_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let unknown = runtimes(dir.path(), "#!/bin/sh\necho crun version 1.8.1").handler("two");
        let refused = unknown.runtime().unwrap_err().to_string();
        assert!(refused.contains("two") && refused.contains("configured are one"), "{refused}");
        assert_eq!(unknown.features().await, Features::default());
    }

    #[tokio::test]
    async fn a_pod_whose_handler_is_gone_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let runtimes = runtimes(dir.path(), "#!/bin/sh\n[ $1 = --version ] && echo runc version 1.5.2");
        let pod = PodId::random().unwrap();
        assert!(runtimes.handler("one").serves(&pod).is_ok());
        let refused = runtimes.handler("two").serves(&pod).unwrap_err();
        assert!(matches!(refused, Error::Precondition { .. }) && refused.to_string().contains("handler \"two\""));
        // What it was started with is asked all the same, wherever that is.
        let path = program(&dir.path().join("."), "#!/bin/sh\n[ $1 = --version ] && echo runc version 1.5.2");
        let elsewhere = dir.path().join("elsewhere");
        std::fs::rename(&path, &elsewhere).unwrap();
        assert_eq!(runtimes.features(&elsewhere).await.no_limits, Some(true));
        assert_eq!(runtimes.features(&path).await.no_limits, None);
    }
}
