//! Operations under way, and the last ones, as verbose statuses tell them: for people and `peapod why`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use peapod_trace::{SpanOutcome, SpanSubject, SpanTree, StageSpan, Tracer};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::bounds::{OPERATIONS_BYTES, OPERATIONS_SHOWN, OPERATIONS_SHOWN_OF_KIND};

/// A verbose status' information: `known`, and beside it operations, as the other functions here answer them.
pub(super) fn beside<const N: usize>(known: [(&str, Value); N], operations: String) -> BTreeMap<String, String> {
    let known = known.into_iter().map(|(key, value)| (key.to_owned(), value.to_string()));
    known.chain([("operations".to_owned(), operations)]).collect()
}

/// Of those that are about something: what is under way, what failed, and of each kind the last that did not.
pub(super) fn about(tracer: &Tracer, is_about: impl Fn(&SpanSubject) -> bool) -> String {
    let running = tracer.running(&is_about, OPERATIONS_SHOWN / 2);
    let mut found = tracer.last(|span| is_about(&span.subject));
    found.reverse();
    let mut counted: Vec<(&str, &str, usize)> = Vec::new();
    let of_kind: Vec<bool> = found.iter().map(|span| is_shown(&mut counted, span)).collect();
    let last = found.iter().zip(of_kind).filter(|(_, is_shown)| *is_shown).map(|(span, _)| Arc::clone(span));
    shown(running, last)
}

/// Of all: what is under way, and the last that failed.
pub(super) fn running_and_failed(tracer: &Tracer) -> String {
    let running = tracer.running(|_| true, OPERATIONS_SHOWN / 2);
    let failed = tracer.last(|span| span.outcome != SpanOutcome::Done);
    shown(running, failed.into_iter().rev())
}

/// Whether one that ended, the newest being asked about first, is among the last of its kind and container.
fn is_shown<'s>(counted: &mut Vec<(&'s str, &'s str, usize)>, span: &'s SpanTree) -> bool {
    if span.outcome != SpanOutcome::Done {
        return true;
    }
    let (name, container) = (span.name, span.subject.container_id());
    match counted.iter_mut().find(|(known, of, _)| (*known, *of) == (name, container)) {
        Some((_, _, count)) => {
            *count += 1;
            *count <= OPERATIONS_SHOWN_OF_KIND
        }
        None => {
            counted.push((name, container, 1));
            true
        }
    }
}

/// As JSON: a list, the oldest first, and how many don't fit: half of the room is for those under way, of which the
/// newest are left out, and what these leave for those that have ended, of which the oldest are.
fn shown((running, more): (Vec<SpanTree>, usize), ended: impl Iterator<Item = Arc<SpanTree>>) -> String {
    let mut list = OperationList { left_out: more, ..OperationList::default() };
    list.add(running.into_iter().map(Arc::new), OPERATIONS_BYTES / 2);
    list.add(ended, OPERATIONS_BYTES);
    list.texts.sort_by_key(|(begun, _)| *begun);
    let texts: Vec<String> = list.texts.into_iter().map(|(_, text)| text).collect();
    format!("{{\"operations\":[{}],\"leftOut\":{}}}", texts.join(","), list.left_out)
}

#[derive(Default)]
struct OperationList {
    texts: Vec<(SystemTime, String)>,
    bytes: usize,
    left_out: usize,
}

impl OperationList {
    /// Up to the first that does not fit into so many bytes of all: what comes after it is not told either. The first
    /// of all is told, as large as a span may be.
    fn add(&mut self, spans: impl Iterator<Item = Arc<SpanTree>>, bytes: usize) {
        let mut spans = spans.peekable();
        while self.texts.len() < OPERATIONS_SHOWN
            && let Some(span) = spans.peek()
        {
            let text = operation(span).to_string();
            if self.bytes > 0 && self.bytes + text.len() > bytes {
                break;
            }
            self.bytes += text.len();
            self.texts.push((span.begun_at, text));
            spans.next();
        }
        self.left_out += spans.count();
    }
}

fn operation(span: &SpanTree) -> Value {
    let began = OffsetDateTime::from(span.begun_at).format(&Rfc3339).unwrap_or_default();
    let mut shown = json!({
        "id": format!("{:016x}", span.context.span_id),
        "traceId": format!("{:032x}", span.context.trace_id),
        "name": span.name,
        "isCall": span.is_call,
        "beganAt": began,
        "ms": milliseconds(span.micros),
        "state": state(&span.outcome),
        "stages": stages(span),
    });
    let subject = &span.subject;
    let texts = [
        ("namespace", subject.namespace()),
        ("pod", subject.pod_name()),
        ("podUid", subject.pod_uid()),
        ("podId", subject.pod_id()),
        ("container", subject.container_name()),
        ("containerId", subject.container_id()),
        ("image", subject.image()),
    ];
    let Some(fields) = shown.as_object_mut() else { return shown };
    fields.extend(
        texts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(key, text)| (key.to_owned(), text.into())),
    );
    if let SpanOutcome::Failed { code, message } = &span.outcome {
        fields.insert("code".to_owned(), (*code).into());
        fields.insert("error".to_owned(), (**message).into());
    }
    if let Some(awaited) = span.awaited() {
        fields.insert("waitingFor".to_owned(), awaited.into());
    }
    if span.left_out > 0 {
        fields.insert("stagesLeftOut".to_owned(), span.left_out.into());
    }
    shown
}

fn state(outcome: &SpanOutcome) -> &'static str {
    match outcome {
        SpanOutcome::Running => "running",
        SpanOutcome::Done => "done",
        SpanOutcome::Failed { .. } => "failed",
        SpanOutcome::Left => "left",
    }
}

/// Those that are in no other, with what is in them.
fn stages(span: &SpanTree) -> Value {
    let critical = span.critical();
    let mut within: Vec<Vec<Value>> = vec![Vec::new(); span.stages.len() + 1];
    // From the last: what is in a stage stands behind it.
    for (index, own) in span.stages.iter().enumerate().rev() {
        let mut below = std::mem::take(&mut within[index + 1]);
        below.reverse();
        let parent = own.parent.map_or(0, |parent| usize::from(parent) + 1);
        within[parent].push(stage(span, own, critical[index], below));
    }
    let mut first = std::mem::take(&mut within[0]);
    first.reverse();
    first.into()
}

fn stage(span: &SpanTree, own: &StageSpan, is_critical: bool, below: Vec<Value>) -> Value {
    let mut shown = Map::new();
    shown.insert("name".to_owned(), own.kind.name.into());
    if let Some(detail) = &own.detail {
        shown.insert("about".to_owned(), (**detail).into());
    }
    shown.insert("atMs".to_owned(), milliseconds(own.begin_us).into());
    shown.insert("ms".to_owned(), milliseconds(span.end_of(own).saturating_sub(own.begin_us)).into());
    let flags = [("isRunning", own.end_us.is_none()), ("isCritical", is_critical), ("hasFailed", own.failed)];
    shown.extend(flags.into_iter().filter(|(_, is_so)| *is_so).map(|(key, _)| (key.to_owned(), true.into())));
    if let Some(progress) = own.progress {
        shown.insert("doneBytes".to_owned(), progress.done.into());
        shown.insert("ofBytes".to_owned(), progress.of.into());
    }
    if !below.is_empty() {
        shown.insert("stages".to_owned(), below.into());
    }
    shown.into()
}

fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use peapod_trace::{ANSWER, Span};

    use super::*;
    use crate::stages::{CHECK, RECEIVE};

    fn call(tracer: &Tracer, name: &'static str, pod: &str, work: impl FnOnce(&Span), ends: Result<(), &str>) {
        let mut subject = SpanSubject::default();
        subject.set_pod_id(pod);
        let root = tracer.operation(name, subject, None, Instant::now(), &RECEIVE);
        work(root.span());
        root.settle(ends.map_err(|error| ("Unknown", error)));
    }

    fn read(text: &str) -> Vec<Value> {
        let read: Value = serde_json::from_str(text).unwrap();
        read["operations"].as_array().unwrap().clone()
    }

    #[test]
    fn stages_stand_in_each_other() {
        let tracer = Tracer::new();
        let work = |span: &Span| {
            span.leave();
            let outer = span.begin(&CHECK);
            drop(outer.begin_on(&RECEIVE, "first"));
            let _ = outer.begin_on(&RECEIVE, "second").end(Err::<(), ()>(()));
        };
        call(&tracer, "StartContainer", "a", work, Err("it does not start"));
        let found = read(&about(&tracer, |subject| subject.pod_id() == "a"));
        let one = &found[0];
        assert_eq!(
            (&one["name"], &one["podId"], &one["code"]),
            (&json!("StartContainer"), &json!("a"), &json!("Unknown"))
        );
        assert_eq!((&one["state"], &one["error"]), (&json!("failed"), &json!("it does not start")));
        let names = |stages: &Value| -> Vec<Value> {
            stages
                .as_array()
                .unwrap()
                .iter()
                .map(|stage| json!([stage["name"], stage["about"], stage["hasFailed"]]))
                .collect()
        };
        let top = [json!(["receive", null, null]), json!(["check", null, null]), json!([ANSWER.name, null, null])];
        assert_eq!(names(&one["stages"]), top);
        let inner = [json!(["receive", "first", null]), json!(["receive", "second", true])];
        assert_eq!(names(&one["stages"][1]["stages"]), inner);
        assert!(one["stages"][0]["isCritical"] == true && one["stages"][0]["isRunning"].is_null());
        assert!(read(&about(&tracer, |subject| subject.pod_id() == "b")).is_empty());
    }

    #[test]
    fn of_each_kind_the_last_and_all_that_failed_as_far_as_they_fit() {
        let tracer = Tracer::new();
        for _ in 0..20 {
            call(&tracer, "ExecSync", "a", |_| (), Ok(()));
            call(&tracer, "ExecSync", "a", |_| (), Err("no"));
        }
        call(&tracer, "RunPodSandbox", "a", |_| (), Ok(()));
        let all = read(&about(&tracer, |_| true));
        let count = |state: &str| all.iter().filter(|one| one["name"] == "ExecSync" && one["state"] == state).count();
        assert_eq!(
            (count("done"), count("failed"), all.len()),
            (OPERATIONS_SHOWN_OF_KIND, 20, 21 + OPERATIONS_SHOWN_OF_KIND)
        );
        assert_eq!(all.last().unwrap()["name"], "RunPodSandbox");
        assert_eq!(read(&running_and_failed(&tracer)).len(), 20);
        let waits = tracer.operation("PullImage", SpanSubject::default(), None, Instant::now(), &RECEIVE);
        let shown = read(&running_and_failed(&tracer));
        assert_eq!(shown.last().unwrap()["waitingFor"], RECEIVE.awaited);
        drop(waits);
        let begin = |_| tracer.operation("StopContainer", SpanSubject::default(), None, Instant::now(), &RECEIVE);
        let all: Vec<_> = (0..10).map(begin).collect();
        for root in &all {
            (0..1000).for_each(|_| drop(root.span().begin_on(&CHECK, "x".repeat(200))));
        }
        let text = running_and_failed(&tracer);
        assert!(text.len() <= OPERATIONS_BYTES + 1000 && !read(&text).is_empty(), "{}", text.len());
        assert!(!text.ends_with(":0}"), "some are left out");
    }
}
