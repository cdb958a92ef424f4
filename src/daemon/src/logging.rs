//! Log lines go to standard error, as text or as JSON.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::{Context, Filter, Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt, reload};

use crate::args::LogFormat;
use crate::config::Log;

/// Changes what is logged, and how, while it goes on.
#[derive(Debug)]
pub(crate) struct Logging {
    filter: reload::Handle<EnvFilter, Registry>,
    json: Arc<AtomicBool>,
}

/// Begins to log. A second call in one process changes nothing.
pub(crate) fn start(log: &Log) -> Logging {
    let (filter, handle) = reload::Layer::new(filter(log));
    let json = Arc::new(AtomicBool::new(log.format == LogFormat::Json));
    let text =
        fmt::layer().with_writer(std::io::stderr).with_ansi(false).with_filter(Only { json: false, now: json.clone() });
    let objects = fmt::layer().with_writer(std::io::stderr).json().flatten_event(true);
    let objects =
        objects.with_current_span(false).with_span_list(true).with_filter(Only { json: true, now: json.clone() });
    if tracing_subscriber::registry().with(filter).with(text).with(objects).try_init().is_err() {
        tracing::debug!("logging was set up already");
    }
    Logging { filter: handle, json }
}

impl Logging {
    /// From now on as this says.
    pub(crate) fn change(&self, log: &Log) {
        if let Err(error) = self.filter.reload(filter(log)) {
            tracing::warn!(%error, "log.level can't be changed");
        }
        self.json.store(log.format == LogFormat::Json, Ordering::Relaxed);
    }
}

/// Lets lines through while their form is the one that is wanted.
struct Only {
    json: bool,
    now: Arc<AtomicBool>,
}

impl<S> Filter<S> for Only {
    fn enabled(&self, what: &tracing::Metadata<'_>, _: &Context<'_, S>) -> bool {
        // Both forms follow all spans, so that a line of either can show those that were open when the form changed.
        what.is_span() || self.now.load(Ordering::Relaxed) == self.json
    }
}

fn filter(log: &Log) -> EnvFilter {
    // The level was checked with the rest of the configuration.
    EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"))
}
