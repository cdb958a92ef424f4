//! Tells a run that its manifests say something else now.

use std::convert::Infallible;

use tokio::signal::unix::Signal;
use tokio::sync::mpsc;

use crate::file_watch::FileWatch;
use crate::manifest::{LoadedManifest, Objects};
use crate::run::WishChange;
use crate::run_files::RunFiles;

/// Reads the files again at each signal, and when they are saved if they are watched.
pub(crate) async fn follow(
    (files, mut objects): (&RunFiles, Objects),
    mut asked: Signal,
    mut watch: Option<FileWatch>,
    changes: mpsc::Sender<WishChange>,
) -> Infallible {
    loop {
        let is_asked_for = tokio::select! {
            Some(()) = asked.recv() => true,
            () = FileWatch::changed(&mut watch) => false,
        };
        let wishes = match files.read() {
            Err(error) => Err(format!("{error:#}")),
            Ok(LoadedManifest { workloads, objects: new, .. }) => match new.broken_promise(&objects) {
                Some(broken) => Err(broken),
                None => {
                    objects = new;
                    Ok(workloads)
                }
            },
        };
        if changes.send(WishChange { wishes, is_asked_for }).await.is_err() {
            // The run is over.
            return std::future::pending().await;
        }
    }
}
