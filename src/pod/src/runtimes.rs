//! The node's OCI runtimes, by the names of their handlers, and what each of them can do.
//!
//! Runtimes are asked for their features in the background: a list right after the daemon's start need not wait until
//! programs have been run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use peapod_text::excerpt;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::OciRuntime;
use crate::error::Error;
use crate::features::{self, Features};

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
    /// None until the runtime has answered.
    features: watch::Receiver<Option<Features>>,
}

/// A pod's handler, resolved once: when the pod is admitted, or taken up from its record. Clones share it.
#[derive(Clone, Debug)]
pub(crate) enum Handler {
    Configured(Arc<NodeRuntime>),
    /// As the error says. Recorded pods may have one.
    Unknown(Error),
}

impl Runtimes {
    /// Begins to ask all of them at once.
    pub(crate) fn new(runtimes: &BTreeMap<String, OciRuntime>, default_handler: &str) -> Self {
        let mut asking = JoinSet::new();
        let mut ask = |oci: &OciRuntime| {
            let (answered, features) = watch::channel(None);
            let runtime = oci.clone();
            asking.spawn(async move {
                // Nobody may want to know any more.
                let _ = answered.send(Some(features::ask(&runtime).await));
            });
            Arc::new(NodeRuntime { oci: oci.clone(), features })
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
        let known: Vec<&str> = self.by_handler.keys().map(String::as_str).collect();
        Handler::Unknown(Error::Invalid {
            field: "runtime_handler".to_owned(),
            reason: format!("{} is not configured; configured are {}", excerpt(name), known.join(", ")),
        })
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
            Self::Unknown(error) => Err(error.clone()),
        }
    }

    /// What the OCI runtime can do; nothing if there is none. Right after the daemon's start this waits until the
    /// runtime has answered, or its time for that is over.
    pub(crate) async fn features(&self) -> Features {
        let Self::Configured(runtime) = self else { return Features::default() };
        let mut features = runtime.features.clone();
        // An error means that asking panicked.
        let answer = features.wait_for(Option::is_some).await;
        answer.ok().and_then(|features| *features).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// One runtime, whose program is that script, as handler `one`.
    fn runtimes(dir: &Path, script: &str) -> Runtimes {
        let path = dir.join("runtime");
        // Another process writes it: a child that another test forks meanwhile would keep it open for writing, and it
        // could not be run.
        let write = r#"printf %s "$1" >"$2" && chmod 755 "$2""#;
        assert!(Command::new("sh").args(["-c", write, "sh", script]).arg(&path).status().unwrap().success());
        let runtime = OciRuntime { path, root: dir.join("root") };
        Runtimes::new(&BTreeMap::from([("one".to_owned(), runtime)]), "one")
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
        std::fs::write(go, "").unwrap();
        assert!(handler.features().await.recursive_read_only);
    }

    #[tokio::test]
    async fn an_unknown_handler_is_named_and_can_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let unknown = runtimes(dir.path(), "#!/bin/sh\necho crun version 1.8.1").handler("two");
        let refused = unknown.runtime().unwrap_err().to_string();
        assert!(refused.contains("two") && refused.contains("configured are one"), "{refused}");
        assert_eq!(unknown.features().await, Features::default());
    }
}
