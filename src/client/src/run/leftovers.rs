//! What killed `peapod run`s have left: folders of pods that nobody looks after any more and that no runtime knows,
//! with Secrets in them; and records of such runs. A pod that its runtime still has keeps its folder, for `peapod
//! down`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::Path;

use futures_util::future::join_all;
use peapod_api::v1;
use rustix::fs::{AtFlags, Dir};

use super::kernel_mounts;
use super::name_claim;
use super::off_thread::off_thread;
use crate::bounds::{LEFTOVER_ANSWER, LEFTOVER_RUNTIMES, LEFTOVERS};
use crate::connect::CriClient;
use crate::runs::owner::{self, FoundOwner, OWNER, OwnerFacts};
use crate::runs::{is_uid, open_base, open_folder};
use crate::{labels, runs, select};

/// The pods of each runtime that answers, by its socket.
type PodsThere = BTreeMap<String, Vec<v1::PodSandbox>>;

/// A folder whose owner is gone.
struct LeftFolder {
    /// The pod's uid, which is the folder's name.
    uid: String,
    facts: OwnerFacts,
}

/// What was found below a folder of runs.
#[derive(Default)]
struct FoundFolders {
    left: Vec<LeftFolder>,
    /// Runs that live or of which a folder is left.
    runs: BTreeSet<String>,
    /// Whether these are all.
    is_complete: bool,
}

/// Removes what nobody needs any more below a folder of runs; answers what can't be removed, and why.
pub(crate) async fn sweep(connection: &CriClient, base: &Path) -> Vec<String> {
    let at = base.to_owned();
    let found = off_thread(move || look_through(&at)).await.and_then(|found| found);
    // That it can't be read, as it is not there or another user's, is no reason to say anything: nor could we remove.
    let Ok(found) = found else { return Vec::new() };
    let there = ask(connection, &found.left).await;
    let at = base.to_owned();
    off_thread(move || found.remove(&at, &there)).await.unwrap_or_default()
}

/// The pods of all runtimes that the folders name. One that does not answer is missing.
async fn ask(connection: &CriClient, left: &[LeftFolder]) -> PodsThere {
    let named: BTreeSet<&String> = left.iter().map(|folder| &folder.facts.endpoint).collect();
    let others = named.into_iter().filter(|endpoint| **endpoint != connection.endpoint).take(LEFTOVER_RUNTIMES);
    let own = async { Some((connection.endpoint.clone(), select::pods(connection).await.ok()?)) };
    let others = join_all(others.map(|endpoint| async move {
        let asked = async { select::pods(&CriClient::try_open(endpoint).await.ok()?).await.ok() };
        Some((endpoint.clone(), tokio::time::timeout(LEFTOVER_ANSWER, asked).await.ok()??))
    }));
    let (own, others) = tokio::join!(own, others);
    others.into_iter().chain([own]).flatten().collect()
}

/// Looks whose the folders are.
fn look_through(base: &Path) -> io::Result<FoundFolders> {
    let open = open_base(base)?;
    // What can't be removed of them keeps nobody from a name.
    let _ = name_claim::forget_lost(base);
    let mut found = FoundFolders { is_complete: true, ..FoundFolders::default() };
    let mut looked_at = 0;
    for entry in Dir::read_from(&open)? {
        let entry = entry?;
        let Some(uid) = entry.file_name().to_str().ok().filter(|name| is_uid(name)) else { continue };
        looked_at += 1;
        if looked_at > LEFTOVERS {
            found.is_complete = false;
            break;
        }
        // What is no folder, can't be opened or has just gone is nobody's business.
        let Ok(folder) = open_folder(&open, uid) else { continue };
        match owner::look(&folder) {
            Ok(FoundOwner::Lives(facts)) => found.runs.extend(facts.map(|facts| facts.run)),
            Ok(FoundOwner::Gone(facts, _)) => found.left.push(LeftFolder { uid: uid.to_owned(), facts }),
            Ok(FoundOwner::Silent(lock)) => remove_silent(&open, &folder, uid, &lock),
            Ok(FoundOwner::Nobody) => remove_empty(&open, uid),
            Err(_) => found.is_complete = false,
        }
    }
    Ok(found)
}

/// Of one that died before it wrote who it is nothing else is there.
fn remove_silent(base: &File, folder: &File, uid: &str, _lock: &File) {
    let is_alone = Dir::read_from(folder).is_ok_and(|mut entries| {
        entries.all(|entry| entry.is_ok_and(|entry| matches!(entry.file_name().to_str(), Ok("." | ".." | OWNER))))
    });
    if is_alone && rustix::fs::unlinkat(folder, OWNER, AtFlags::empty()).is_ok() {
        remove_empty(base, uid);
    }
}

/// Whoever is about to write into it makes it anew.
fn remove_empty(base: &File, uid: &str) {
    // One that is not empty is of an older peapod, or has got its owner this moment.
    let _ = rustix::fs::unlinkat(base, uid, AtFlags::REMOVEDIR);
}

impl FoundFolders {
    fn remove(mut self, base: &Path, there: &PodsThere) -> Vec<String> {
        let mut problems = Vec::new();
        for LeftFolder { uid, facts } in std::mem::take(&mut self.left) {
            let is_of = |pod: &v1::PodSandbox| pod.metadata.as_ref().is_some_and(|metadata| metadata.uid == uid);
            let is_wanted = there.get(&facts.endpoint).is_none_or(|pods| pods.iter().any(is_of));
            if is_wanted || !remove_left(base, &uid, &mut problems) {
                self.runs.insert(facts.run);
            }
        }
        if self.is_complete {
            let pods = there.values().flatten();
            self.runs.extend(pods.filter_map(|pod| pod.annotations.get(labels::RUN_ID).cloned()));
            runs::forget_lost(base, &self.runs);
        }
        problems
    }
}

/// Removes a folder, unless somebody else does; whether it is gone.
fn remove_left(base: &Path, uid: &str, problems: &mut Vec<String>) -> bool {
    let path = base.join(uid);
    let opened = open_base(base).and_then(|base| Ok((open_folder(&base, uid)?, base)));
    let removed = opened.and_then(|(folder, base)| match owner::look(&folder)? {
        // The lock keeps others away until all is gone.
        FoundOwner::Gone(_, _lock) => {
            kernel_mounts::unmount_below(&path)?;
            peapod_sys::remove_tree_at(&base, uid.as_bytes())?;
            Ok(true)
        }
        _ => Ok(false),
    });
    removed.unwrap_or_else(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            return true;
        }
        problems.push(format!(
            "cannot remove {}, which a killed `peapod run` has left; the next command tries it again: {error}",
            path.display()
        ));
        false
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::fake::Fake;
    use crate::runs::PreparedRun;
    use crate::runs::owner::FolderOwner;

    /// Folders of pods, beside a runtime.
    struct Left {
        dir: tempfile::TempDir,
        connection: CriClient,
    }

    fn uid(number: u32) -> String {
        format!("00000000-0000-4000-8000-{number:012}")
    }

    impl Left {
        async fn new(fake: &Fake) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let connection = CriClient::open(&fake.serve(dir.path())).await.unwrap();
            Self { dir, connection }
        }

        fn base(&self) -> std::path::PathBuf {
            self.dir.path().join("base")
        }

        /// One with a file in it.
        fn folder(&self, number: u32, run: &str, endpoint: &str) -> FolderOwner {
            let facts = OwnerFacts { run: run.into(), endpoint: endpoint.into() };
            let folder = self.base().join(uid(number));
            let owner = FolderOwner::claim(&folder, &facts).unwrap();
            fs::create_dir(folder.join("volumes")).unwrap();
            fs::write(folder.join("volumes/secret"), "hidden").unwrap();
            owner
        }

        /// A record of a run that was killed.
        fn killed(&self, run: &str) {
            let folder = PreparedRun::make(&self.base(), run).unwrap().folder;
            fs::write(folder.join("run.json"), r#"{"pid": 1234}"#).unwrap();
        }

        fn names(&self, folder: &str) -> Vec<String> {
            let entries = fs::read_dir(self.base().join(folder)).into_iter().flatten().flatten();
            let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    #[tokio::test]
    async fn what_nobody_needs_goes_and_all_else_stays() {
        let fake = Fake::default();
        let left = Left::new(&fake).await;
        let here = left.connection.endpoint.clone();
        let metadata = v1::PodSandboxMetadata { uid: uid(3), ..Default::default() };
        let config = v1::PodSandboxConfig { metadata: Some(metadata), ..Default::default() };
        fake.state(|state| state.pods.insert("known".into(), (config, true)));
        drop((left.folder(1, "aa", &here), left.folder(3, "bb", &here), left.folder(4, "cc", "/nowhere.sock")));
        let _lives = left.folder(2, "dd", &here);
        // Ends before anything was in them, and a folder of an older peapod.
        fs::create_dir(left.base().join(uid(5))).unwrap();
        fs::create_dir(left.base().join(uid(6))).unwrap();
        fs::write(left.base().join(uid(6)).join(OWNER), "").unwrap();
        fs::create_dir_all(left.base().join(uid(7)).join("logs")).unwrap();
        // Links are no folders of ours.
        let outside = tempfile::tempdir().unwrap();
        fs::rename(left.base().join(uid(1)), outside.path().join("1")).unwrap();
        symlink(outside.path().join("1"), left.base().join(uid(8))).unwrap();
        drop(left.folder(1, "aa", &here));
        fs::create_dir(left.base().join("claims")).unwrap();
        for run in ["aa", "bb", "cc", "dd", "ee"] {
            left.killed(run);
        }
        let is_left = |run: &str| runs::is_left(&left.base(), run);
        assert!(is_left("aa") && is_left("bb") && is_left("dd") && !is_left("ee"));
        assert_eq!(sweep(&left.connection, &left.base()).await, Vec::<String>::new());
        let stays = [uid(2), uid(3), uid(4), uid(7), uid(8), "claims".into(), "runs".into()];
        assert_eq!(left.names("."), stays);
        assert_eq!(left.names("runs"), ["bb", "cc", "dd"]);
        assert_eq!(fs::read_to_string(outside.path().join("1/volumes/secret")).unwrap(), "hidden");
        assert_eq!(fs::read_to_string(left.base().join(uid(2)).join("volumes/secret")).unwrap(), "hidden");
    }

    #[tokio::test]
    async fn a_folder_of_everybodys_is_not_looked_into() {
        let fake = Fake::default();
        let left = Left::new(&fake).await;
        let here = left.connection.endpoint.clone();
        drop(left.folder(1, "aa", &here));
        // Everybody may have written what is in it.
        fs::set_permissions(left.base(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        sweep(&left.connection, &left.base()).await;
        assert_eq!(left.names("."), [uid(1)]);
        fs::set_permissions(left.base(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        sweep(&left.connection, &left.base()).await;
        assert_eq!(left.names("."), Vec::<String>::new());
        assert!(sweep(&left.connection, &left.dir.path().join("none")).await.is_empty());
    }

    #[test]
    fn a_folder_is_claimed_while_others_remove_what_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let facts = OwnerFacts { run: "ab".into(), endpoint: "/run/x.sock".into() };
        let (done, base) = (AtomicBool::new(false), dir.path());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    look_through(base).unwrap();
                }
            });
            for number in 0..500 {
                let folder = base.join(uid(number));
                let owner = FolderOwner::claim(&folder, &facts).unwrap();
                assert_eq!(fs::read(folder.join(OWNER)).unwrap(), serde_json::to_vec(&facts).unwrap());
                drop(owner);
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
