//! Between those who ask for samples and those who take them.

use tokio::sync::watch;

/// Clones share them.
#[derive(Clone)]
pub(super) struct Signals {
    asked: watch::Sender<()>,
    counted: watch::Sender<()>,
}

impl Default for Signals {
    fn default() -> Self {
        Self { asked: watch::Sender::new(()), counted: watch::Sender::new(()) }
    }
}

/// Hears a signal also if it came while nobody waited for it.
pub(super) struct Hearer(watch::Receiver<()>);

impl Hearer {
    /// Waits for the next signal: those since the last one are one.
    pub(super) async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody is left who could give one.
            std::future::pending::<()>().await;
        }
    }
}

impl Signals {
    /// Somebody wants samples.
    pub(super) fn ask(&self) {
        self.asked.send_replace(());
    }

    pub(super) fn asked(&self) -> Hearer {
        Hearer(self.asked.subscribe())
    }

    /// A sample was taken.
    pub(super) fn tell_counted(&self) {
        self.counted.send_replace(());
    }

    pub(super) fn counted(&self) -> Hearer {
        Hearer(self.counted.subscribe())
    }
}
