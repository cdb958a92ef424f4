//! What becomes of spans that have ended: how long each stage took is counted for Prometheus, and if `[tracing]` says
//! so, they go to a collector over OTLP. No operation waits for either: who falls behind loses spans, and counts them.

mod batch;
mod convert;
mod export;
mod measures;
mod queue;

use std::sync::Arc;
use std::time::Duration;

use peapod_trace::SpanTree;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, oneshot};

use self::batch::is_sampled;
use self::export::Exporter;
use self::queue::{SpanQueue, queue};
use crate::config::TracingSettings;

pub(crate) use self::measures::SpanMeasures;

/// Takes all spans that end until it is stopped, and then sends what is left. How long that may take is up to who waits
/// for it.
pub(crate) async fn run(
    settings: &TracingSettings,
    finished: broadcast::Receiver<Arc<SpanTree>>,
    measures: SpanMeasures,
    stopped: oneshot::Receiver<()>,
) {
    let (queue, waiting) = queue();
    let exporter = settings.endpoint.as_ref().map(|endpoint| Exporter::new(endpoint, measures.clone()));
    let queue = exporter.is_some().then_some(queue);
    let taken = take(finished, Taker { queue, percent: settings.sample_percent, measures }, stopped);
    let sent = async {
        if let Some(exporter) = exporter {
            exporter.run(waiting).await;
        }
    };
    tokio::join!(taken, sent);
}

/// For so long spans gather before they are taken: each that is waited for would wake a thread. Some thousand calls a
/// second end before any is lost.
const GATHER: Duration = Duration::from_millis(100);

/// Where ended spans go.
struct Taker {
    /// None: nowhere but to the measures.
    queue: Option<SpanQueue>,
    percent: u64,
    measures: SpanMeasures,
}

async fn take(mut finished: broadcast::Receiver<Arc<SpanTree>>, taker: Taker, mut stopped: oneshot::Receiver<()>) {
    loop {
        tokio::select! {
            biased;
            tree = finished.recv() => match tree {
                Ok(tree) => taker.take(tree),
                Err(RecvError::Lagged(lost)) => taker.missed(lost),
                // Nothing more comes; who stops this waits for its end.
                Err(RecvError::Closed) => {
                    let _ = stopped.await;
                    return;
                }
            },
            _ = &mut stopped => return,
        }
        taker.take_all(&mut finished);
        let is_stopped = tokio::time::timeout(GATHER, &mut stopped).await.is_ok();
        taker.take_all(&mut finished);
        if is_stopped {
            return;
        }
    }
}

impl Taker {
    fn take(&self, tree: Arc<SpanTree>) {
        self.measures.stages.observe(&tree);
        let Some(queue) = self.queue.as_ref().filter(|_| is_sampled(&tree.context, self.percent)) else { return };
        let spans = batch::spans(&tree);
        if !queue.push(tree) {
            self.measures.dropped.add(spans);
        }
    }

    /// Takes those that are there.
    fn take_all(&self, finished: &mut broadcast::Receiver<Arc<SpanTree>>) {
        loop {
            match finished.try_recv() {
                Ok(tree) => self.take(tree),
                Err(TryRecvError::Lagged(lost)) => self.missed(lost),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    /// So many operations ended faster than this took them. What they had of stages, and whether they were to be sent,
    /// nobody knows any more.
    fn missed(&self, operations: u64) {
        self.measures.missed.add(operations);
    }
}
