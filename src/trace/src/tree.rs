//! A span with all its stages, as of one moment. Immutable.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::bounds::STAGES_OF_SPAN;
use crate::context::{SpanContext, mixed};
use crate::kind::StageKind;
use crate::outcome::SpanOutcome;
use crate::recorder::{RecordedStage, Recorder, SpanRole, StageProgress, micros};
use crate::subject::SpanSubject;

/// Works that wait for works: a pull's layer is the second.
const DEPTH: usize = 4;

/// A span that has ended, or one as of a moment.
#[derive(Clone, Debug)]
pub struct SpanTree {
    /// The call, as CRI names it, or the work.
    pub name: &'static str,
    /// Whether a client waits for it, or did.
    pub is_call: bool,
    /// What it is about.
    pub subject: SpanSubject,
    /// The numbers by which others know it.
    pub context: SpanContext,
    /// When it began.
    pub begun_at: SystemTime,
    /// How long it took, or has taken so far.
    pub micros: u64,
    /// How it ended.
    pub outcome: SpanOutcome,
    /// Its stages, each behind the one that it is in.
    pub stages: Box<[StageSpan]>,
    /// Stages that are missing here: they were too many.
    pub left_out: u32,
}

/// A stage.
#[derive(Clone, Debug)]
pub struct StageSpan {
    /// What it is.
    pub kind: &'static StageKind,
    /// What it is about: a plugin, a host, a layer. Printable, on one line, and bounded.
    pub detail: Option<Box<str>>,
    /// The stage that this one is in, by its place in the list.
    pub parent: Option<u16>,
    /// Microseconds from the span's begin.
    pub begin_us: u64,
    /// The same of its end; none if it is under way.
    pub end_us: Option<u64>,
    /// It went wrong, or something in it did.
    pub failed: bool,
    /// How far it has come, where that is known.
    pub progress: Option<StageProgress>,
}

impl SpanTree {
    /// As it is now.
    pub(crate) fn of(recorder: &Recorder, now: Instant) -> Self {
        let recorded = recorder.recorded();
        let micros = recorded.ended.unwrap_or_else(|| micros(now.saturating_duration_since(recorder.began)));
        let mut stages =
            Stages { began: recorder.began, found: Vec::with_capacity(recorded.stages.len()), left_out: 0 };
        stages.add(
            &recorded.stages,
            &Within {
                parent: None,
                offset: 0,
                begin: 0,
                end: recorded.ended,
                is_given_up: recorded.outcome == SpanOutcome::Left,
            },
            0,
        );
        Self {
            name: recorder.name,
            is_call: recorder.role != SpanRole::Work,
            subject: recorded.subject,
            context: recorder.context,
            begun_at: recorder.begun_at,
            micros,
            outcome: recorded.outcome,
            stages: stages.found.into_boxed_slice(),
            left_out: recorded.left_out.saturating_add(stages.left_out),
        }
    }

    /// A stage's number as a span of its own.
    #[must_use]
    pub fn stage_id(&self, index: usize) -> u64 {
        mixed(self.context.span_id ^ mixed(index as u64))
    }

    /// When a stage ended; now, if it is under way.
    #[must_use]
    pub fn end_of(&self, stage: &StageSpan) -> u64 {
        stage.end_us.unwrap_or(self.micros)
    }

    /// Which stages lie on the way that was waited for: of those beside each other the one that ended last, then what
    /// ended last before that began, and so on; the same within each of them.
    #[must_use]
    pub fn critical(&self) -> Vec<bool> {
        let mut critical = vec![false; self.stages.len()];
        // Of the span itself, then of each stage.
        let mut children: Vec<Vec<usize>> = vec![Vec::new(); self.stages.len() + 1];
        for (index, stage) in self.stages.iter().enumerate() {
            children[stage.parent.map_or(0, |parent| usize::from(parent) + 1)].push(index);
        }
        for (parent, mut within) in children.into_iter().enumerate() {
            // A stage stands behind the one that it is in: whether that is on the way is known by now.
            if parent > 0 && !critical[parent - 1] {
                continue;
            }
            within.sort_by_key(|index| std::cmp::Reverse(self.end_of(&self.stages[*index])));
            let mut until = u64::MAX;
            for index in within {
                let stage = &self.stages[index];
                if self.end_of(stage) <= until {
                    critical[index] = true;
                    until = stage.begin_us;
                }
            }
        }
        critical
    }

    /// Microseconds that the innermost stages take that lie on the way that was waited for.
    #[must_use]
    pub fn explained(&self) -> u64 {
        let critical = self.critical();
        let mut is_leaf = critical.clone();
        for (stage, _) in self.stages.iter().zip(&critical).filter(|(_, critical)| **critical) {
            if let Some(parent) = stage.parent {
                is_leaf[usize::from(parent)] = false;
            }
        }
        let leaves = self.stages.iter().zip(is_leaf).filter(|(_, is_leaf)| *is_leaf);
        leaves.map(|(stage, _)| self.end_of(stage).saturating_sub(stage.begin_us)).sum()
    }

    /// What it waits for now, in words: of stages beside each other the one that was begun last. None if it has ended.
    #[must_use]
    pub fn awaited(&self) -> Option<String> {
        let is_open = |stage: &StageSpan| stage.end_us.is_none();
        let mut found: Option<usize> = None;
        while let Some(next) =
            self.stages.iter().rposition(|stage| is_open(stage) && stage.parent.map(usize::from) == found)
        {
            found = Some(next);
        }
        let stage = &self.stages[found?];
        Some(stage.kind.awaited(stage.detail.as_deref()))
    }

    /// What it takes of memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let details: usize = self.stages.iter().filter_map(|stage| stage.detail.as_deref()).map(str::len).sum();
        let message = if let SpanOutcome::Failed { message, .. } = &self.outcome { message.len() } else { 0 };
        size_of::<Self>() + size_of_val(&*self.stages) + details + message + self.subject.bytes()
    }
}

/// A part of a tree that is being made: a recorder's stages, or those of work that one of them waits for.
struct Within {
    /// The stage that waits for the work.
    parent: Option<u16>,
    /// What to add to the recorder's microseconds.
    offset: i64,
    /// What is not between these was not waited for.
    begin: u64,
    end: Option<u64>,
    /// Who waited for it gave up: what was under way is what it waited for.
    is_given_up: bool,
}

/// Stages of a tree that is being made.
struct Stages {
    began: Instant,
    found: Vec<StageSpan>,
    left_out: u32,
}

impl Stages {
    fn add(&mut self, recorded: &[RecordedStage], within: &Within, depth: usize) {
        let Within { parent, offset, begin: first, end: last, is_given_up } = *within;
        let in_root = |micros: u64| micros.saturating_add_signed(offset);
        let mut places: Vec<Option<u16>> = Vec::with_capacity(recorded.len());
        for stage in recorded {
            let own_parent = match stage.parent {
                None => parent,
                Some(index) => match places.get(usize::from(index)).copied().flatten() {
                    Some(place) => Some(place),
                    None => {
                        places.push(None);
                        continue;
                    }
                },
            };
            let (begin, end) = (in_root(stage.begin), stage.end.map(in_root));
            let is_outside = end.is_some_and(|end| end < first) || last.is_some_and(|last| begin > last);
            let place = u16::try_from(self.found.len()).ok().filter(|place| usize::from(*place) < STAGES_OF_SPAN);
            if is_outside || place.is_none() {
                self.left_out += u32::from(!is_outside);
                places.push(None);
                continue;
            }
            places.push(place);
            let begin_us = begin.max(first);
            // What goes on after the answer was not waited for.
            let end_us = [end, last].into_iter().flatten().min();
            let was_left = is_given_up && depth > 0 && stage.end.is_none();
            let (kind, detail, failed) = (stage.kind, stage.detail.clone(), stage.failed || was_left);
            let progress = stage.progress;
            self.found.push(StageSpan { kind, detail, parent: own_parent, begin_us, end_us, failed, progress });
            if let Some(work) = stage.work.as_ref().filter(|_| depth < DEPTH) {
                self.add_work(
                    work,
                    &Within {
                        parent: place,
                        offset: 0,
                        begin: begin_us,
                        end: end_us,
                        is_given_up: is_given_up && failed,
                    },
                    depth,
                );
            }
        }
    }

    fn add_work(&mut self, work: &Arc<Recorder>, within: &Within, depth: usize) {
        let recorded = work.recorded();
        let later = micros(work.began.saturating_duration_since(self.began));
        let earlier = micros(self.began.saturating_duration_since(work.began));
        let offset = i64::try_from(later).unwrap_or(0) - i64::try_from(earlier).unwrap_or(0);
        self.left_out = self.left_out.saturating_add(recorded.left_out);
        if matches!(recorded.outcome, SpanOutcome::Failed { .. })
            && let Some(stage) = within.parent.and_then(|place| self.found.get_mut(usize::from(place)))
        {
            stage.failed = true;
        }
        self.add(&recorded.stages, &Within { offset, ..*within }, depth + 1);
    }
}
