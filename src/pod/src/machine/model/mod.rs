//! The machine in a simulated world: random requests, retries, clients that leave, jobs that fail, hang and panic,
//! events that come late and twice, commits that fail, shims that die, daemons that die and take up what is on disk.
//!
//! At each step: no answer before its commit, what excludes each other never runs at once, what is shown is what was
//! committed, events tell of it in order, and nothing that a client was told is taken back. Once the world answers,
//! everyone is answered, a stop and a removal even of what hangs; after a stop and a removal nothing of the pod is
//! left.
//!
//! Each life has habits of its own ([`moves`]): what is often asked for in it, and what often goes wrong. Were all
//! moves as likely in all lives, faults that take three rare moves in a row would not be met.
//!
//! `PEAPOD_MODEL_CASES` says how many lives are tried (`make model CASES=1000000`). `PEAPOD_MODEL_TRACE=1` shows all
//! inputs and actions; with `PEAPOD_MODEL_LIFE` (see [`one_life`]) those of one life.

mod checks;
mod clients;
mod disk;
mod end;
mod events;
mod facts;
mod jobs;
mod moves;
mod refused;
mod simulation;
mod trouble;
mod world;

use std::sync::LazyLock;

use proptest::prelude::*;

use moves::Habits;
use simulation::Simulation;

/// A few seconds in a debug build.
const CASES: u32 = 4_000;
/// Moves of one life.
const MOVES: usize = 60;

fn cases() -> u32 {
    std::env::var("PEAPOD_MODEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(), max_shrink_iters: 200_000, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn every_life_comes_to_its_end(
        habits in any::<u64>(),
        moves in proptest::collection::vec(any::<(u16, u16)>(), 1..MOVES),
    ) {
        live(habits, &moves);
    }
}

fn live(habits: u64, moves: &[(u16, u16)]) {
    let habits = Habits::new(habits);
    let mut life = Simulation::new(&habits);
    for (kind, which) in moves {
        life.play(habits.choose(*kind), usize::from(*which));
    }
    life.end(&habits);
}

/// One life again, of which a failure told the numbers: `PEAPOD_MODEL_LIFE="habits kind which kind which …"`.
#[test]
fn one_life() {
    let Ok(life) = std::env::var("PEAPOD_MODEL_LIFE") else { return };
    let mut numbers = life.split(|c: char| !c.is_ascii_digit()).filter(|text| !text.is_empty());
    let habits = numbers.next().and_then(|text| text.parse().ok()).expect("habits");
    let numbers: Vec<u16> = numbers.map(|text| text.parse().expect("a number")).collect();
    let moves: Vec<_> = numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    live(habits, &moves);
}

/// What a life is like is seen with `PEAPOD_MODEL_TRACE=1`.
fn trace(what: &impl std::fmt::Debug) {
    static TRACES: LazyLock<bool> = LazyLock::new(|| std::env::var_os("PEAPOD_MODEL_TRACE").is_some());
    if *TRACES {
        eprintln!("{what:?}");
    }
}
