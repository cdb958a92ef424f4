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

/// What a run is for by now.
pub(crate) struct RunWishes {
    pub(crate) workloads: Vec<Workload>,
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
        let reason = tokio::select! {
            Some(()) = asked.apply.recv() => ChangeReason::Applied,
            Some(()) = asked.leave.recv() => ChangeReason::Leave,
            () = FileWatch::changed(&mut watch) => ChangeReason::Saved,
        };
        let wished = match reason {
            ChangeReason::Saved => wishes.read(files),
            ChangeReason::Applied => {
                wishes.left.clear();
                wishes.read(files)
            }
            ChangeReason::Leave => {
                requests = record.requests();
                if requests.is_empty() {
                    // Answered with an earlier one, or given up: no reason to look at the files.
                    continue;
                }
                wishes.left.extend(requests.iter().flat_map(|(_, left)| left.iter().cloned()));
                Ok(wishes.remaining())
            }
        };
        if changes.send(WishChange { wishes: wished, reason }).await.is_err() {
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
        let LoadedManifest { workloads, objects, .. } = files.read().map_err(|error| format!("{error:#}"))?;
        if let Some(broken) = objects.broken_promise(&self.objects) {
            return Err(broken);
        }
        (self.workloads, self.objects) = (workloads, objects);
        Ok(self.remaining())
    }

    fn remaining(&self) -> Vec<Workload> {
        let stays = |workload: &&Workload| !self.left.contains(&NamedWorkload::of(workload));
        self.workloads.iter().filter(stays).cloned().collect()
    }
}
