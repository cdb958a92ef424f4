//! Who makes spans, and keeps those that are under way and the last that were.

mod span;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use peapod_sys::sync::lock;
use peapod_text::{one_line, shortened};
use tokio::sync::broadcast;

use crate::bounds::{FINISHED, MESSAGE_BYTES};
use crate::context::{IdSource, TraceParent};
use crate::kept::KeptSpans;
use crate::kind::{ANSWER, StageKind};
use crate::outcome::SpanOutcome;
use crate::recorder::{Recorder, SpanRole};
use crate::subject::SpanSubject;
use crate::tree::SpanTree;

pub use span::{ChildSpan, Span};

/// Target of the lines of a log that tell each stage's time: `--log-level info,peapod_stage=debug`.
const TARGET: &str = "peapod_stage";

/// Makes spans. Clones share what is kept of them.
#[derive(Clone, Debug)]
pub struct Tracer {
    inner: Arc<Spans>,
}

#[derive(Debug)]
struct Spans {
    ids: IdSource,
    /// By their ids: those of operations and works, which are as many as there are calls and jobs.
    running: Mutex<BTreeMap<u64, Arc<Recorder>>>,
    kept: Mutex<KeptSpans>,
    finished: broadcast::Sender<Arc<SpanTree>>,
}

impl Default for Tracer {
    fn default() -> Self {
        Self::new()
    }
}

impl Tracer {
    /// One that has seen nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let (ids, running, kept) = (IdSource::new(), Mutex::default(), Mutex::default());
        Self { inner: Arc::new(Spans { ids, running, kept, finished: broadcast::Sender::new(FINISHED) }) }
    }

    /// All spans that end from now on, but for works that were waited for: these are in the spans of who did. Who is
    /// more than [`FINISHED`] behind loses the oldest, and is told how many.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<SpanTree>> {
        self.inner.finished.subscribe()
    }

    /// A client's call that changes something, or asks for work: while it is under way, and some time afterwards, it
    /// can be looked at. It came at `arrived`, and has been in the stage `first` since.
    #[must_use]
    pub fn operation(
        &self,
        call: &'static str,
        subject: SpanSubject,
        parent: Option<TraceParent>,
        arrived: Instant,
        first: &'static StageKind,
    ) -> RootSpan {
        self.root(call, SpanRole::Operation, subject, parent, arrived, first)
    }

    /// A client's call that only looks at something. Only who subscribes hears of it.
    #[must_use]
    pub fn query(
        &self,
        call: &'static str,
        subject: SpanSubject,
        parent: Option<TraceParent>,
        arrived: Instant,
        first: &'static StageKind,
    ) -> RootSpan {
        self.root(call, SpanRole::Query, subject, parent, arrived, first)
    }

    /// Work that several calls may wait for ([`Span::enter_work`]), or none.
    #[must_use]
    pub fn work(&self, name: &'static str, subject: SpanSubject) -> WorkSpan {
        WorkSpan::new(&self.inner, name, subject)
    }

    /// Operations under way of which this is true, the oldest first; and such works that no operation waits for. Of
    /// these `most`, and how many more there are.
    #[must_use]
    pub fn running(&self, is_one: impl Fn(&SpanSubject) -> bool, most: usize) -> (Vec<SpanTree>, usize) {
        let is_told = |one: &Recorder| one.role == SpanRole::Operation || !one.is_followed();
        let mut found = self.inner.all_running();
        found.retain(|one| is_told(one) && is_one(&one.subject()));
        found.sort_by_key(|one| one.began);
        let more = found.len().saturating_sub(most);
        let now = Instant::now();
        (found.iter().take(most).map(|recorder| SpanTree::of(recorder, now)).collect(), more)
    }

    /// Operations that have ended, the oldest first: of each kind the last that did as they should, and the last of all
    /// that failed.
    #[must_use]
    pub fn last(&self, is_one: impl Fn(&SpanTree) -> bool) -> Vec<Arc<SpanTree>> {
        lock(&self.inner.kept).find(is_one)
    }

    fn root(
        &self,
        call: &'static str,
        role: SpanRole,
        subject: SpanSubject,
        parent: Option<TraceParent>,
        arrived: Instant,
        first: &'static StageKind,
    ) -> RootSpan {
        let recorder = Recorder::new(call, role, self.inner.ids.context(parent), arrived, subject);
        recorder.begun_in(first);
        if role == SpanRole::Operation {
            self.inner.add(&recorder);
        }
        RootSpan { span: Span::of(&recorder, &self.inner), recorder, spans: Arc::clone(&self.inner) }
    }
}

impl Spans {
    fn add(&self, recorder: &Arc<Recorder>) {
        lock(&self.running).insert(recorder.context.span_id, Arc::clone(recorder));
    }

    fn all_running(&self) -> Vec<Arc<Recorder>> {
        lock(&self.running).values().cloned().collect()
    }

    /// To be called once: keeps what is wanted of a span that is over.
    fn finish(&self, recorder: &Recorder) {
        recorder.finish();
        let is_kept = recorder.role != SpanRole::Query;
        let is_logged = is_kept && tracing::enabled!(target: TARGET, tracing::Level::DEBUG);
        if is_kept || self.finished.receiver_count() > 0 {
            let tree = Arc::new(SpanTree::of(recorder, Instant::now()));
            if is_logged {
                log(&tree);
            }
            if is_kept {
                lock(&self.kept).add(Arc::clone(&tree));
            }
            // Nobody may want to know.
            let _ = self.finished.send(tree);
        }
        // Last: whoever looks sees it in one place at least.
        lock(&self.running).remove(&recorder.context.span_id);
    }
}

fn log(tree: &SpanTree) {
    for stage in &tree.stages {
        let us = tree.end_of(stage).saturating_sub(stage.begin_us);
        let name = format!("{}: {}", tree.name, stage.kind.name);
        tracing::debug!(target: TARGET, stage = name, detail = stage.detail.as_deref(), us);
    }
}

/// A call's span. It ends when this is dropped: as was said by then, or as left.
#[derive(Debug)]
pub struct RootSpan {
    span: Span,
    recorder: Arc<Recorder>,
    spans: Arc<Spans>,
}

impl RootSpan {
    /// For who does the work.
    #[must_use]
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// The work is done, or has failed with an error of this kind; its answer goes to the client until this is dropped.
    pub fn settle(&self, outcome: Result<(), (&'static str, &str)>) {
        self.recorder.settle(of(outcome));
        self.span.enter(&ANSWER);
    }
}

impl Drop for RootSpan {
    fn drop(&mut self) {
        self.spans.finish(&self.recorder);
    }
}

/// The span of work. It ends when this is dropped. It is kept if it failed and nobody was left to be told.
#[derive(Debug)]
pub struct WorkSpan {
    span: Span,
    recorder: Arc<Recorder>,
    spans: Arc<Spans>,
}

impl WorkSpan {
    fn new(spans: &Arc<Spans>, name: &'static str, subject: SpanSubject) -> Self {
        let recorder = Recorder::new(name, SpanRole::Work, spans.ids.context(None), Instant::now(), subject);
        spans.add(&recorder);
        Self { span: Span::of(&recorder, spans), recorder, spans: Arc::clone(spans) }
    }
    /// For who does the work, and who waits for it.
    #[must_use]
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// How it ended.
    pub fn settle(&self, outcome: Result<(), (&'static str, &str)>) {
        self.recorder.settle(of(outcome));
    }
}

impl Drop for WorkSpan {
    fn drop(&mut self) {
        let failed = matches!(self.recorder.recorded().outcome, SpanOutcome::Failed { .. });
        if failed && !self.recorder.is_followed() {
            self.spans.finish(&self.recorder);
        } else {
            self.recorder.finish();
            lock(&self.spans.running).remove(&self.recorder.context.span_id);
        }
    }
}

fn of(outcome: Result<(), (&'static str, &str)>) -> SpanOutcome {
    match outcome {
        Ok(()) => SpanOutcome::Done,
        Err((code, message)) => {
            let message = shortened(&one_line(&shortened(message, MESSAGE_BYTES)), MESSAGE_BYTES).into();
            SpanOutcome::Failed { code, message }
        }
    }
}
