//! What the store of images counts of its own work.

use crate::bounds::MEASURED_HOSTS;
use crate::error::PullError;
use arc_swap::ArcSwap;
use peapod_measure::{Counter, CounterSet, Gauge, GaugeHold, Histogram};
use peapod_text::{EXCERPT_BYTES, shortened};
use std::sync::Arc;
use std::time::Instant;

/// Upper bounds, in seconds: from an image that is here to many gigabytes over a slow line.
const PULL_SECONDS: &[f64] =
    &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];

/// Of the pulls of this node. Clones share it.
#[derive(Clone, Debug)]
pub struct ImageMeasures {
    /// Pulls that go on; equal ones are one.
    pub running: Gauge,
    /// Pulls that succeeded.
    pub pulls: Histogram,
    /// Pulls that failed, by the kind of failure.
    pub failures: CounterSet,
    /// Calls that joined a pull that was going on.
    pub pull_joins: Counter,
    /// Pulls that joined another one's fetch of a layer.
    pub layer_joins: Counter,
    /// Bytes of layers that came.
    pub fetched: FetchedBytes,
    /// Layers that were fetched, verified and unpacked.
    pub layers: Histogram,
    /// Bytes that these take on disk.
    pub unpacked: Counter,
}

impl ImageMeasures {
    /// With what counts who joins pulls, and fetches of layers.
    pub(crate) fn new(pull_joins: Counter, layer_joins: Counter) -> Self {
        Self {
            running: Gauge::default(),
            pulls: Histogram::new(PULL_SECONDS),
            failures: CounterSet::new(&KINDS),
            pull_joins,
            layer_joins,
            fetched: FetchedBytes::default(),
            layers: Histogram::new(PULL_SECONDS),
            unpacked: Counter::default(),
        }
    }

    /// A pull failed, or could not begin.
    pub(crate) fn failed(&self, error: &PullError) {
        self.failures.increment(kind(error));
    }

    /// Does a pull and counts it. One that is dropped was cancelled.
    pub(crate) async fn pull<T>(&self, pull: impl Future<Output = Result<T, PullError>>) -> Result<T, PullError> {
        let mut running = RunningPull { measures: self, ended: false, _hold: self.running.hold() };
        let began = Instant::now();
        let outcome = pull.await;
        running.ended = true;
        match &outcome {
            Ok(_) => self.pulls.observe_since(began),
            Err(error) => self.failed(error),
        }
        outcome
    }
}

struct RunningPull<'m> {
    measures: &'m ImageMeasures,
    ended: bool,
    _hold: GaugeHold,
}

impl Drop for RunningPull<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.measures.failures.increment(CANCELLED);
        }
    }
}

const CANCELLED: &str = "cancelled";
/// All that [`kind`] answers.
const KINDS: [&str; 12] = [
    "reference",
    "not_found",
    "unauthorised",
    "unavailable",
    "platform",
    "digest",
    "manifest",
    "archive",
    "hosts",
    "disk",
    "records",
    CANCELLED,
];

/// The failure in a word: labels of metrics have it.
fn kind(error: &PullError) -> &'static str {
    match error {
        PullError::Reference(_) => "reference",
        PullError::NotFound { .. } => "not_found",
        PullError::Unauthorised { .. } => "unauthorised",
        PullError::Unavailable { .. } => "unavailable",
        PullError::NoPlatform { .. } => "platform",
        PullError::Digest { .. } | PullError::DiffId { .. } => "digest",
        PullError::Manifest { .. } => "manifest",
        PullError::Archive { .. } => "archive",
        PullError::Hosts { .. } => "hosts",
        PullError::Disk { .. } => "disk",
        PullError::Store(_) | PullError::Unverified(_) => "records",
        PullError::Cancelled { .. } => CANCELLED,
    }
}

/// Bytes by the host that sent them. Which hosts there are is decided by who asks for images: so the first that send
/// anything count by their names, and all others together.
#[derive(Clone, Debug, Default)]
pub struct FetchedBytes(Arc<HostCounters>);

#[derive(Debug, Default)]
struct HostCounters {
    named: ArcSwap<Vec<(String, Counter)>>,
    others: Counter,
}

impl FetchedBytes {
    /// What counts the bytes of a host, which has sent some.
    pub(crate) fn of(&self, origin: &str) -> Counter {
        let HostCounters { named, others } = &*self.0;
        let origin = shortened(origin, EXCERPT_BYTES);
        let find = || named.load().iter().find(|(name, _)| *name == origin).map(|(_, counter)| counter.clone());
        if let Some(counter) = find() {
            return counter;
        }
        named.rcu(|named| {
            let mut named = Vec::clone(named);
            if named.len() < MEASURED_HOSTS && !named.iter().any(|(name, _)| *name == origin) {
                named.push((origin.clone().into_owned(), Counter::default()));
            }
            named
        });
        find().unwrap_or_else(|| others.clone())
    }

    /// Hosts, each as scheme and address, with their bytes; without a name those of all others.
    #[must_use]
    pub fn read(&self) -> Vec<(Option<String>, u64)> {
        let HostCounters { named, others } = &*self.0;
        let named: Vec<_> = named.load().iter().map(|(name, counter)| (Some(name.clone()), counter.get())).collect();
        named.into_iter().chain([(None, others.get())]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_names_up_to_a_bound() {
        let fetched = FetchedBytes::default();
        for number in 0..2 * MEASURED_HOSTS as u64 {
            fetched.of(&format!("https://r{number}")).add(number);
            fetched.of("https://r0").add(1);
        }
        fetched.of(&"x".repeat(100_000)).add(1);
        let read = fetched.read();
        assert_eq!(read.len(), MEASURED_HOSTS + 1);
        assert_eq!(read[0], (Some("https://r0".to_owned()), 32));
        assert_eq!(read[MEASURED_HOSTS], (None, (16..32).sum::<u64>() + 1));
    }

    #[tokio::test]
    async fn each_pull_counts_once() {
        let measures = ImageMeasures::new(Counter::default(), Counter::default());
        let failed = |kind| measures.failures.iter().find(|(name, _)| *name == kind).unwrap().1;
        measures.pull(async { Ok(()) }).await.unwrap();
        let error = PullError::Manifest { reference: "r/i:t".into(), problem: "is too large".into() };
        measures.pull(async { Err::<(), _>(error) }).await.unwrap_err();
        let going = measures.pull(async {
            std::future::pending::<()>().await;
            Ok(())
        });
        let given_up = tokio::time::timeout(std::time::Duration::ZERO, async {
            let mut going = std::pin::pin!(going);
            tokio::select! {
                biased;
                _ = &mut going => {}
                () = async { assert_eq!(measures.running.get(), 1) } => going.await.unwrap(),
            }
        });
        given_up.await.unwrap_err();
        assert_eq!((measures.pulls.read().count, measures.running.get()), (1, 0));
        assert_eq!((failed("manifest"), failed(CANCELLED), failed("disk")), (1, 1, 0));
    }
}
