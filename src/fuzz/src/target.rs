//! A parser under test, what it may cost, and how it is tried.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use rustix::time::{ClockId, clock_gettime};

use crate::corpus::Corpus;
use crate::mutate;

/// Seconds for which each target is tried where nothing else is said.
pub const SECONDS: u64 = 1;
/// Inputs between two looks at the clock.
const BATCH: u32 = 64;

/// What one input may cost.
#[derive(Clone, Copy, Debug)]
pub struct FuzzBudget {
    /// Bytes allocated by the thread at once, beyond `factor`.
    pub bytes: u64,
    /// Bytes allocated at once for each byte of the input, beside `bytes`.
    pub factor: u64,
    /// The thread's processor time, in a debug build.
    pub time: Duration,
}

impl Default for FuzzBudget {
    fn default() -> Self {
        Self { bytes: 1 << 20, factor: 64, time: Duration::from_secs(2) }
    }
}

/// A parser under test.
#[derive(Debug)]
pub struct FuzzTarget {
    name: &'static str,
    folder: PathBuf,
    seeds: Corpus,
    tokens: Vec<Vec<u8>>,
    budget: FuzzBudget,
}

impl FuzzTarget {
    /// A target, and the folder of its corpus: see [`crate::target!`].
    #[must_use]
    pub fn new(name: &'static str, folder: impl AsRef<Path>) -> Self {
        let folder = folder.as_ref().to_owned();
        Self { name, folder, seeds: Corpus::default(), tokens: Vec::new(), budget: FuzzBudget::default() }
    }

    /// Inputs that code makes, beside the files of the corpus.
    #[must_use]
    pub fn seeds<T: AsRef<[u8]>>(mut self, seeds: impl IntoIterator<Item = T>) -> Self {
        for (number, seed) in seeds.into_iter().enumerate() {
            self.seeds.add(format!("seed {number}"), seed.as_ref().to_vec());
        }
        self
    }

    /// Pieces of text that mean something to the parser: they are inserted anywhere.
    #[must_use]
    pub fn tokens<T: AsRef<[u8]>>(mut self, tokens: impl IntoIterator<Item = T>) -> Self {
        self.tokens.extend(tokens.into_iter().map(|token| token.as_ref().to_vec()));
        self
    }

    /// What one input may cost, where [`FuzzBudget::default`] is not right.
    #[must_use]
    pub fn budget(mut self, budget: FuzzBudget) -> Self {
        self.budget = budget;
        self
    }

    /// Tries the corpus, then mutations of it for a while. `check` panics when something is wrong.
    ///
    /// # Panics
    /// With the smallest input that was found, and where it was written.
    pub fn check(self, check: impl Fn(&[u8])) {
        let seconds = number("PEAPOD_FUZZ_SECONDS").unwrap_or(SECONDS);
        let tried = self.run(Duration::from_secs(seconds), number("PEAPOD_FUZZ_SEED").unwrap_or(0), &check);
        eprintln!("{}: {tried} inputs in {seconds} s", self.name);
    }

    fn run(&self, limit: Duration, seed: u64, check: &impl Fn(&[u8])) -> u64 {
        let mut corpus = Corpus::read(&self.folder)
            .unwrap_or_else(|error| panic!("{}: the corpus {}: {error}", self.name, self.folder.display()));
        for (name, input) in self.seeds.iter() {
            corpus.add(name, input.to_vec());
        }
        assert!(!corpus.is_empty(), "{}: neither seeds nor files in {}", self.name, self.folder.display());
        for (name, input) in corpus.iter() {
            if let Err(reason) = self.within_budget(input, check) {
                panic!("{}: {name} of the corpus: {reason}", self.name);
            }
        }
        let strategy = mutate::inputs(&corpus, &self.tokens);
        let (start, mut batch) = (Instant::now(), 0);
        while start.elapsed() < limit {
            let config = Config { cases: BATCH, failure_persistence: None, ..Config::default() };
            let mut runner = TestRunner::new_with_rng(config, random(seed, batch));
            let outcome = runner.run(&strategy, |input| self.within_budget(&input, check).map_err(TestCaseError::fail));
            match outcome {
                Ok(()) => batch += 1,
                Err(TestError::Fail(reason, input)) => {
                    panic!("{}: {reason}: with the input in {}", self.name, self.keep(&input));
                }
                Err(TestError::Abort(reason)) => panic!("{}: {reason}", self.name),
            }
        }
        batch * u64::from(BATCH)
    }

    fn within_budget(&self, input: &[u8], check: &impl Fn(&[u8])) -> Result<(), String> {
        let before = processor_time();
        // The counter counts on a return: a panic goes on outside it.
        let mut outcome = Ok(());
        let allocated =
            allocation_counter::measure(|| outcome = catch_unwind(AssertUnwindSafe(|| check(input)))).bytes_max;
        if let Err(panic) = outcome {
            resume_unwind(panic);
        }
        let took = processor_time().saturating_sub(before);
        let bytes = self.budget.bytes + self.budget.factor * input.len() as u64;
        if allocated > bytes {
            return Err(format!(
                "{} bytes of input took {allocated} bytes of memory, allowed are {bytes}",
                input.len()
            ));
        }
        if took > self.budget.time {
            return Err(format!("{} bytes of input took {took:?}, allowed are {:?}", input.len(), self.budget.time));
        }
        Ok(())
    }

    /// Where a failing input was written, or its text if it could not be.
    fn keep(&self, input: &[u8]) -> String {
        let folder = std::env::var_os("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let path = folder.join(format!("fuzz-{}-{}", self.name, std::process::id()));
        match fs::write(&path, input) {
            Ok(()) => format!("{} (to keep it: into {})", path.display(), self.folder.display()),
            Err(error) => format!("no file ({error}): {}", input.escape_ascii()),
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

fn random(seed: u64, batch: u64) -> TestRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&batch.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(target: &FuzzTarget, check: impl Fn(&[u8])) -> String {
        let outcome = catch_unwind(AssertUnwindSafe(|| target.run(Duration::from_secs(20), 7, &check)));
        let panic = outcome.err().map(|panic| panic.downcast::<String>().map(|text| *text).unwrap_or_default());
        panic.unwrap_or_else(|| panic!("nothing was found"))
    }

    fn target() -> FuzzTarget {
        FuzzTarget::new("test", "/nowhere").seeds(["some words"]).tokens(["(("])
    }

    #[test]
    fn a_panic_is_found_and_made_small() {
        let said = failure(&target(), |input| assert!(!input.windows(2).any(|two| two == b"(("), "brackets"));
        let path = said.split("input in ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
        let input = fs::read(path).unwrap_or_default();
        assert!(said.contains("brackets") && input.len() <= 12 && input.windows(2).any(|two| two == b"(("), "{said}");
        let _ = fs::remove_file(path);
    }

    #[test]
    fn memory_beyond_the_budget_is_found() {
        let tight = FuzzBudget { bytes: 100, factor: 2, ..FuzzBudget::default() };
        let said = failure(&target().budget(tight), |input| drop(vec![0_u8; input.len() * 200]));
        assert!(said.contains("bytes of memory, allowed are 120"), "{said}");
    }

    #[test]
    fn time_beyond_the_budget_is_found() {
        let quick = FuzzBudget { time: Duration::from_millis(20), ..FuzzBudget::default() };
        let slow = |_: &[u8]| {
            let start = processor_time();
            while processor_time().saturating_sub(start) < Duration::from_millis(30) {}
        };
        let said = failure(&target().budget(quick), slow);
        assert!(said.contains("allowed are 20ms"), "{said}");
    }

    #[test]
    fn what_holds_is_tried_often() {
        assert!(target().run(Duration::from_millis(200), 7, &|_| {}) > 100);
    }

    #[test]
    fn a_target_without_inputs_is_a_mistake() {
        let empty = FuzzTarget::new("empty", "/nowhere");
        assert!(failure(&empty, |_| {}).contains("neither seeds nor files"));
    }
}
