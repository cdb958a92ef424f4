//! Spans of calls and their stages, as a collector gets them over OTLP, and what becomes of them without one.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener as BlockingListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use peapod_tests::{Daemon, Options, at_most, free_port, peapod_with, v1, wait_for, wait_some};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::prometheus::scrape;

/// A collector that keeps what it gets.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for of_resource in request.into_inner().resource_spans {
            let resource = of_resource.resource.expect("a resource");
            assert_eq!(text(&resource.attributes, "service.name"), "peapod");
            assert_eq!(text(&resource.attributes, "service.version"), env!("CARGO_PKG_VERSION"));
            let spans = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.0.lock().unwrap().extend(spans);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Serves for as long as the test's runtime lasts; answers the port.
    fn start(&self) -> u16 {
        let listener = BlockingListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let service = TraceServiceServer::new(self.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let incoming = TcpListenerStream::new(TcpListener::from_std(listener).unwrap());
                tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming).await.unwrap();
            });
        });
        port
    }

    fn of_trace(&self, trace_id: u128) -> Vec<Span> {
        let all = self.0.lock().unwrap();
        all.iter().filter(|span| span.trace_id == trace_id.to_be_bytes()).cloned().collect()
    }
}

/// The text of an attribute; empty if there is none.
fn text(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|attribute| attribute.value.clone()?.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        _ => String::new(),
    }
}

const PARENT: u64 = 0x00f0_67aa_0ba9_02b7;

/// A request under a client's span.
fn traced<T>(message: T, trace_id: u128, sampled: bool) -> Request<T> {
    let mut request = Request::new(message);
    let parent = format!("00-{trace_id:032x}-{PARENT:016x}-0{}", u8::from(sampled));
    request.metadata_mut().insert("traceparent", parent.parse().unwrap());
    request
}

async fn version(daemon: &Daemon, trace_id: u128, sampled: bool) {
    daemon.runtime().version(traced(v1::VersionRequest::default(), trace_id, sampled)).await.unwrap();
}

#[test]
fn a_call_and_its_stages_are_spans_under_the_clients_own() {
    let collector = Collector::default();
    let endpoint = format!("tracing.endpoint=http://127.0.0.1:{}", collector.start());
    let options = Options::new().set(endpoint).set("tracing.sample_percent=0").set("image.retries=0");
    peapod_with(&options, async |daemon| {
        let (run, failed, left, unsampled, last) = ((0xa1_u128 << 100) + 1, 0xa2, 0xa3, 0xa4, 0xa5);
        let request = daemon.pod("traced").request();
        let metadata = request.config.clone().unwrap().metadata.unwrap();
        let pod = daemon.runtime().run_pod_sandbox(traced(request, run, true)).await.unwrap().into_inner();
        let unknown = v1::ContainerStatusRequest { container_id: "0".repeat(64), verbose: false };
        daemon.runtime().container_status(traced(unknown, failed, true)).await.unwrap_err();
        let image = v1::ImageSpec { image: "127.0.0.1:1/none:1".to_owned(), ..Default::default() };
        let pull = v1::PullImageRequest { image: Some(image), ..Default::default() };
        daemon.images().pull_image(traced(pull, left, true)).await.unwrap_err();
        version(daemon, unsampled, false).await;
        // Without a trace of the client's, of which none is wanted.
        daemon.pods().await;
        version(daemon, last, true).await;
        wait_for("the last span", async || !collector.of_trace(last).is_empty()).await;

        let spans = collector.of_trace(run);
        let root = spans.iter().find(|span| span.parent_span_id == PARENT.to_be_bytes()).expect("a span under ours");
        assert_eq!(root.name, "runtime.v1.RuntimeService/RunPodSandbox");
        assert_eq!(root.kind(), SpanKind::Server);
        for (key, value) in [
            ("rpc.system", "grpc"),
            ("rpc.service", "runtime.v1.RuntimeService"),
            ("rpc.method", "RunPodSandbox"),
            ("rpc.grpc.status_code", "0"),
            ("k8s.pod.name", &metadata.name),
            ("k8s.namespace.name", &metadata.namespace),
            ("k8s.pod.uid", &metadata.uid),
        ] {
            assert_eq!(text(&root.attributes, key), value, "{key}");
        }
        assert!(spans.len() > 5, "{spans:#?}");
        let by_id: BTreeMap<_, _> = spans.iter().map(|span| (span.span_id.clone(), span)).collect();
        assert_eq!(by_id.len(), spans.len(), "each has a number of its own");
        for span in spans.iter().filter(|span| span.span_id != root.span_id) {
            let parent = by_id.get(&span.parent_span_id).unwrap_or_else(|| panic!("no parent: {span:?}"));
            assert!(span.start_time_unix_nano >= parent.start_time_unix_nano, "{span:?} begins before {parent:?}");
            assert!(span.end_time_unix_nano <= parent.end_time_unix_nano, "{span:?} ends after {parent:?}");
            assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "{span:?}");
        }

        let of_failed = collector.of_trace(failed);
        let root = of_failed.iter().find(|span| span.parent_span_id == PARENT.to_be_bytes()).unwrap();
        assert_eq!(text(&root.attributes, "rpc.grpc.status_code"), "5");
        // What a client asks for that is not there is no fault of the server's.
        assert_eq!(root.status.as_ref().unwrap().code(), StatusCode::Unset);
        let of_pull = collector.of_trace(left);
        let root = of_pull.iter().find(|span| span.parent_span_id == PARENT.to_be_bytes()).unwrap();
        assert_eq!(root.name, "runtime.v1.ImageService/PullImage");
        assert_eq!(text(&root.attributes, "container.image.name"), "127.0.0.1:1/none:1");
        let status = root.status.as_ref().unwrap();
        assert!(status.code() == StatusCode::Error && status.message.contains("127.0.0.1:1"), "{status:?}");

        let traces = [run, failed, left, last].map(u128::to_be_bytes);
        let is_other = |span: &&Span| !traces.iter().any(|trace| span.trace_id == trace);
        let others: Vec<_> =
            collector.0.lock().unwrap().iter().filter(is_other).map(|span| span.name.clone()).collect();
        assert!(others.is_empty(), "not sampled, and sent: {others:?}");
        let request = v1::RemovePodSandboxRequest { pod_sandbox_id: pod.pod_sandbox_id };
        daemon.runtime().remove_pod_sandbox(request).await.unwrap();
    });
}

#[test]
fn the_last_spans_are_sent_when_the_daemon_ends() {
    let collector = Collector::default();
    let options = Options::new().set(format!("tracing.endpoint=http://127.0.0.1:{}", collector.start()));
    peapod_with(&options, async |daemon| {
        version(daemon, 0xb1, true).await;
        daemon.end(Signal::SIGTERM).await;
        assert_eq!(collector.of_trace(0xb1).iter().filter(|span| span.kind() == SpanKind::Server).count(), 1);
        daemon.start_again().await;
        // Calls of no trace have one of their own.
        daemon.pods().await;
        let listed = wait_some("a span of the list", async || {
            let all = collector.0.lock().unwrap();
            all.iter().find(|span| span.name.ends_with("/ListPodSandbox")).cloned()
        })
        .await;
        assert!(listed.parent_span_id.is_empty() && listed.trace_id != [0; 16], "{listed:?}");
    });
}

/// KiB of the daemon's memory.
fn resident(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_collector_that_hangs_costs_nothing_but_its_spans() {
    // Its connections are made by the kernel, and nobody ever answers.
    let hung = BlockingListener::bind("127.0.0.1:0").unwrap();
    let (port, gone) = (free_port(), free_port());
    for collector in [hung.local_addr().unwrap().port(), gone] {
        let options = Options::new()
            .set(format!("tracing.endpoint=http://127.0.0.1:{collector}"))
            .set(format!("metrics.address=127.0.0.1:{port}"));
        peapod_with(&options, async |daemon| {
            let calls = async |count: u32| {
                let began = Instant::now();
                for _ in 0..count {
                    daemon.runtime().version(v1::VersionRequest::default()).await.unwrap();
                }
                began.elapsed() / count
            };
            let before = calls(200).await;
            calls(2000).await;
            let memory = resident(daemon);
            let after = calls(3000).await;
            assert!(after < 4 * before.max(Duration::from_millis(1)), "{before:?}, then {after:?}");
            let grown = resident(daemon).saturating_sub(memory);
            assert!(grown < 8 << 10, "{grown} KiB more");
            let told = scrape(port).await;
            assert!(told.sum("peapod_trace_spans_dropped_total", &[]) > 1000.0);
            assert_eq!(told.sum("peapod_trace_spans_exported_total", &[]), 0.0);
            let pod = daemon.pod("unseen").run().await;
            pod.remove().await.unwrap();
            let began = Instant::now();
            daemon.end(Signal::SIGTERM).await;
            assert!(began.elapsed() < at_most(Duration::from_secs(4)), "{:?}", began.elapsed());
            daemon.start_again().await;
        });
    }
}
