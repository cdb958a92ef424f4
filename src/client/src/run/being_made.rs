//! Pods that are being made, whose images may have to be pulled first: no runtime knows them yet. Each says so by
//! `making.json` in its folder.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::SystemTime;

use peapod_api::v1;
use rustix::fs::{Dir, Mode, OFlags, openat};
use serde::{Deserialize, Serialize};

use super::images;
use super::off_thread::off_thread;
use super::pod_dir::PodDir;
use crate::bounds::{BEING_MADE_BYTES, LEFTOVERS};
use crate::manifest::Pod;
use crate::runs::owner::{self, FoundOwner};
use crate::runs::{is_uid, open_base, open_folder};
use crate::{labels, runs};

/// The file's name in the pod's folder.
const NAME: &str = "making.json";

/// A pod that is being made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodBeingMade {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// How many containers it is to have beside those of its beginning.
    pub(crate) containers: usize,
    pub(crate) images: Vec<String>,
    file: Option<String>,
    owner: Option<String>,
    /// Since when, in nanoseconds since 1970.
    since: i64,
    /// Its folder's name, and the run's id: not in the file.
    #[serde(skip)]
    uid: String,
    #[serde(skip)]
    run: String,
}

/// That a pod is being made, until the runtime knows it.
pub(super) struct MakingMark(std::path::PathBuf);

impl MakingMark {
    /// Without one, for want of room, others do not see the pod before it is there.
    pub(super) fn set(dir: &PodDir, pod: &Pod) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let made = PodBeingMade {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            containers: pod.containers.len()
                + pod.init_containers.iter().filter(|container| container.is_sidecar()).count(),
            images: images::names(pod),
            file: pod.metadata.file.clone(),
            owner: pod.metadata.owner.clone(),
            since: i64::try_from(since.as_nanos()).unwrap_or_default(),
            ..PodBeingMade::default()
        };
        let (path, own) = (dir.path.join(NAME), dir.path.join(".making.new"));
        let text = serde_json::to_vec(&made).unwrap_or_default();
        let _ = fs::write(&own, text).and_then(|()| fs::rename(&own, &path));
        Self(path)
    }
}

impl Drop for MakingMark {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl PodBeingMade {
    /// Whether this is what was [listed](Self::as_sandbox).
    pub(crate) fn is(&self, listed: &v1::PodSandbox) -> bool {
        listed.metadata.as_ref().is_some_and(|metadata| metadata.uid == self.uid)
    }

    /// As a runtime would list it, without an id.
    pub(crate) fn as_sandbox(&self, base: &Path) -> v1::PodSandbox {
        let dir = base.join(&self.uid).display().to_string();
        let known = [
            (labels::RUN_DIR, Some(dir)),
            (labels::RUN_ID, Some(self.run.clone())),
            (labels::RUN_FILE, self.file.clone()),
            (labels::WORKLOAD, self.owner.clone()),
        ];
        let annotations = known.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        let metadata = v1::PodSandboxMetadata {
            name: self.name.clone(),
            uid: self.uid.clone(),
            namespace: self.namespace.clone(),
            attempt: 0,
        };
        v1::PodSandbox {
            metadata: Some(metadata),
            state: v1::PodSandboxState::SandboxNotready.into(),
            created_at: self.since,
            annotations: annotations.collect::<BTreeMap<_, _>>(),
            ..Default::default()
        }
    }

    /// What is being made for this runtime below a folder of runs, with the folder. What can't be read is left out.
    pub(crate) async fn all(base: &Path, endpoint: &str) -> Vec<Self> {
        let (base, endpoint) = (base.to_owned(), endpoint.to_owned());
        off_thread(move || look_through(&base, &endpoint)).await.and_then(|found| found).unwrap_or_default()
    }
}

fn look_through(base: &Path, endpoint: &str) -> io::Result<Vec<PodBeingMade>> {
    let open = open_base(base)?;
    let mut found = Vec::new();
    for entry in Dir::read_from(&open)?.take(LEFTOVERS) {
        let entry = entry?;
        let Some(uid) = entry.file_name().to_str().ok().filter(|name| is_uid(name)) else { continue };
        let Ok(folder) = open_folder(&open, uid) else { continue };
        let Some(made) = read(&folder) else { continue };
        // One whose run was killed is made no further.
        if let Ok(FoundOwner::Lives(Some(facts))) = owner::look(&folder)
            && facts.endpoint == endpoint
        {
            found.push(PodBeingMade { uid: uid.to_owned(), run: facts.run, ..made });
        }
    }
    Ok(found)
}

fn read(folder: impl AsFd) -> Option<PodBeingMade> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(folder, NAME, flags, Mode::empty()).ok()?;
    let mut text = Vec::new();
    if !runs::is_own(&file, rustix::fs::FileType::RegularFile) {
        return None;
    }
    fs::File::from(file).take(BEING_MADE_BYTES).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::owner::OwnerFacts;
    use crate::targets;

    #[tokio::test]
    async fn a_pod_is_being_made_as_long_as_somebody_does_it() {
        let text = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: m, image: x}]}}";
        let (base, pod) = (tempfile::tempdir().unwrap(), crate::manifest::read(text).unwrap());
        let uid = "00000000-0000-4000-8000-000000000001";
        let facts = OwnerFacts { run: "ab".into(), endpoint: "/run/x.sock".into() };
        let (dir, owner) = PodDir::create(base.path(), (&pod, uid), &facts).unwrap();
        let all = async || PodBeingMade::all(base.path(), "/run/x.sock").await;
        assert_eq!(all().await, []);
        let mark = MakingMark::set(&dir, &pod);
        let found = all().await;
        assert_eq!((found[0].name.as_str(), found[0].containers, found.len()), ("a", 1, 1));
        assert_eq!(found[0].images.len(), 1);
        let sandbox = found[0].as_sandbox(base.path());
        assert_eq!(targets::run_of(&sandbox), Some((base.path().to_owned(), "ab".to_owned())));
        assert!(PodDir::of(&sandbox).is_some() && PodBeingMade::all(base.path(), "/run/other.sock").await.is_empty());
        drop(mark);
        assert_eq!(all().await, []);
        let _mark = MakingMark::set(&dir, &pod);
        drop(owner);
        assert_eq!(all().await, [], "its run was killed");
    }
}
