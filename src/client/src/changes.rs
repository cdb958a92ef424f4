//! Tells a run that its manifests say something else now, or that somebody takes a part of it down.

use std::collections::BTreeSet;
use std::convert::Infallible;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::file_watch::FileWatch;
use crate::manifest::{LoadedManifest, Objects, Workload};
use crate::manifest_files::NamedWorkload;
use crate::run::{ChangeReason, WishChange};
use crate::run_files::RunFiles;
use crate::runs::RunRecord;

/// What others ask of a run. To be listened to before anybody can find the run.
pub(crate) struct RunRequests {
    /// To read its files again.
    apply: Signal,
    /// To let something go.
    leave: Signal,
}

impl RunRequests {
    /// Listens.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self { apply: signal(SignalKind::user_defined1())?, leave: signal(SignalKind::user_defined2())? })
    }
}

/// What is known of a run's files.
pub(crate) struct RunWishes {
    pub(crate) objects: Objects,
    /// What was taken down of it, until somebody applies the files.
    pub(crate) left: BTreeSet<NamedWorkload>,
}

/// Reads the files again when somebody asks, and when they are saved if they are watched; lets go what somebody takes
/// down.
pub(crate) async fn follow(
    (files, mut wishes): (&RunFiles, RunWishes),
    record: &RunRecord,
    (mut asked, mut watch): (RunRequests, Option<FileWatch>),
    changes: mpsc::Sender<WishChange>,
) -> Infallible {
    loop {
        let mut requests = Vec::new();
        let change = tokio::select! {
            Some(()) = asked.apply.recv() => {
                wishes.left.clear();
                WishChange::Wished { wishes: wishes.read(files), reason: ChangeReason::Applied }
            }
            Some(()) = asked.leave.recv() => {
                requests = record.requests();
                if requests.is_empty() {
                    // Answered with an earlier one, or given up.
                    continue;
                }
                let left: BTreeSet<_> = requests.iter().flat_map(|(_, left)| left.iter().cloned()).collect();
                wishes.left.extend(left.iter().cloned());
                WishChange::Left(left)
            }
            () = FileWatch::changed(&mut watch) => {
                WishChange::Wished { wishes: wishes.read(files), reason: ChangeReason::Saved }
            }
        };
        if changes.send(change).await.is_err() {
            // The run is over.
            return std::future::pending().await;
        }
        // There is room again once the change was taken, and what is taken is carried out.
        let _ = changes.reserve().await;
        requests.iter().for_each(|(request, _)| record.answer(request));
    }
}

impl RunWishes {
    /// What the files say by now.
    fn read(&mut self, files: &RunFiles) -> Result<Vec<Workload>, String> {
        let LoadedManifest { workloads, objects, .. } =
            files.read().map_err(|error| peapod_text::chain(error.as_ref()))?;
        if let Some(broken) = objects.broken_promise(&self.objects) {
            return Err(broken);
        }
        self.objects = objects;
        let stays = |workload: &Workload| !self.left.contains(&NamedWorkload::of(workload));
        Ok(workloads.into_iter().filter(stays).collect())
    }
}
