//! Where the time of operations goes: what each is doing now, and what those were doing that have ended.
//!
//! The words are OpenTelemetry's. A client's call is a span ([`RootSpan`]) with child spans, its stages; what stages
//! there are is fixed when peapod is built ([`StageKind`]). A span is handed to whoever does the work ([`Span`]), which
//! says what comes next; it is passed on explicitly, as work goes from task to task, and one job may serve several
//! calls. Such a job has a span of its own ([`WorkSpan`]), and a call that waits for it shows that span's stages as its
//! own ([`Span::enter_work`]).
//!
//! Writing a stage down takes a lock for the moment that a line in a list takes: no system call, and no allocation but
//! the list's. Who reads gets a copy ([`SpanTree`]). All is bounded (`bounds.rs`): what is too much is counted.

mod bounds;
mod context;
mod kept;
mod kind;
mod outcome;
mod recorder;
mod subject;
#[cfg(test)]
mod tests;
mod tracer;
mod tree;

pub use bounds::FINISHED;
pub use context::{SpanContext, TraceParent};
pub use kind::{ANSWER, StageKind};
pub use outcome::SpanOutcome;
pub use recorder::StageProgress;
pub use subject::SpanSubject;
pub use tracer::{ChildSpan, RootSpan, Span, Tracer, WorkSpan};
pub use tree::{SpanTree, StageSpan};
