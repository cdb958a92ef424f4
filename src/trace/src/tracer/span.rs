//! Spans as those hold them who do the work.

use std::fmt::Display;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use peapod_text::{one_line, shortened};

use super::{Spans, WorkSpan};
use crate::bounds::DETAIL_BYTES;
use crate::kind::StageKind;
use crate::recorder::{NewStage, Recorder, StageIndex, StageProgress};
use crate::subject::SpanSubject;
use crate::tree::SpanTree;

/// A span under way, or a stage of one, to which is told what comes next. A clone is another handle to the same; the
/// default one records nothing.
#[derive(Clone, Debug, Default)]
pub struct Span {
    place: Option<SpanPlace>,
}

#[derive(Clone, Debug)]
struct SpanPlace {
    recorder: Arc<Recorder>,
    /// None: the span itself.
    stage: Option<StageIndex>,
    spans: Arc<Spans>,
}

/// Whether it is the same span or stage.
impl PartialEq for Span {
    fn eq(&self, other: &Self) -> bool {
        match (&self.place, &other.place) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(&one.recorder, &other.recorder) && one.stage == other.stage,
            _ => false,
        }
    }
}

impl Eq for Span {}

impl Span {
    pub(super) fn of(recorder: &Arc<Recorder>, spans: &Arc<Spans>) -> Self {
        Self { place: Some(SpanPlace { recorder: Arc::clone(recorder), stage: None, spans: Arc::clone(spans) }) }
    }

    /// Work for what this is about, which others may wait for too; none where nothing is recorded.
    #[must_use]
    pub fn work(&self, name: &'static str) -> Option<WorkSpan> {
        let SpanPlace { recorder, spans, .. } = self.place.as_ref()?;
        Some(WorkSpan::new(spans, name, recorder.subject()))
    }

    /// It comes to this stage; the one that it was in is over at the same moment. What it was beside others goes on
    /// ([`Span::begin`]). Where it is there already, nothing changes.
    pub fn enter(&self, kind: &'static StageKind) {
        self.enter_new(NewStage { kind, detail: None, work: None });
    }

    /// The same of a stage that is about something.
    pub fn enter_on(&self, kind: &'static StageKind, detail: impl Display) {
        if self.place.is_some() {
            self.enter_new(NewStage { kind, detail: Some(bounded(&detail.to_string())), work: None });
        }
    }

    /// It waits for work from here on: readers see the stages of that in this one.
    pub fn enter_work(&self, kind: &'static StageKind, work: &Span) {
        let work = work.place.as_ref().map(|place| Arc::clone(&place.recorder));
        self.enter_new(NewStage { kind, detail: None, work });
    }

    /// The stage that it was in is over; the next one is told with [`Span::begin`].
    pub fn leave(&self) {
        if let Some(SpanPlace { recorder, stage, .. }) = &self.place {
            recorder.leave(*stage);
        }
    }

    /// A stage beside others, or in this one. It is over when what this answers is dropped.
    #[must_use]
    pub fn begin(&self, kind: &'static StageKind) -> ChildSpan {
        self.begin_new(NewStage { kind, detail: None, work: None })
    }

    /// The same of a stage that is about something.
    #[must_use]
    pub fn begin_on(&self, kind: &'static StageKind, detail: impl Display) -> ChildSpan {
        let detail = self.place.is_some().then(|| bounded(&detail.to_string()));
        self.begin_new(NewStage { kind, detail, work: None })
    }

    /// How far the stage that it is in has come, in bytes.
    pub fn progress(&self, done: u64, of: u64) {
        if let Some(SpanPlace { recorder, stage, .. }) = &self.place {
            recorder.progress(*stage, StageProgress { done, of });
        }
    }

    /// What it is in goes wrong now: what comes after this undoes.
    pub fn fail(&self) {
        if let Some(SpanPlace { recorder, stage, .. }) = &self.place {
            recorder.fail(*stage);
        }
    }

    /// Says more of what it is about.
    pub fn about(&self, change: impl FnOnce(&mut SpanSubject)) {
        if let Some(SpanPlace { recorder, .. }) = &self.place {
            recorder.change_subject(change);
        }
    }

    /// What the whole span is about.
    #[must_use]
    pub fn subject(&self) -> SpanSubject {
        self.place.as_ref().map(|place| place.recorder.subject()).unwrap_or_default()
    }

    /// What the whole span waits for now, in words.
    #[must_use]
    pub fn awaited(&self) -> Option<String> {
        let recorder = &self.place.as_ref()?.recorder;
        SpanTree::of(recorder, Instant::now()).awaited()
    }

    fn enter_new(&self, new: NewStage) {
        if let Some(SpanPlace { recorder, stage, .. }) = &self.place {
            recorder.enter(*stage, new);
        }
    }

    fn begin_new(&self, new: NewStage) -> ChildSpan {
        let place = self.place.as_ref().and_then(|SpanPlace { recorder, stage, spans }| {
            let stage = recorder.begin(*stage, new)?;
            Some(SpanPlace { recorder: Arc::clone(recorder), stage: Some(stage), spans: Arc::clone(spans) })
        });
        ChildSpan(Self { place })
    }
}

/// A stage that ends when this is dropped, and what is in it.
#[derive(Debug, Default)]
pub struct ChildSpan(Span);

impl Deref for ChildSpan {
    type Target = Span;

    fn deref(&self) -> &Span {
        &self.0
    }
}

impl Drop for ChildSpan {
    fn drop(&mut self) {
        if let Some(SpanPlace { recorder, stage: Some(stage), .. }) = &self.0.place {
            recorder.end(*stage);
        }
    }
}

impl ChildSpan {
    /// Ends with what came of it: an error is noted.
    pub fn end<T, E>(self, outcome: Result<T, E>) -> Result<T, E> {
        if outcome.is_err() {
            self.fail();
        }
        outcome
    }
}

fn bounded(text: &str) -> Box<str> {
    shortened(&one_line(&shortened(text, DETAIL_BYTES)), DETAIL_BYTES).into()
}
