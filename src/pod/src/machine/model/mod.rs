//! The machine in a simulated world: random requests, retries, clients that leave, jobs that fail, hang and panic,
//! events that come late and twice, commits that fail, shims that die, daemons that die and take up what is on disk.
//!
//! At each step: no answer before its commit, what excludes each other never runs at once, what is shown is what was
//! committed. In the end: everyone is answered, and after a stop and a removal nothing of the pod is left.
//!
//! `PEAPOD_MODEL_CASES` says how many lives are tried (`make model CASES=1000000`).

mod checks;
mod clients;
mod life;
mod world;

use proptest::prelude::*;

use life::Life;

/// A few seconds in a debug build.
const CASES: u32 = 4_000;
/// Moves of one life.
const MOVES: usize = 120;

fn cases() -> u32 {
    std::env::var("PEAPOD_MODEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 200_000, ..ProptestConfig::default() })]

    #[test]
    fn every_life_comes_to_its_end(moves in proptest::collection::vec((0u8..56, any::<u16>()), 1..MOVES)) {
        let mut life = Life::new();
        life.play(14, 1);
        for (kind, which) in moves {
            life.play(kind, which);
        }
        life.end();
    }
}
