//! Plugins that were closed because they do not do as they should, and how long they stay away. Each of these costs
//! what waits for it a time-out; one that came back at once each time would cost one after the other. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::bounds::FAULTY;
use crate::name::PluginName;

/// After the first fault; each time twice as long.
const FIRST: Duration = Duration::from_secs(1);
/// At most.
const LAST: Duration = Duration::from_secs(60);
/// After which faults are forgotten.
const FORGOTTEN: Duration = Duration::from_secs(300);

/// By name: whoever connects again under another one is another plugin.
#[derive(Debug, Default)]
pub(crate) struct Faults(BTreeMap<PluginName, PluginFaults>);

#[derive(Debug)]
struct PluginFaults {
    last: Instant,
    /// From then on.
    pause: Duration,
}

impl Faults {
    /// A plugin was closed.
    pub(crate) fn add(&mut self, name: &PluginName, now: Instant) {
        self.0.retain(|_, faults| now.duration_since(faults.last) < FORGOTTEN);
        let before = self.0.remove(name).map(|faults| faults.pause);
        if self.0.len() >= FAULTY {
            let oldest = self.0.iter().min_by_key(|(_, faults)| faults.last).map(|(name, _)| name.clone());
            oldest.and_then(|oldest| self.0.remove(&oldest));
        }
        let pause = before.map_or(FIRST, |pause| (pause * 2).min(LAST));
        self.0.insert(name.clone(), PluginFaults { last: now, pause });
    }

    /// How long it has to stay away still.
    pub(crate) fn pause(&self, name: &PluginName, now: Instant) -> Option<Duration> {
        let faults = self.0.get(name)?;
        faults.pause.checked_sub(now.duration_since(faults.last)).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_back_and_fails_stays_away_longer_each_time() {
        let (mut faults, mut now) = (Faults::default(), Instant::now());
        let name = PluginName::of_file("10-a").unwrap();
        assert_eq!(faults.pause(&name, now), None);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            faults.add(&name, now);
            assert_eq!(faults.pause(&name, now), Some(Duration::from_secs(seconds)));
            assert_eq!(faults.pause(&PluginName::of_file("10-b").unwrap(), now), None);
            now += Duration::from_secs(seconds);
            assert_eq!(faults.pause(&name, now), None);
        }
        now += FORGOTTEN;
        faults.add(&name, now);
        assert_eq!(faults.pause(&name, now), Some(FIRST));
    }

    #[test]
    fn so_many_are_remembered() {
        let (mut faults, now) = (Faults::default(), Instant::now());
        for number in 0..10 * FAULTY {
            let name = PluginName::new("10", &number.to_string()).unwrap();
            faults.add(&name, now + Duration::from_millis(u64::try_from(number).unwrap()));
        }
        assert_eq!(faults.0.len(), FAULTY);
    }
}
