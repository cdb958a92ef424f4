//! What can happen, and how often it does in one life.

use crate::machine::JobKey;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    // What clients do.
    Run,
    Create,
    Start,
    Stop,
    Remove,
    Update,
    StopPod,
    RemovePod,
    UpdatePod,
    Leave,
    // The world goes on.
    FinishJob,
    Commit,
    Fire,
    /// For a while everything goes well.
    Proceed,
    // What containers do.
    Exit,
    // What goes wrong.
    FailJob,
    Hang,
    Panic,
    FailCommit,
    KillShim,
    EndInit,
    Die,
    RepeatEvents,
}

/// How many of all moves it is in an ordinary life.
const MOVES: [(Move, u32); 23] = [
    (Move::Run, 4),
    (Move::Create, 10),
    (Move::Start, 12),
    (Move::Stop, 6),
    (Move::Remove, 5),
    (Move::Update, 8),
    (Move::StopPod, 3),
    (Move::RemovePod, 1),
    (Move::UpdatePod, 2),
    (Move::Leave, 3),
    (Move::FinishJob, 30),
    (Move::Commit, 16),
    (Move::Fire, 4),
    (Move::Proceed, 12),
    (Move::Exit, 8),
    (Move::FailJob, 8),
    (Move::Hang, 4),
    (Move::Panic, 3),
    (Move::FailCommit, 3),
    (Move::KillShim, 2),
    (Move::EndInit, 2),
    (Move::Die, 2),
    (Move::RepeatEvents, 2),
];

/// Kinds of jobs, by the numbers that the simulation gives them. What takes several steps to go wrong stands twice.
const KINDS: [usize; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 7];

/// What one life is like.
#[derive(Debug)]
pub(super) struct Habits {
    /// Each move with the sum of the weights up to it.
    ladder: Vec<(Move, u32)>,
    /// The kind of job that mostly goes wrong in it.
    pub(super) weak: usize,
    /// With how many containers it begins, in a pod that is ready; none: with nothing.
    pub(super) begins: Option<usize>,
    /// How many times something still goes wrong while the pod is being stopped at last, and numbers that say what.
    pub(super) last_troubles: usize,
    pub(super) dice: u64,
    /// The daemon dies before that.
    pub(super) dies: bool,
}

impl Habits {
    pub(super) fn new(mut bits: u64) -> Self {
        // As random as the bits, and independent of the few that each choice below looks at.
        let dice = bits.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
        let mut take = |choices: u64| {
            let taken = bits % choices;
            bits /= choices;
            taken
        };
        let weak = KINDS[usize::try_from(take(12)).unwrap_or_default()];
        let begins = [None, Some(0), Some(1), Some(1), Some(2), Some(3)][usize::try_from(take(6)).unwrap_or_default()];
        let last_troubles = [0, 1, 2, 4][usize::try_from(take(4)).unwrap_or_default()];
        let dies = take(4) == 0;
        let mut sum = 0;
        let ladder = MOVES.map(|(what, weight)| {
            sum += match what {
                Move::FinishJob | Move::Commit | Move::Fire | Move::Proceed => weight,
                // What is asked for is asked for more or less often, what goes wrong may never do.
                Move::Exit | Move::Leave => [0, weight, 3 * weight][usize::try_from(take(3)).unwrap_or_default()],
                _ if is_trouble(what) => [0, 0, weight, 4 * weight][usize::try_from(take(4)).unwrap_or_default()],
                _ => [weight, 4 * weight][usize::try_from(take(2)).unwrap_or_default()],
            };
            (what, sum)
        });
        Self { ladder: ladder.to_vec(), weak, begins, last_troubles, dice, dies }
    }

    /// The move that a number stands for.
    pub(super) fn choose(&self, number: u16) -> Move {
        let sum = self.ladder.last().map_or(1, |(_, sum)| *sum);
        let rung = u32::from(number) * sum / (u32::from(u16::MAX) + 1);
        self.ladder.iter().find(|(_, upto)| rung < *upto).map_or(Move::Proceed, |(what, _)| *what)
    }
}

fn is_trouble(what: Move) -> bool {
    matches!(
        what,
        Move::FailJob
            | Move::Hang
            | Move::Panic
            | Move::FailCommit
            | Move::KillShim
            | Move::EndInit
            | Move::Die
            | Move::RepeatEvents
    )
}

/// Jobs that are much alike, for [`KINDS`].
pub(super) fn kind(key: &JobKey) -> usize {
    match key {
        JobKey::SetUp | JobKey::TakeBack | JobKey::Reconnect => 0,
        JobKey::Watch | JobKey::Kill => 2,
        JobKey::CleanUp => 3,
        JobKey::Release => 4,
        JobKey::RemoveFiles | JobKey::EndStray => 5,
        JobKey::Create(_) | JobKey::Discard(_) => 6,
        JobKey::Start(_) => 7,
        JobKey::Stop(_) => 8,
        JobKey::Update(_) | JobKey::LimitGroup => 9,
        JobKey::Delete(_) | JobKey::Remove(..) => 1,
    }
}
