//! The files of a running pod's volumes, whose ConfigMaps and Secrets say something else.

use tokio::sync::watch;

use super::launch::PodRun;
use super::voice::Voice;
use super::volume_error::VolumeError;
use super::volumes::{self, Renewed, VolumeTask};
use crate::manifest::Volume;

/// Where a pod hears of its volumes as they are wished.
pub(super) struct VolumeLine {
    wished: watch::Receiver<Vec<Volume>>,
    /// As they are, in the same order.
    known: Vec<Volume>,
    under_way: Option<VolumeTask<Renewed>>,
}

/// Where it is said.
pub(super) struct VolumeSpeaker(watch::Sender<Vec<Volume>>);

/// A line to a pod that is made with these.
pub(super) fn volume_line(volumes: &[Volume]) -> (VolumeSpeaker, VolumeLine) {
    let (sender, wished) = watch::channel(volumes.to_vec());
    (VolumeSpeaker(sender), VolumeLine { wished, known: volumes.to_vec(), under_way: None })
}

impl VolumeSpeaker {
    /// They are the same volumes, with other files.
    pub(super) fn wish(&self, volumes: Vec<Volume>) {
        self.0.send_if_modified(|wished| {
            let is_new = *wished != volumes;
            *wished = volumes;
            is_new
        });
    }
}

impl VolumeLine {
    /// Waits until something else is wished, and until the files of those volumes are replaced, on a thread of its own.
    /// Who stops waiting goes on with the next call.
    pub(super) async fn renewed(&mut self, run: &PodRun<'_>) -> Result<Renewed, VolumeError> {
        loop {
            if let Some(task) = &mut self.under_way {
                let renewed = task.done().await;
                self.under_way = None;
                return renewed;
            }
            if self.wished.changed().await.is_err() {
                // Nobody wishes anything any more.
                std::future::pending::<()>().await;
            }
            let wished = self.wished.borrow_and_update().clone();
            self.under_way = Some(volumes::renew(run, self.known.clone(), wished));
        }
    }

    /// Tells what came of it. What has failed is tried again with the next wish.
    pub(super) async fn tell(&mut self, renewed: Result<Renewed, VolumeError>, voice: &Voice) {
        for one in renewed.unwrap_or_else(|error| vec![Err(error)]) {
            match one {
                Ok(volume) => {
                    voice.note(format_args!("the files of volume {} are replaced", volume.name)).await;
                    if let Some(known) = self.known.iter_mut().find(|known| known.name == volume.name) {
                        *known = volume;
                    }
                }
                Err(error) => voice.note(peapod_text::chain(&error)).await,
            }
        }
    }

    /// Replaces no more of them: the pod's folder can be removed then, unless a disk hangs.
    pub(super) async fn give_up(self) {
        if let Some(task) = self.under_way {
            task.give_up().await;
        }
    }
}
