//! Log lines go to standard error or to a file, as text or as JSON.
//!
//! An event is one line, whatever it quotes: what would end the line or steer a terminal is escaped where the line is
//! written, for every message and field alike.

mod target;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io;
use std::panic::PanicHookInfo;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::{Context, Filter, Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt, reload};

use self::target::LogTarget;
use crate::args::LogFormat;
use crate::bounds::LOG_LINE;
use crate::config::LogSettings;
use peapod_text::{is_hidden, one_line, shortened};

/// Changes what is logged, and how, while it goes on.
#[derive(Debug)]
pub(crate) struct Logging {
    target: LogTarget,
    filter: reload::Handle<EnvFilter, Registry>,
    json: Arc<AtomicBool>,
}

/// Begins to log. A second call in one process changes nothing.
pub(crate) fn start(log: &LogSettings) -> Logging {
    let to = LogTarget::new(io::stderr());
    let (filter, handle) = reload::Layer::new(filter(log));
    let json = Arc::new(AtomicBool::new(log.format == LogFormat::Json));
    let (for_text, for_objects) = (to.clone(), to.clone());
    let text = fmt::layer()
        .with_writer(move || EventWriter { form: LogFormat::Text, to: for_text.clone() })
        .with_ansi(false)
        .with_filter(Only { json: false, now: json.clone() });
    let objects = fmt::layer()
        .with_writer(move || EventWriter { form: LogFormat::Json, to: for_objects.clone() })
        .json()
        .flatten_event(true);
    let objects =
        objects.with_current_span(false).with_span_list(true).with_filter(Only { json: true, now: json.clone() });
    if tracing_subscriber::registry().with(filter).with(text).with(objects).try_init().is_err() {
        tracing::debug!("logging was set up already");
    }
    std::panic::set_hook(Box::new(panicked));
    Logging { target: to, filter: handle, json }
}

/// Rust's own hook writes several lines, with whatever text the panic carries.
fn panicked(info: &PanicHookInfo<'_>) {
    let trace = Backtrace::capture();
    match trace.status() {
        BacktraceStatus::Captured => tracing::error!(%trace, "{info}"),
        _ => tracing::error!("{info}"),
    }
}

impl Logging {
    /// From now on into the file, if one is named.
    pub(crate) fn write_to(&self, file: Option<&Path>) -> anyhow::Result<()> {
        file.map_or(Ok(()), |file| self.target.go_on_in(file))
    }

    /// From now on as this says.
    pub(crate) fn change(&self, log: &LogSettings) {
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

fn filter(log: &LogSettings) -> EnvFilter {
    // The level was checked with the rest of the configuration.
    EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"))
}

/// Writes each event, which comes in one piece, as one line.
struct EventWriter {
    form: LogFormat,
    to: LogTarget,
}

impl io::Write for EventWriter {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let written = String::from_utf8_lossy(event);
        let written = written.strip_suffix('\n').unwrap_or(&written);
        let mut line = match self.form {
            LogFormat::Text => shortened(&one_line(written), LOG_LINE).into_owned(),
            LogFormat::Json => object(written),
        };
        line.push('\n');
        self.to.line(self.form, &line);
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An object of one line: what JSON leaves as it is inside of its texts is escaped in JSON's way, and one that is too
/// long becomes the text of a shorter one.
fn object(written: &str) -> String {
    if written.len() > LOG_LINE {
        return object(&serde_json::json!({ "shortened": shortened(written, LOG_LINE / 2) }).to_string());
    }
    let mut line = String::with_capacity(written.len() + 1);
    for c in written.chars() {
        if is_hidden(c) {
            let mut units = [0; 2];
            line.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const HOSTILE: &str = "x\n2026-01-01T00:00:00Z ERROR forged\r\x1b[2J\u{9b}31m\u{202e}\u{2028}";

    /// What a message, a field by its text, a field by its form and a span's field become.
    fn logged(form: LogFormat, hostile: &str) -> String {
        let sink = Sink::default();
        let to = LogTarget::new(sink.clone());
        let layer = fmt::layer().with_ansi(false).with_writer(move || EventWriter { form, to: to.clone() });
        let log = || {
            let span = tracing::info_span!("call", pod = hostile);
            span.in_scope(|| tracing::info!(shown = %hostile, form = ?hostile, text = hostile, "{hostile}"));
        };
        match form {
            LogFormat::Text => tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log),
            LogFormat::Json => {
                tracing::subscriber::with_default(tracing_subscriber::registry().with(layer.json()), log);
            }
        }
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_event_is_one_line_in_both_forms() {
        for form in [LogFormat::Text, LogFormat::Json] {
            let written = logged(form, HOSTILE);
            let line = written.strip_suffix('\n').unwrap();
            assert!(!line.chars().any(is_hidden), "{line:?}");
            assert!(line.contains("forged"), "{line}");
        }
        let object: serde_json::Value = serde_json::from_str(&logged(LogFormat::Json, HOSTILE)).unwrap();
        assert_eq!(object["fields"]["message"], HOSTILE);
    }

    #[test]
    fn a_long_event_is_cut() {
        let hostile = format!("{}\n", "\u{202e}\"".repeat(1 << 20));
        for form in [LogFormat::Text, LogFormat::Json] {
            let written = logged(form, &hostile);
            // Escapes of JSON's texts make them longer again.
            assert!(written.len() <= 4 * LOG_LINE, "{}", written.len());
            assert_eq!(written.lines().count(), 1);
        }
        let object: serde_json::Value = serde_json::from_str(&logged(LogFormat::Json, &hostile)).unwrap();
        assert!(object["shortened"].as_str().unwrap().contains(" bytes …] "));
    }
}
