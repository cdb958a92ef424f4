//! What becomes of spans that have ended: how long each stage took is counted for Prometheus, and if `[tracing]` says
//! so, they go to a collector over OTLP. No operation waits for either: who falls behind loses spans, and counts them.

mod batch;
mod convert;
mod export;
mod measures;

use std::sync::Arc;

use peapod_trace::SpanTree;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot};

use self::batch::is_sampled;
use self::export::Exporter;
use crate::bounds::SPANS_WAITING;
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
    let (queue, waiting) = mpsc::channel(SPANS_WAITING);
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

/// Where ended spans go.
struct Taker {
    /// None: nowhere but to the measures.
    queue: Option<mpsc::Sender<Arc<SpanTree>>>,
    percent: u64,
    measures: SpanMeasures,
}

async fn take(mut finished: broadcast::Receiver<Arc<SpanTree>>, taker: Taker, mut stopped: oneshot::Receiver<()>) {
    loop {
        tokio::select! {
            biased;
            tree = finished.recv() => match tree {
                Ok(tree) => taker.take(tree),
                // Of stages these are lost, too; how many spans they had, nobody knows.
                Err(RecvError::Lagged(lost)) => taker.measures.dropped.add(lost),
                // Nothing more comes; who stops this waits for its end.
                Err(RecvError::Closed) => {
                    let _ = stopped.await;
                    return;
                }
            },
            _ = &mut stopped => return,
        }
    }
}

impl Taker {
    fn take(&self, tree: Arc<SpanTree>) {
        self.measures.stages.observe(&tree);
        let Some(queue) = self.queue.as_ref().filter(|_| is_sampled(&tree.context, self.percent)) else { return };
        if let Err(lost) = queue.try_send(tree) {
            self.measures.dropped.add(batch::spans(&lost.into_inner()));
        }
    }
}
