//! What is written down, kept and shown of spans.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::bounds::{DETAIL_BYTES, LAST_FAILED, LAST_OF_KIND, LAST_OF_KIND_BYTES, MESSAGE_BYTES, STAGES_OF_SPAN};
use crate::{
    RootSpan, SpanContext, SpanOutcome, SpanSubject, SpanTree, StageKind, StageProgress, StageSpan, TraceParent,
    Tracer, WorkSpan,
};

#[allow(unreachable_pub, reason = "as a crate has it that shows them")]
mod kinds {
    crate::stages! {
        RECEIVE = "receive", "the request";
        CHECK = "check", "the check";
        RECORD = "record", "its record";
        SET_UP = "set-up", "its making";
        SHIM = "shim", "its shim";
        NETWORK = "network", "its network";
        PLUGIN = "CNI plugin", "CNI plugin {}";
    }
}
use kinds::{CHECK, NETWORK, PLUGIN, RECEIVE, RECORD, SET_UP, SHIM, STAGES};

fn begin(tracer: &Tracer, call: &'static str) -> RootSpan {
    tracer.operation(call, SpanSubject::default(), None, Instant::now(), &RECEIVE)
}

/// The names of stages with those of what they are in.
fn names(tree: &SpanTree) -> Vec<String> {
    let name = |stage: &StageSpan| match stage.parent {
        Some(parent) => format!("{}/{}", tree.stages[usize::from(parent)].kind.name, stage.kind.name),
        None => stage.kind.name.to_owned(),
    };
    tree.stages.iter().map(name).collect()
}

fn only(tracer: &Tracer) -> SpanTree {
    let mut running = tracer.running(|_| true, 100).0;
    assert_eq!(running.len(), 1, "{running:?}");
    running.remove(0)
}

#[test]
fn stages_follow_each_other_without_a_gap() {
    let tracer = Tracer::new();
    let root = begin(&tracer, "RunPodSandbox");
    root.span().enter(&CHECK);
    root.span().enter(&CHECK);
    root.span().enter_on(&PLUGIN, "bridge (ADD)");
    assert_eq!(only(&tracer).awaited().as_deref(), Some("CNI plugin bridge (ADD)"));
    root.span().enter_on(&PLUGIN, "portmap (ADD)");
    assert_eq!(root.span().awaited().as_deref(), Some("CNI plugin portmap (ADD)"));
    root.settle(Ok(()));
    drop(root);
    assert!(tracer.running(|_| true, 100).0.is_empty());
    let last = tracer.last(|_| true);
    let tree = &last[0];
    assert_eq!(names(tree), ["receive", "check", "CNI plugin", "CNI plugin", "answer"]);
    assert!(tree.stages.windows(2).all(|two| two[0].end_us == Some(two[1].begin_us)), "{tree:?}");
    assert_eq!((tree.explained(), tree.awaited()), (tree.micros, None));
    assert_eq!((&tree.outcome, tree.is_call, tree.left_out), (&SpanOutcome::Done, true, 0));
}

#[test]
fn so_many_that_run_are_told_the_oldest_first() {
    let tracer = Tracer::new();
    let begin = |number: u32| {
        let mut subject = SpanSubject::default();
        subject.set_pod_id(if number.is_multiple_of(2) { "even" } else { "odd" });
        tracer.operation("StopContainer", subject, None, Instant::now(), &RECEIVE)
    };
    let all: Vec<_> = (0..10).map(begin).collect();
    let ids = |trees: &[SpanTree]| trees.iter().map(|tree| tree.context.span_id).collect::<Vec<_>>();
    let (whole, none) = tracer.running(|_| true, 10);
    assert_eq!((whole.len(), none), (10, 0));
    let (told, more) = tracer.running(|subject| subject.pod_id() == "odd", 3);
    let expected: Vec<_> = ids(&whole).into_iter().skip(1).step_by(2).take(3).collect();
    assert_eq!((ids(&told), more), (expected, 2));
    drop(all);
}

#[test]
fn works_of_many_are_found_without_a_look_at_all() {
    let tracer = Tracer::new();
    let root = begin(&tracer, "PullImage");
    let works: Vec<_> = (0..20_000).map(|_| tracer.work("layer", SpanSubject::default())).collect();
    let wait = |work: &WorkSpan| {
        let stage = root.span().begin(&SHIM);
        stage.enter_work(&SET_UP, work.span());
        stage
    };
    let stages: Vec<_> = works.iter().take(500).map(wait).collect();
    let began = Instant::now();
    let (told, more) = tracer.running(|_| true, 10);
    assert_eq!((told.len(), more), (10, 1 + 20_000 - 500 - 10));
    for work in &works {
        work.settle(Err(("Unavailable", "no")));
    }
    drop((works, stages));
    // Each of them against all others takes minutes.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn a_stage_tells_how_far_it_has_come() {
    let tracer = Tracer::new();
    let root = begin(&tracer, "PullImage");
    let work = tracer.work("layer", SpanSubject::default());
    let layer = root.span().begin(&SHIM);
    layer.enter_work(&SET_UP, work.span());
    work.span().enter(&NETWORK);
    work.span().progress(3, 10);
    let progress = |tree: &SpanTree| tree.stages.iter().map(|stage| stage.progress).collect::<Vec<_>>();
    let come = Some(StageProgress { done: 3, of: 10 });
    let (told, _) = tracer.running(|_| true, 10);
    assert_eq!(progress(&told[0]), [None, None, None, come]);
    work.span().progress(10, 10);
    work.span().enter(&CHECK);
    let (told, _) = tracer.running(|_| true, 10);
    assert_eq!(progress(&told[0]), [None, None, None, Some(StageProgress { done: 10, of: 10 }), None]);
}

#[test]
fn a_request_begins_when_it_arrived() {
    let tracer = Tracer::new();
    let arrived = Instant::now().checked_sub(Duration::from_secs(7)).unwrap();
    let root = tracer.operation("PullImage", SpanSubject::default(), None, arrived, &RECEIVE);
    root.span().enter(&CHECK);
    let tree = only(&tracer);
    assert!(tree.stages[0].end_us >= Some(7_000_000) && tree.micros >= 7_000_000);
    assert!(tree.begun_at.elapsed().unwrap() >= Duration::from_secs(7));
}

#[test]
fn work_is_shown_to_all_who_wait_for_it_for_as_long_as_they_do() {
    let tracer = Tracer::new();
    let first = begin(&tracer, "RunPodSandbox");
    let work = tracer.work("set-up", SpanSubject::default());
    first.span().enter_work(&SET_UP, work.span());
    let both = {
        let shim = work.span().begin(&SHIM);
        let network = work.span().begin(&NETWORK);
        network.enter_on(&PLUGIN, "bridge (ADD)");
        drop(shim);
        network
    };
    let second = begin(&tracer, "RunPodSandbox");
    second.span().enter_work(&SET_UP, work.span());
    let running = tracer.running(|_| true, 100).0;
    assert_eq!(running.len(), 2, "the work stands in both, and not by itself");
    let whole = ["receive", "set-up", "set-up/shim", "set-up/network", "network/CNI plugin"];
    assert_eq!(names(&running[0]), whole);
    // The shim was there before this one came.
    assert!(names(&running[1]).contains(&"network/CNI plugin".to_owned()), "{running:?}");
    assert!(running[1].stages.iter().all(|stage| stage.begin_us <= running[1].micros));
    assert!(running.iter().all(|tree| tree.awaited().as_deref() == Some("CNI plugin bridge (ADD)")));
    first.span().enter(&RECORD);
    first.settle(Ok(()));
    drop(first);
    drop(both);
    second.settle(Err(("Unavailable", "too late")));
    drop(second);
    let last = tracer.last(|_| true);
    assert_eq!(last.len(), 2);
    let done = last.iter().find(|tree| tree.outcome == SpanOutcome::Done).unwrap();
    let set_up = &done.stages[1];
    assert!(done.stages[2..5].iter().all(|stage| stage.end_us <= set_up.end_us), "{done:?}");
    // Nobody waits any more.
    assert_eq!(names(&only(&tracer)), ["shim", "network", "network/CNI plugin"]);
    assert!(!only(&tracer).is_call);
    drop(work);
    assert!(tracer.running(|_| true, 100).0.is_empty());
    assert_eq!(tracer.last(|_| true).len(), 2, "it did not fail");
}

#[test]
fn work_that_fails_when_nobody_waits_is_kept() {
    let tracer = Tracer::new();
    let root = begin(&tracer, "RunPodSandbox");
    let work = tracer.work("set-up", SpanSubject::default());
    root.span().enter_work(&SET_UP, work.span());
    work.span().enter(&NETWORK);
    drop(root);
    let left = tracer.last(|_| true);
    assert_eq!(left[0].outcome, SpanOutcome::Left);
    let failed: Vec<_> = left[0].stages.iter().filter(|stage| stage.failed).map(|stage| stage.kind.name).collect();
    assert_eq!(failed, ["set-up", "network"], "what it waited for when its client left");
    work.settle(Err(("Internal", "no address")));
    drop(work);
    let kept = tracer.last(|tree| tree.name == "set-up");
    assert_eq!(kept[0].outcome, SpanOutcome::Failed { code: "Internal", message: "no address".into() });
    assert!(kept[0].stages[0].failed);
}

#[test]
fn what_failed_is_marked_once() {
    let tracer = Tracer::new();
    let root = begin(&tracer, "RunPodSandbox");
    root.span().enter(&SET_UP);
    let network = root.span().begin(&NETWORK);
    network.enter_on(&PLUGIN, "bridge (ADD)");
    let _: Result<(), ()> = network.end(Err(()));
    root.span().enter(&RECORD);
    root.settle(Err(("Internal", "refused")));
    drop(root);
    let last = tracer.last(|_| true);
    let failed: Vec<_> = last[0].stages.iter().filter(|stage| stage.failed).map(|stage| stage.kind.name).collect();
    assert_eq!(failed, ["network", "CNI plugin"]);
}

fn stage(kind: &'static StageKind, parent: Option<u16>, begin_us: u64, end_us: u64) -> StageSpan {
    StageSpan { kind, detail: None, parent, begin_us, end_us: Some(end_us), failed: false, progress: None }
}

fn tree(micros: u64, stages: Vec<StageSpan>) -> SpanTree {
    SpanTree {
        name: "RunPodSandbox",
        is_call: true,
        subject: SpanSubject::default(),
        context: SpanContext { trace_id: 1, span_id: 2, parent_id: None, sampled: true },
        begun_at: SystemTime::UNIX_EPOCH,
        micros,
        outcome: SpanOutcome::Done,
        stages: stages.into(),
        left_out: 0,
    }
}

#[test]
fn of_what_is_side_by_side_the_last_to_end_was_waited_for() {
    let found = tree(
        100,
        vec![
            stage(&CHECK, None, 0, 10),
            stage(&SET_UP, None, 10, 90),
            stage(&SHIM, Some(1), 10, 40),
            stage(&NETWORK, Some(1), 10, 60),
            stage(&PLUGIN, Some(3), 12, 30),
            stage(&PLUGIN, Some(3), 30, 60),
            stage(&PLUGIN, Some(2), 10, 20),
            stage(&RECORD, Some(1), 60, 90),
            stage(&RECORD, None, 90, 100),
        ],
    );
    assert_eq!(found.critical(), [true, true, false, true, true, true, false, true, true]);
    // All but the two before the first plugin.
    assert_eq!(found.explained(), 98);
    assert_eq!(tree(100, Vec::new()).explained(), 0);
    let ids: std::collections::BTreeSet<u64> = (0..9).map(|index| found.stage_id(index)).collect();
    assert!(ids.len() == 9 && !ids.contains(&0) && !ids.contains(&2));
}

#[test]
fn what_is_too_much_is_left_out_and_counted() {
    let tracer = Tracer::new();
    let root = begin(&tracer, "PullImage");
    for _ in 0..2 * STAGES_OF_SPAN {
        drop(root.span().begin_on(&PLUGIN, "\n".repeat(10_000)));
    }
    root.settle(Err(("Unknown", &"no\u{1b}".repeat(100_000))));
    drop(root);
    let last = tracer.last(|_| true);
    assert_eq!(last[0].stages.len(), STAGES_OF_SPAN);
    // The first stage is one of them, the answer is not.
    assert_eq!(usize::try_from(last[0].left_out).unwrap(), STAGES_OF_SPAN + 2);
    assert!(last[0].stages.iter().filter_map(|stage| stage.detail.as_ref()).all(|text| text.len() <= DETAIL_BYTES));
    let SpanOutcome::Failed { message, .. } = &last[0].outcome else { panic!("{last:?}") };
    assert!(message.len() <= MESSAGE_BYTES && !message.contains('\u{1b}'));
}

#[test]
fn so_many_are_kept_of_each_kind_and_of_those_that_failed() {
    let tracer = Tracer::new();
    let end = |call, outcome: Result<(), (&'static str, &str)>| begin(&tracer, call).settle(outcome);
    end("RunPodSandbox", Ok(()));
    for _ in 0..LAST_OF_KIND + 10 {
        end("ExecSync", Ok(()));
        end("PullImage", Err(("NotFound", "no such image")));
    }
    let count = |is_one: fn(&SpanTree) -> bool| tracer.last(is_one).len();
    assert_eq!(count(|tree| tree.name == "RunPodSandbox"), 1, "others don't push it out");
    assert_eq!(count(|tree| tree.name == "ExecSync"), LAST_OF_KIND);
    assert_eq!(count(|tree| tree.name == "PullImage"), LAST_FAILED);
    // Large ones are fewer.
    for _ in 0..20 {
        let root = begin(&tracer, "StartContainer");
        for _ in 0..STAGES_OF_SPAN {
            drop(root.span().begin(&SHIM));
        }
        root.settle(Ok(()));
    }
    let kept = tracer.last(|tree| tree.name == "StartContainer");
    let bytes: usize = kept.iter().map(|tree| tree.bytes()).sum();
    assert!((1..20).contains(&kept.len()) && bytes <= LAST_OF_KIND_BYTES, "{} of {bytes} bytes", kept.len());
}

#[test]
fn who_subscribes_is_told_of_all_calls() {
    let tracer = Tracer::new();
    let query = |tracer: &Tracer, parent| {
        let root = tracer.query("ListContainers", SpanSubject::default(), parent, Instant::now(), &RECEIVE);
        root.settle(Ok(()));
    };
    query(&tracer, None);
    let mut told = tracer.subscribe();
    let parent = TraceParent::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
    query(&tracer, parent);
    begin(&tracer, "RunPodSandbox").settle(Ok(()));
    drop(tracer.work("set-up", SpanSubject::default()));
    let first: Arc<SpanTree> = told.try_recv().unwrap();
    assert_eq!((first.name, first.context.sampled), ("ListContainers", false));
    assert_eq!(first.context.parent_id, Some(0xb7ad_6b71_6920_3331));
    assert_eq!(told.try_recv().unwrap().name, "RunPodSandbox");
    assert!(told.try_recv().is_err());
    assert!(tracer.last(|tree| tree.name == "ListContainers").is_empty());
}

#[test]
fn what_records_nothing_takes_everything() {
    let none = crate::Span::default();
    none.enter(&CHECK);
    none.enter_on(&PLUGIN, "x");
    none.begin_on(&PLUGIN, "x").enter(&SHIM);
    none.fail();
    none.about(|subject| subject.set_image("x"));
    assert_eq!((none.awaited(), none.subject()), (None, SpanSubject::default()));
    assert_eq!(STAGES.len(), 7);
    assert!(STAGES.iter().all(|kind| !kind.name.is_empty()));
}
