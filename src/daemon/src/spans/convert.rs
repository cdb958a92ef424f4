//! A span as OTLP has it, with the names of OpenTelemetry's semantic conventions.

use std::time::UNIX_EPOCH;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use peapod_trace::{SpanOutcome, SpanTree, StageSpan};

use crate::grpc;

/// In the flags of a span: whether its parent is in another process is known, and so it is.
const HAS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;
/// The client's flag in the same.
const SAMPLED: u32 = 1;

/// What is sent for these operations.
pub(super) fn request<'t>(trees: impl Iterator<Item = &'t SpanTree>, resource: &Resource) -> ExportTraceServiceRequest {
    let spans = trees.flat_map(spans).collect();
    let (name, version) = ("peapod".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    let scope = InstrumentationScope { name, version, ..Default::default() };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..Default::default() }];
    let of_resource = ResourceSpans { resource: Some(resource.clone()), scope_spans, ..Default::default() };
    ExportTraceServiceRequest { resource_spans: vec![of_resource] }
}

/// Who sends them.
pub(super) fn resource() -> Resource {
    let mut attributes = vec![
        text("service.name", "peapod"),
        text("service.version", env!("CARGO_PKG_VERSION")),
        attribute("process.pid", Value::IntValue(i64::from(std::process::id()))),
    ];
    let node = rustix::system::uname();
    if let Ok(name) = node.nodename().to_str() {
        attributes.push(text("host.name", name));
    }
    Resource { attributes, ..Default::default() }
}

fn spans(tree: &SpanTree) -> Vec<Span> {
    let begun = u64::try_from(tree.begun_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos());
    let begun = begun.unwrap_or(u64::MAX);
    let at = |micros: u64| begun.saturating_add(micros.saturating_mul(1000));
    let trace_id = tree.context.trace_id.to_be_bytes().to_vec();
    let kind = if tree.is_call { SpanKind::Server } else { SpanKind::Internal };
    let root = Span {
        trace_id: trace_id.clone(),
        span_id: id(tree.context.span_id),
        parent_span_id: tree.context.parent_id.map(id).unwrap_or_default(),
        flags: SAMPLED | HAS_REMOTE | if tree.context.parent_id.is_some() { IS_REMOTE } else { 0 },
        name: if tree.is_call { format!("{}/{}", service(tree), tree.name) } else { tree.name.to_owned() },
        kind: kind.into(),
        start_time_unix_nano: begun,
        end_time_unix_nano: at(tree.micros),
        attributes: attributes(tree),
        status: Some(status(tree)),
        ..Default::default()
    };
    let stage = |(index, stage): (usize, &StageSpan)| Span {
        trace_id: trace_id.clone(),
        span_id: id(tree.stage_id(index)),
        parent_span_id: id(stage.parent.map_or(tree.context.span_id, |parent| tree.stage_id(usize::from(parent)))),
        flags: SAMPLED | HAS_REMOTE,
        name: stage.kind.name.to_owned(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: at(stage.begin_us),
        end_time_unix_nano: at(tree.end_of(stage)),
        attributes: stage.detail.iter().map(|detail| text("peapod.stage.detail", detail)).collect(),
        status: Some(if stage.failed { failure(String::new()) } else { Status::default() }),
        ..Default::default()
    };
    std::iter::once(root).chain(tree.stages.iter().enumerate().map(stage)).collect()
}

fn service(tree: &SpanTree) -> &'static str {
    grpc::service_of(tree.name)
}

fn attributes(tree: &SpanTree) -> Vec<KeyValue> {
    let subject = &tree.subject;
    let known = [
        ("k8s.namespace.name", subject.namespace()),
        ("k8s.pod.name", subject.pod_name()),
        ("k8s.pod.uid", subject.pod_uid()),
        ("k8s.container.name", subject.container_name()),
        ("container.id", subject.container_id()),
        ("container.image.name", subject.image()),
        ("peapod.pod_sandbox.id", subject.pod_id()),
    ];
    let mut attributes: Vec<_> =
        known.iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| text(key, value)).collect();
    if tree.is_call {
        attributes.extend([
            text("rpc.system", "grpc"),
            text("rpc.service", service(tree)),
            text("rpc.method", tree.name),
        ]);
        if let Some(code) = grpc::code_number(code(tree)) {
            attributes.push(attribute("rpc.grpc.status_code", Value::IntValue(code)));
        }
    }
    if tree.left_out > 0 {
        attributes.push(attribute("peapod.stages.left_out", Value::IntValue(i64::from(tree.left_out))));
    }
    attributes
}

/// gRPC's name of the status.
fn code(tree: &SpanTree) -> &'static str {
    match &tree.outcome {
        SpanOutcome::Failed { code, .. } => code,
        SpanOutcome::Left => "Canceled",
        SpanOutcome::Done | SpanOutcome::Running => "OK",
    }
}

/// Of a server's span only what is the server's fault is an error.
fn status(tree: &SpanTree) -> Status {
    const OURS: [&str; 6] = ["Unknown", "DeadlineExceeded", "Unimplemented", "Internal", "Unavailable", "DataLoss"];
    match &tree.outcome {
        SpanOutcome::Failed { code, message } if !tree.is_call || OURS.contains(code) => {
            failure(String::from(&**message))
        }
        _ => Status::default(),
    }
}

fn failure(message: String) -> Status {
    Status { code: StatusCode::Error.into(), message }
}

fn id(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}
