//! What is written down of one span while it is under way.
//!
//! A client's call and the work that it waits for have a recorder each: a job may serve several calls, and outlive
//! them. A stage of a call that waits for a job has the job's recorder, so whoever reads sees the job's stages as the
//! call's own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use peapod_sys::sync::lock;

use crate::bounds::STAGES_OF_SPAN;
use crate::context::SpanContext;
use crate::kind::{ANSWER, StageKind};
use crate::outcome::SpanOutcome;
use crate::subject::SpanSubject;

/// A stage of a recorder, by its place.
pub(crate) type StageIndex = u16;

/// Whose span it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpanRole {
    /// A client's, which changes something, or asks for work: it is kept for readers.
    Operation,
    /// A client's that only looks at something.
    Query,
    /// A job's.
    Work,
}

/// One span under way.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) name: &'static str,
    pub(crate) role: SpanRole,
    pub(crate) context: SpanContext,
    pub(crate) began: Instant,
    pub(crate) begun_at: SystemTime,
    /// Stages under way that wait for this work.
    followers: AtomicUsize,
    state: Mutex<SpanState>,
}

/// What changes. The lock is held for no more than to write a line.
#[derive(Clone, Debug)]
pub(crate) struct SpanState {
    pub(crate) subject: SpanSubject,
    pub(crate) stages: Vec<RecordedStage>,
    /// The stage that the span itself is in.
    entered: Option<StageIndex>,
    pub(crate) left_out: u32,
    pub(crate) outcome: SpanOutcome,
    /// When it ended, in microseconds since it began.
    pub(crate) ended: Option<u64>,
}

/// One stage.
#[derive(Clone, Debug)]
pub(crate) struct RecordedStage {
    pub(crate) kind: &'static StageKind,
    pub(crate) detail: Option<Box<str>>,
    pub(crate) parent: Option<StageIndex>,
    /// The stage that this one is in.
    entered: Option<StageIndex>,
    /// In microseconds since the span began.
    pub(crate) begin: u64,
    pub(crate) end: Option<u64>,
    pub(crate) failed: bool,
    pub(crate) progress: Option<StageProgress>,
    /// The work that is waited for.
    pub(crate) work: Option<Arc<Recorder>>,
}

/// How far a stage has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageProgress {
    /// Bytes that are done.
    pub done: u64,
    /// Of so many.
    pub of: u64,
}

/// A stage to be.
pub(crate) struct NewStage {
    pub(crate) kind: &'static StageKind,
    pub(crate) detail: Option<Box<str>>,
    pub(crate) work: Option<Arc<Recorder>>,
}

impl Recorder {
    pub(crate) fn new(
        name: &'static str,
        role: SpanRole,
        context: SpanContext,
        began: Instant,
        subject: SpanSubject,
    ) -> Arc<Self> {
        let begun_at = SystemTime::now().checked_sub(began.elapsed()).unwrap_or(SystemTime::UNIX_EPOCH);
        let outcome = SpanOutcome::Running;
        let recorded = SpanState { subject, stages: Vec::new(), entered: None, left_out: 0, outcome, ended: None };
        let (followers, state) = (AtomicUsize::new(0), Mutex::new(recorded));
        Arc::new(Self { name, role, context, began, begun_at, followers, state })
    }

    /// It has been in that stage since it began.
    pub(crate) fn begun_in(&self, kind: &'static StageKind) {
        let mut state = lock(&self.state);
        state.entered = state.push(None, NewStage { kind, detail: None, work: None }, 0);
    }

    /// Microseconds since it began.
    fn now(&self) -> u64 {
        micros(self.began.elapsed())
    }

    /// A copy of what is written down.
    pub(crate) fn recorded(&self) -> SpanState {
        lock(&self.state).clone()
    }

    pub(crate) fn change_subject(&self, change: impl FnOnce(&mut SpanSubject)) {
        change(&mut lock(&self.state).subject);
    }

    pub(crate) fn subject(&self) -> SpanSubject {
        lock(&self.state).subject.clone()
    }

    /// Whether something that is under way waits for this work.
    pub(crate) fn is_followed(&self) -> bool {
        self.followers.load(Ordering::Relaxed) > 0
    }

    /// Ends the stage that a stage, or the span, is in, and begins that one at the same moment. Entering where one is
    /// already changes nothing.
    pub(crate) fn enter(&self, parent: Option<StageIndex>, stage: NewStage) {
        let now = self.now();
        let mut state = lock(&self.state);
        if let Some(index) = state.entered_in(parent) {
            let current = &state.stages[usize::from(index)];
            if std::ptr::eq(current.kind, stage.kind) && current.end.is_none() && stage.is_as(current) {
                return;
            }
            state.end(index, now);
        }
        let index = state.push(parent, stage, now);
        *state.entered_mut(parent) = index;
    }

    /// Ends the stage that a stage, or the span, is in.
    pub(crate) fn leave(&self, parent: Option<StageIndex>) {
        let now = self.now();
        let mut state = lock(&self.state);
        if let Some(index) = state.entered_in(parent) {
            state.end(index, now);
        }
    }

    /// Begins a stage beside others.
    pub(crate) fn begin(&self, parent: Option<StageIndex>, stage: NewStage) -> Option<StageIndex> {
        let now = self.now();
        lock(&self.state).push(parent, stage, now)
    }

    pub(crate) fn end(&self, index: StageIndex) {
        let now = self.now();
        lock(&self.state).end(index, now);
    }

    /// How far what a stage, or the span, is in has come.
    pub(crate) fn progress(&self, parent: Option<StageIndex>, progress: StageProgress) {
        let mut state = lock(&self.state);
        let entered = state.entered_in(parent);
        if let Some(stage) = entered.and_then(|index| state.stages.get_mut(usize::from(index))) {
            stage.progress = Some(progress);
        }
    }

    /// What a stage, or the span, is in went wrong.
    pub(crate) fn fail(&self, stage: Option<StageIndex>) {
        lock(&self.state).fail(stage);
    }

    /// How it ends. The first that is said counts.
    pub(crate) fn settle(&self, outcome: SpanOutcome) {
        let mut state = lock(&self.state);
        if state.outcome != SpanOutcome::Running {
            return;
        }
        if outcome != SpanOutcome::Done && !state.names_a_failure() {
            let last = state.last_before_the_answer();
            state.fail(last);
        }
        state.outcome = outcome;
    }

    /// It is over, and whatever stage it was in. Without a word of how, it was given up.
    pub(crate) fn finish(&self) {
        let now = self.now();
        self.settle(SpanOutcome::Left);
        let mut state = lock(&self.state);
        state.stages.iter_mut().for_each(|stage| stage.end(now));
        state.ended.get_or_insert(now);
    }
}

impl SpanState {
    /// Whether it is known what went wrong, in this span or in work that it waited for.
    fn names_a_failure(&self) -> bool {
        let failed = |work: &Recorder| matches!(lock(&work.state).outcome, SpanOutcome::Failed { .. });
        self.stages.iter().any(|stage| stage.failed || stage.work.as_deref().is_some_and(failed))
    }

    fn last_before_the_answer(&self) -> Option<StageIndex> {
        let own = |stage: &RecordedStage| stage.parent.is_none() && !std::ptr::eq(stage.kind, &ANSWER);
        self.stages.iter().rposition(own).and_then(|index| StageIndex::try_from(index).ok())
    }

    fn entered_in(&self, parent: Option<StageIndex>) -> Option<StageIndex> {
        parent.map_or(self.entered, |parent| self.stages.get(usize::from(parent))?.entered)
    }

    fn entered_mut(&mut self, parent: Option<StageIndex>) -> &mut Option<StageIndex> {
        match parent.and_then(|parent| self.stages.get_mut(usize::from(parent))) {
            Some(stage) => &mut stage.entered,
            None => &mut self.entered,
        }
    }

    fn push(&mut self, parent: Option<StageIndex>, stage: NewStage, now: u64) -> Option<StageIndex> {
        let NewStage { kind, detail, work } = stage;
        let index = StageIndex::try_from(self.stages.len()).ok().filter(|index| usize::from(*index) < STAGES_OF_SPAN);
        if index.is_none() {
            self.left_out += 1;
            return None;
        }
        if let Some(work) = &work {
            work.followers.fetch_add(1, Ordering::Relaxed);
        }
        let (entered, end, failed, progress) = (None, None, false, None);
        self.stages.push(RecordedStage { kind, detail, parent, entered, begin: now, end, failed, progress, work });
        index
    }

    /// Ends a stage with all that are in it.
    fn end(&mut self, index: StageIndex, now: u64) {
        let first = usize::from(index);
        let Some(stage) = self.stages.get_mut(first).filter(|stage| stage.end.is_none()) else { return };
        stage.end(now);
        // Those that are in it were begun after it.
        for at in first + 1..self.stages.len() {
            let Some(parent) = self.stages[at].parent else { continue };
            if self.stages[at].end.is_none() && parent >= index && self.stages[usize::from(parent)].end == Some(now) {
                self.stages[at].end(now);
            }
        }
    }

    /// Marks a stage, or what the span is in, and what that is in.
    fn fail(&mut self, stage: Option<StageIndex>) {
        let mut next = stage.or(self.entered);
        while let Some(stage) = next.and_then(|index| self.stages.get_mut(usize::from(index))) {
            stage.failed = true;
            next = stage.entered;
        }
    }
}

impl RecordedStage {
    /// The first end counts.
    fn end(&mut self, now: u64) {
        if self.end.is_some() {
            return;
        }
        self.end = Some(now);
        if let Some(work) = &self.work {
            work.followers.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl NewStage {
    fn is_as(&self, current: &RecordedStage) -> bool {
        let same = |one: &Arc<Recorder>, other: &Arc<Recorder>| Arc::ptr_eq(one, other);
        let is_same_work = match (&self.work, &current.work) {
            (None, None) => true,
            (Some(one), Some(other)) => same(one, other),
            _ => false,
        };
        is_same_work && self.detail == current.detail
    }
}

pub(crate) fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
