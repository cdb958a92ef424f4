//! Sends spans to a collector, batch after batch. One that hangs or is gone costs the spans that it does not take.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::resource::v1::Resource;
use peapod_text::{one_line, shortened};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Status};

use super::batch::SpanBatch;
use super::convert;
use super::measures::SpanMeasures;
use super::queue::WaitingSpan;
use crate::bounds::{EXPORT_SILENCE, EXPORT_TIME, STATUS_MESSAGE};

/// How long the first span of a batch waits for others.
const LINGER: Duration = Duration::from_secs(1);
/// How often a batch is tried, and the pause before the second try; it doubles.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);
/// How long a connection may take to come up.
const CONNECT: Duration = Duration::from_secs(3);

pub(super) struct Exporter {
    client: TraceServiceClient<Channel>,
    resource: Resource,
    measures: SpanMeasures,
    /// Whether the last batch could not be sent: each silence of the collector is said once.
    is_failing: bool,
}

impl Exporter {
    /// Connects when there is something to send.
    pub(super) fn new(endpoint: &Uri, measures: SpanMeasures) -> Self {
        let endpoint = Endpoint::from(endpoint.clone()).connect_timeout(CONNECT).timeout(EXPORT_TIME);
        // A collector whose node has vanished is found at another place by a new connection alone.
        let endpoint = endpoint.http2_keep_alive_interval(EXPORT_SILENCE).keep_alive_timeout(EXPORT_SILENCE);
        let client = TraceServiceClient::new(endpoint.connect_lazy());
        Self { client, resource: convert::resource(), measures, is_failing: false }
    }

    /// Sends what comes, until nothing more can.
    pub(super) async fn run(mut self, mut waiting: mpsc::Receiver<WaitingSpan>) {
        while let Some(first) = waiting.recv().await {
            let (mut batch, until) = (SpanBatch::default(), Instant::now() + LINGER);
            batch.add(first);
            while !batch.is_full()
                && let Ok(Some(next)) = timeout_at(until, waiting.recv()).await
            {
                batch.add(next);
            }
            self.send(&batch).await;
        }
    }

    async fn send(&mut self, batch: &SpanBatch) {
        let mut pause = PAUSE;
        for tries in 1..=TRIES {
            match self.try_send(batch).await {
                Ok(rejected) => {
                    // As many as it says, of those that it was sent.
                    let rejected = rejected.min(batch.spans);
                    self.measures.exported.add(batch.spans - rejected);
                    self.measures.dropped.add(rejected);
                    self.is_failing = false;
                    return;
                }
                Err(refused) => {
                    self.measures.failures.increment();
                    if !std::mem::replace(&mut self.is_failing, true) {
                        let (code, message) = (refused.code(), shortened(refused.message(), STATUS_MESSAGE));
                        let message = one_line(&message);
                        tracing::warn!(?code, %message, "spans can't be sent; those that wait too long are dropped");
                    }
                    if tries == TRIES || !is_passing(refused.code()) {
                        break;
                    }
                    sleep(pause).await;
                    pause *= 2;
                }
            }
        }
        self.measures.dropped.add(batch.spans);
    }

    /// How many of the spans the collector did not want.
    async fn try_send(&mut self, batch: &SpanBatch) -> Result<u64, Status> {
        let sent = timeout(EXPORT_TIME, self.client.export(convert::request(batch.trees(), &self.resource))).await;
        let answer = sent.map_err(|_| Status::deadline_exceeded("no answer in time"))??.into_inner();
        let rejected = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
        Ok(u64::try_from(rejected).unwrap_or_default())
    }
}

/// Whether the same may succeed later, as the protocol says.
fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
            | Code::ResourceExhausted
    )
}
