//! Whether installed plugins have had their first chance: what is made before that would be made without them.

use tokio::sync::watch;

/// How many of them have not been started yet, or have not been let in.
#[derive(Debug, Default)]
pub(crate) struct Starting(watch::Sender<usize>);

/// One that is being started. Dropped, it has had its chance.
#[derive(Debug)]
pub(crate) struct FirstChance(watch::Sender<usize>);

impl Starting {
    /// One more is waited for.
    pub(crate) fn begin(&self) -> FirstChance {
        self.0.send_modify(|count| *count += 1);
        FirstChance(self.0.clone())
    }

    pub(crate) fn is_over(&self) -> bool {
        *self.0.borrow() == 0
    }

    pub(crate) async fn over(&self) {
        // There is a sender: this one.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Drop for FirstChance {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}
