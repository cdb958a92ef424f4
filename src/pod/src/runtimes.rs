//! The node's OCI runtimes, by the names of their handlers, and what each of them can do.
//!
//! Runtimes are asked for their features in the background: a list right after the daemon's start need not wait until
//! programs have been run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use peapod_sys::sync::lock;
use peapod_text::excerpt;
use tokio::task::AbortHandle;

use crate::config::{HandlerOrigin, HandlerTable, LeftOutProgram, OciRuntime};
use crate::error::Error;
use crate::features::{self, Features, Presence};
use crate::id::PodId;
use crate::known_features::KnownFeatures;
use crate::owner_mapping::OwnerMapping;

/// The field that asks for users of a pod's own.
const USERS: &str = "config.linux.security_context.namespace_options.userns_options";

/// The field that names a pod's handler.
const HANDLER: &str = "runtime_handler";

/// All runtimes of the configuration, and those that were found.
#[derive(Debug)]
pub(crate) struct Runtimes {
    table: Mutex<RuntimeTable>,
    /// The handler that the empty name means.
    default_handler: String,
    /// Of the node; all of them share it.
    owners: Arc<OwnerMapping>,
}

#[derive(Debug, Default)]
struct RuntimeTable {
    by_handler: BTreeMap<String, Arc<NodeRuntime>>,
    left_out: Vec<LeftOutProgram>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct NodeRuntime {
    oci: OciRuntime,
    features: KnownFeatures,
    /// The task that asks it. Aborted with this.
    _asking: Asking,
    owners: Arc<OwnerMapping>,
}

#[derive(Debug)]
struct Asking(AbortHandle);

/// A handler, for people and for who offers it to a kubelet.
#[derive(Clone, Debug)]
pub struct HandlerView {
    /// As in a RuntimeClass.
    pub name: String,
    /// What it runs.
    pub runtime: OciRuntime,
    /// Why pods can't have it now, and the way out.
    pub refused: Option<String>,
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

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl NodeRuntime {
    /// Begins to ask it.
    fn new(oci: OciRuntime, owners: Arc<OwnerMapping>) -> Self {
        let (features, task) = KnownFeatures::of(oci.path.clone());
        let asking = Asking(tokio::spawn(task).abort_handle());
        Self { oci, features, _asking: asking, owners }
    }

    /// Why no pod can have it, by what it has told.
    fn refused(&self, told: Features) -> Option<String> {
        let path = self.oci.path.display();
        match (told.presence, self.oci.origin) {
            (Presence::Kata, _) => Some(format!(
                "{path} makes no containers by its command line since Kata 2.0, and peapod starts no shims of others: \
                 run such pods with containerd"
            )),
            (Presence::Silent, HandlerOrigin::Found) => Some(format!(
                "{path} was found, but answers neither `--version` nor `features`: mend it, or remove it and reload \
                 peapod"
            )),
            (Presence::Silent, HandlerOrigin::Configured) | (Presence::Answers, _) => None,
        }
    }
}

impl Runtimes {
    /// Begins to ask all of them at once.
    pub(crate) fn new(handlers: &HandlerTable, default_handler: &str, owners: OwnerMapping) -> Self {
        let (table, owners) = (Mutex::default(), Arc::new(owners));
        let runtimes = Self { table, default_handler: default_handler.to_owned(), owners };
        runtimes.set(handlers);
        runtimes
    }

    /// Takes over other handlers. One that stays as it is keeps what it has told; pods keep what they were made with.
    pub(crate) fn set(&self, handlers: &HandlerTable) {
        let mut table = lock(&self.table);
        let old = std::mem::take(&mut table.by_handler);
        let same = |name: &str, oci: &OciRuntime| old.get(name).filter(|known| known.oci == *oci).cloned();
        let take = |(name, oci): (&String, &OciRuntime)| {
            let new = || Arc::new(NodeRuntime::new(oci.clone(), Arc::clone(&self.owners)));
            (name.clone(), same(name, oci).unwrap_or_else(new))
        };
        table.by_handler = handlers.by_name.iter().map(take).collect();
        table.left_out.clone_from(&handlers.left_out);
    }

    /// All handlers, in the order of their names, from memory; right after the daemon's start alone runtimes are waited
    /// for.
    pub(crate) async fn views(&self) -> Vec<HandlerView> {
        let all: Vec<_> =
            lock(&self.table).by_handler.iter().map(|(name, runtime)| (name.clone(), Arc::clone(runtime))).collect();
        let mut views = Vec::with_capacity(all.len());
        for (name, runtime) in all {
            let refused = runtime.refused(runtime.features.last().await);
            views.push(HandlerView { name, runtime: runtime.oci.clone(), refused });
        }
        views
    }

    /// Programs that were found and are no handlers.
    pub(crate) fn left_out(&self) -> Vec<LeftOutProgram> {
        lock(&self.table).left_out.clone()
    }

    /// The handler of that name, which is empty for the default one.
    pub(crate) fn handler(&self, name: &str) -> Handler {
        let name = if name.is_empty() { &self.default_handler } else { name };
        let table = lock(&self.table);
        if let Some(runtime) = table.by_handler.get(name) {
            return Handler::Configured(Arc::clone(runtime));
        }
        let configured: Vec<&str> = table.by_handler.keys().map(String::as_str).collect();
        Handler::Unknown(UnknownHandler { name: excerpt(name).to_string(), configured: configured.join(", ") })
    }

    /// What the OCI runtime at that path can do, which a container may have been started with under another
    /// configuration.
    pub(crate) async fn features(&self, program: &Path) -> Features {
        let known = lock(&self.table).by_handler.values().find(|runtime| runtime.oci.path == program).cloned();
        match known {
            Some(runtime) => runtime.features.now().await,
            // Seldom enough to ask each time.
            None => features::ask(program).await.features,
        }
    }

    /// Where runtimes keep their containers' states.
    pub(crate) fn roots(&self) -> Vec<PathBuf> {
        lock(&self.table).by_handler.values().map(|runtime| runtime.oci.root.clone()).collect()
    }
}

impl Handler {
    /// The OCI runtime behind it.
    pub(crate) fn runtime(&self) -> Result<&OciRuntime, Error> {
        match self {
            Self::Configured(runtime) => Ok(&runtime.oci),
            Self::Unknown(UnknownHandler { name, configured }) => Err(Error::Invalid {
                field: HANDLER.to_owned(),
                reason: format!("{name} is not configured; configured are {configured}"),
            }),
        }
    }

    /// Whether a new pod can have it: asks a runtime that has not answered yet, and waits for it.
    ///
    /// # Errors
    /// It can't; says why.
    pub(crate) async fn admits(&self) -> Result<(), Error> {
        self.runtime()?;
        let Self::Configured(runtime) = self else { return Ok(()) };
        // Who has answered once is not waited for.
        let refused = match runtime.refused(runtime.features.last().await) {
            None => return Ok(()),
            Some(_) => runtime.refused(runtime.features.now().await),
        };
        refused.map_or(Ok(()), |reason| Err(Error::Invalid { field: HANDLER.to_owned(), reason }))
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
        let runtime = crate::samples::runtime(program(dir, script), dir.join("root"));
        of(dir, &shim, runtime)
    }

    fn of(dir: &Path, shim: &Path, runtime: OciRuntime) -> Runtimes {
        let owners = OwnerMapping::new(program(shim, "#!/bin/sh\n[ -e ${0%/*}/mappable ]"), dir.into());
        let by_name = BTreeMap::from([("one".to_owned(), runtime)]);
        Runtimes::new(&HandlerTable { by_name, left_out: Vec::new() }, "one", owners)
    }

    #[tokio::test]
    async fn who_was_found_is_offered_when_it_answers() {
        const SILENT: &str = "#!/bin/sh\n[ -e ${0%/*}/ready ] && echo youki version 0.7.0";
        const KATA: &str = "#!/bin/sh\n[ $1 = --version ] && echo 'kata-runtime  : 3.2.0'";
        for (script, origin, why) in [
            (SILENT, HandlerOrigin::Found, Some("answers neither")),
            (SILENT, HandlerOrigin::Configured, None),
            (KATA, HandlerOrigin::Found, Some("since Kata 2.0")),
            (KATA, HandlerOrigin::Configured, Some("since Kata 2.0")),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let shim = dir.path().join("shim");
            std::fs::create_dir(&shim).unwrap();
            let runtime = crate::samples::runtime(program(dir.path(), script), dir.path().join("root"));
            let runtimes = of(dir.path(), &shim, OciRuntime { origin, ..runtime });
            let refused = runtimes.handler("one").admits().await.err().map(|error| error.to_string());
            let shown = runtimes.views().await.remove(0).refused;
            assert_eq!(refused.is_some(), why.is_some(), "{script} {origin:?}: {refused:?}");
            assert!(why.is_none_or(|why| refused.unwrap().contains(why) && shown.unwrap().contains(why)));
        }
    }

    #[tokio::test]
    async fn other_handlers_are_taken_over_and_the_same_stay() {
        let dir = tempfile::tempdir().unwrap();
        let runtimes = runtimes(dir.path(), "#!/bin/sh\necho asked >>${0%/*}/asked; echo crun version 1.8.1");
        let one = runtimes.views().await.remove(0).runtime;
        let two = OciRuntime { origin: HandlerOrigin::Found, ..one.clone() };
        let held = runtimes.handler("one");
        let table = |names: [(&str, &OciRuntime); 2]| HandlerTable {
            by_name: names.map(|(name, runtime)| (name.to_owned(), runtime.clone())).into(),
            left_out: vec![LeftOutProgram { path: "/x".into(), reason: "y".to_owned() }],
        };
        runtimes.set(&table([("one", &one), ("two", &two)]));
        let names = |views: Vec<HandlerView>| views.into_iter().map(|view| view.name).collect::<Vec<_>>();
        assert_eq!(names(runtimes.views().await), ["one", "two"]);
        let Handler::Configured(before) = &held else { panic!("{held:?}") };
        let Handler::Configured(after) = runtimes.handler("one") else { panic!("gone") };
        assert!(Arc::ptr_eq(before, &after) && runtimes.left_out().len() == 1);
        runtimes.set(&HandlerTable::default());
        assert!(runtimes.handler("two").runtime().is_err() && held.admits().await.is_ok());
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
