//! How a pod is, in a small file of its directory, for `peapod ps` and scripts.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::machine::{LifePhase, MemberKind, PodReport};
use crate::bounds::REPORT_BYTES;

/// The file's name in the pod's directory.
pub(super) const NAME: &str = "status.json";

/// What the `peapod run` of a pod said of it last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunReport {
    pub(crate) phase: LifePhase,
    /// Why the pod has failed, if not because of a container.
    pub(crate) reason: Option<String>,
    /// All init containers have done their work.
    pub(crate) initialized: bool,
    /// All containers are ready, and so is the pod.
    pub(crate) ready: bool,
    /// Init containers and sidecars, then the others.
    pub(crate) containers: Vec<ReportedContainer>,
}

/// A container of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReportedContainer {
    pub(crate) name: String,
    /// It has to end before others begin.
    #[serde(default)]
    pub(crate) init: bool,
    /// Waiting, Running, Terminating, Terminated or CrashLoopBackOff.
    pub(crate) state: String,
    pub(crate) started: bool,
    pub(crate) ready: bool,
    pub(crate) restarts: u32,
    /// Of its last run that has ended.
    pub(crate) exit_code: Option<i32>,
    /// What that left as its termination message.
    pub(crate) message: Option<String>,
}

impl RunReport {
    /// The same once all of it has ended well, which nobody has seen.
    pub(super) fn ended(mut self) -> Self {
        self.ready = false;
        for container in &mut self.containers {
            (container.state, container.ready) = ("Terminated".to_owned(), false);
        }
        self.phase = LifePhase::Succeeded;
        self
    }

    /// `messages` are those of the containers, in their order.
    pub(super) fn new(report: &PodReport, messages: &[String]) -> Self {
        let containers = report.members.iter().enumerate().map(|(index, member)| ReportedContainer {
            name: member.name.clone(),
            init: member.kind == MemberKind::Init,
            state: member.state.to_owned(),
            started: member.has_started,
            ready: member.is_ready,
            restarts: member.restarts,
            exit_code: member.exit_code,
            message: messages.get(index).filter(|text| !text.is_empty()).cloned(),
        });
        Self {
            phase: report.phase,
            reason: report.reason.map(str::to_owned),
            initialized: report.is_initialized,
            ready: report.is_ready,
            containers: containers.collect(),
        }
    }

    /// Replaces the file in a pod's directory.
    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        let new = dir.join(format!(".{NAME}.new"));
        fs::write(&new, serde_json::to_vec(self)?)?;
        fs::rename(new, dir.join(NAME))
    }

    /// Reads that of a pod's directory; nothing if there is none that can be read.
    pub(crate) fn read(dir: &Path) -> Option<Self> {
        let mut text = Vec::new();
        File::open(dir.join(NAME)).ok()?.take(REPORT_BYTES).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(RunReport::read(dir.path()), None);
        let container = ReportedContainer {
            name: "a".into(),
            init: false,
            state: "Running".into(),
            started: true,
            ready: false,
            restarts: 2,
            exit_code: Some(3),
            message: Some("no room".into()),
        };
        let report = RunReport {
            phase: LifePhase::Running,
            reason: None,
            initialized: true,
            ready: false,
            containers: vec![container],
        };
        report.write(dir.path()).unwrap();
        assert_eq!(RunReport::read(dir.path()), Some(report));
        fs::write(dir.path().join(NAME), "{").unwrap();
        assert_eq!(RunReport::read(dir.path()), None);
    }
}
