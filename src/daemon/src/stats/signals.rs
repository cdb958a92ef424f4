//! Between those who ask for samples and those who take them.

use tokio::sync::watch;

/// Clones share them.
#[derive(Clone)]
pub(super) struct Signals {
    asked: watch::Sender<()>,
    lacking: watch::Sender<()>,
    counted: watch::Sender<()>,
}

impl Default for Signals {
    fn default() -> Self {
        let sender = || watch::Sender::new(());
        Self { asked: sender(), lacking: sender(), counted: sender() }
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
    /// Somebody wants samples of what is counted only then.
    pub(super) fn ask(&self) {
        self.asked.send_replace(());
    }

    pub(super) fn asked(&self) -> Hearer {
        Hearer(self.asked.subscribe())
    }

    /// Somebody wants the sample of a layer that was never counted.
    pub(super) fn ask_for_layers(&self) {
        self.lacking.send_replace(());
    }

    pub(super) fn asked_for_layers(&self) -> Hearer {
        Hearer(self.lacking.subscribe())
    }

    /// A sample was taken.
    pub(super) fn tell_counted(&self) {
        self.counted.send_replace(());
    }

    pub(super) fn counted(&self) -> Hearer {
        Hearer(self.counted.subscribe())
    }
}
