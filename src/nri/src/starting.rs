//! Whether installed plugins have had their first chance: what is made before that would be made without them.

use tokio::sync::watch;

/// How many of them have not been started yet, or have not been let in.
#[derive(Debug, Default)]
pub(crate) struct PluginStarts(watch::Sender<usize>);

/// One that is being started. Dropped, it has had its chance.
#[derive(Debug)]
pub(crate) struct FirstChance(watch::Sender<usize>);

impl PluginStarts {
    /// One more is waited for.
    pub(crate) fn begin(&self) -> FirstChance {
        self.0.send_modify(|count| *count += 1);
        FirstChance(self.0.clone())
    }

    /// Nobody waits for them any more.
    pub(crate) fn give_up(&self) {
        self.0.send_replace(0);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_over_when_each_has_had_its_chance_or_nobody_waits_any_more() {
        let starting = PluginStarts::default();
        assert!(starting.is_over());
        let (one, two) = (starting.begin(), starting.begin());
        drop(one);
        assert!(!starting.is_over());
        drop(two);
        assert!(starting.is_over());
        let late = starting.begin();
        starting.give_up();
        assert!(starting.is_over());
        drop(late);
        assert!(starting.is_over());
    }
}
