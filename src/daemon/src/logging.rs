//! Log lines go to standard error, as text or as JSON.

use tracing_subscriber::EnvFilter;

use crate::args::LogFormat;
use crate::config::Log;

/// Begins to log. A second call in one process changes nothing.
pub(crate) fn start(log: &Log) {
    // The level was checked with the rest of the configuration.
    let filter = EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Text => lines.with_ansi(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(true).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging was set up already");
    }
}
