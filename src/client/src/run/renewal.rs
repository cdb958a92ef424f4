//! The files of a running pod's volumes, whose ConfigMaps and Secrets say something else.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::voice::Voice;
use super::volume_error::VolumeError;
use super::volumes::{Renewed, VolumeTask};
use crate::manifest::Volume;

/// How soon what has failed is tried again, and said again if it is for another reason: a disk may have room by then.
const RETRY: Duration = Duration::from_secs(30);

/// Where a pod hears of its volumes as they are wished.
pub(super) struct VolumeLine {
    wished: watch::Receiver<Vec<Volume>>,
    /// As they are, in the same order.
    known: Vec<Volume>,
    state: RenewalState,
    /// What was said of the last failure.
    said: String,
}

enum RenewalState {
    /// As far as anybody has wished.
    Done,
    UnderWay(VolumeTask<Renewed>),
    /// Not all is as it was wished; then it is tried again.
    Failed(Instant),
}

/// Where it is said.
pub(super) struct VolumeSpeaker(watch::Sender<Vec<Volume>>);

/// A line to a pod that is made with these.
pub(super) fn volume_line(volumes: &[Volume]) -> (VolumeSpeaker, VolumeLine) {
    let (sender, wished) = watch::channel(volumes.to_vec());
    (
        VolumeSpeaker(sender),
        VolumeLine { wished, known: volumes.to_vec(), state: RenewalState::Done, said: String::new() },
    )
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
    /// Waits until something else is wished, or what failed is to be tried again, and until the files of those volumes
    /// are replaced, which `begin` begins from those that are known and those that are wished. Who stops waiting goes
    /// on with the next call.
    pub(super) async fn renewed(
        &mut self,
        begin: impl Fn(Vec<Volume>, Vec<Volume>) -> VolumeTask<Renewed>,
    ) -> Result<Renewed, VolumeError> {
        loop {
            match &mut self.state {
                RenewalState::UnderWay(task) => {
                    let renewed = task.done().await;
                    self.state = RenewalState::Done;
                    return renewed;
                }
                RenewalState::Done => another(&mut self.wished).await,
                RenewalState::Failed(again) => {
                    // Either is a reason to try.
                    let _ = tokio::time::timeout_at(*again, another(&mut self.wished)).await;
                }
            }
            let wished = self.wished.borrow_and_update().clone();
            self.state = RenewalState::UnderWay(begin(self.known.clone(), wished));
        }
    }

    /// Tells what came of it.
    pub(super) async fn tell(&mut self, renewed: Result<Renewed, VolumeError>, voice: &Voice) {
        let mut failures = Vec::new();
        for one in renewed.unwrap_or_else(|error| vec![Err(error)]) {
            match one {
                Ok(volume) => {
                    voice.note(format_args!("the files of volume {} are replaced", volume.name)).await;
                    if let Some(known) = self.known.iter_mut().find(|known| known.name == volume.name) {
                        *known = volume;
                    }
                }
                Err(error) => failures.push(peapod_text::chain(&error).to_string()),
            }
        }
        let text = failures.join("; ");
        if !failures.is_empty() {
            self.state = RenewalState::Failed(Instant::now() + RETRY);
            if text != self.said {
                voice.note(format_args!("{text}; it is tried again every {} s", RETRY.as_secs())).await;
            }
        }
        self.said = text;
    }

    /// Replaces no more of them: the pod's folder can be removed then, unless a disk hangs.
    pub(super) async fn give_up(self) {
        if let RenewalState::UnderWay(task) = self.state {
            task.give_up().await;
        }
    }
}

/// Something else is wished; never, once nobody wishes anything any more.
async fn another(wished: &mut watch::Receiver<Vec<Volume>>) {
    if wished.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::manifest::VolumeSource;

    #[tokio::test(start_paused = true)]
    async fn what_failed_is_tried_again() {
        let volume = Volume { name: "a".into(), source: VolumeSource::EmptyDir { mode: 0o777 } };
        let (_speaker, mut line) = volume_line(&[volume]);
        line.state = RenewalState::Failed(Instant::now() + RETRY);
        let begun = Mutex::new(0);
        let renewed = line.renewed(|_, wished| {
            *begun.lock().unwrap() += 1;
            VolumeTask::of(Ok(wished.into_iter().map(Ok).collect()))
        });
        assert_eq!(renewed.await.unwrap().len(), 1);
        assert_eq!(*begun.lock().unwrap(), 1);
    }
}
