//! What others ask of a run: to let something go without ending. Each request is a file in the run's folder.

use std::io;
use std::path::Path;

use super::folder::{RUNS, RunFolder, read};
use super::record::{KnownRun, RunRecord};
use super::subjects::{RunSubjects, SUBJECTS};
use crate::bounds::LEAVE_REQUESTS;
use crate::manifest_files::NamedWorkload;

/// What the names of requests begin with.
const LEAVE: &str = "leave.";

impl KnownRun {
    /// What there is to say of a process that was suspended, by Ctrl-Z for example: it does nothing that is asked.
    pub(crate) fn suspended(&self) -> Option<String> {
        let pid = self.pid;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Behind the name, which may have anything in it.
        let state = stat.rsplit_once(") ")?.1.chars().next()?;
        (state == 'T').then(|| {
            format!("waiting for process {pid}, which looks after these pods and is suspended: `kill -CONT {pid}` lets it go on")
        })
    }

    /// Whether its pods are, or are to be, of the runtime at that socket.
    pub(crate) fn is_at(&self, endpoint: &str) -> bool {
        self.subjects.endpoint.is_empty() || self.subjects.endpoint == endpoint
    }
}

impl RunRecord {
    /// Writes down what it looks after from now on.
    pub(crate) fn looks_after(&self, subjects: &RunSubjects) -> io::Result<()> {
        self.put(SUBJECTS, &serde_json::to_vec(subjects)?)
    }

    /// What others ask it to let go: requests by their names, to be [answered](Self::answer).
    pub(crate) fn requests(&self) -> Vec<(String, Vec<NamedWorkload>)> {
        let Some(folder) = RunFolder::open(self.base(), &self.id) else { return Vec::new() };
        let Ok(entries) = self.folder().read_dir() else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<_> = names.filter(|name| name.starts_with(LEAVE)).take(LEAVE_REQUESTS).collect();
        names.sort();
        // One that can't be read asks for nothing, and is answered so.
        let wanted = |name: &str| folder.file(name).and_then(|file| read(&file)).unwrap_or_default();
        names.into_iter().map(|name| (name.clone(), wanted(&name))).collect()
    }

    /// That was done.
    pub(crate) fn answer(&self, request: &str) {
        // Without it who asked waits a while longer.
        let _ = std::fs::remove_file(self.folder().join(request));
    }
}

/// A request to a run, which is there until the run has answered it.
pub(crate) struct LeaveRequest {
    base: std::path::PathBuf,
    id: String,
    name: String,
}

impl LeaveRequest {
    /// Asks a run to let some of its workloads go, once it is signalled.
    pub(crate) fn write(base: &Path, id: &str, wanted: &[NamedWorkload]) -> io::Result<Self> {
        let request = Self { base: base.to_owned(), id: id.to_owned(), name: format!("{LEAVE}{}", std::process::id()) };
        RunFolder::open(base, id).ok_or(io::ErrorKind::NotFound)?;
        let folder = base.join(RUNS).join(id);
        let own = folder.join(format!("new.{}", std::process::id()));
        std::fs::write(&own, serde_json::to_vec(wanted)?)?;
        std::fs::rename(&own, folder.join(&request.name))?;
        Ok(request)
    }

    /// Whether the run has done it, or is gone.
    pub(crate) fn is_answered(&self) -> bool {
        RunFolder::open(&self.base, &self.id).is_none_or(|folder| folder.file(&self.name).is_none())
    }
}

impl Drop for LeaveRequest {
    fn drop(&mut self) {
        if RunFolder::open(&self.base, &self.id).is_some() {
            let _ = std::fs::remove_file(self.base.join(RUNS).join(&self.id).join(&self.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::{KnownWorkload, known};

    #[test]
    fn a_request_is_there_until_it_is_answered() {
        let dir = tempfile::tempdir().unwrap();
        let own = RunRecord::begin(dir.path(), "ab", Default::default(), Default::default()).unwrap();
        let named = NamedWorkload { kind: "Job".into(), namespace: "default".into(), name: "work".into() };
        let workload = KnownWorkload {
            named: named.clone(),
            file: Some("/a.yaml".into()),
            is_over: false,
            ended_as: None,
            done: 0,
        };
        let subjects = RunSubjects { endpoint: "/x.sock".into(), workloads: vec![workload] };
        own.looks_after(&subjects).unwrap();
        assert_eq!(known(dir.path(), "ab").unwrap().subjects, subjects);
        let request = LeaveRequest::write(dir.path(), "ab", std::slice::from_ref(&named)).unwrap();
        let found = own.requests();
        assert_eq!(found.iter().map(|(_, wanted)| wanted.as_slice()).collect::<Vec<_>>(), [[named.clone()]]);
        assert!(!request.is_answered());
        own.answer(&found[0].0);
        assert!(request.is_answered() && own.requests().is_empty());
        drop(LeaveRequest::write(dir.path(), "ab", std::slice::from_ref(&named)).unwrap());
        assert!(own.requests().is_empty(), "nobody waits for it any more");
        drop(own);
        assert!(LeaveRequest::write(dir.path(), "ab", &[named]).is_err() && request.is_answered());
    }
}
