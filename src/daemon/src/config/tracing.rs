//! `[tracing]`: where spans go.

use tonic::transport::Uri;

use super::section::Section;

/// Spans for a collector of OpenTelemetry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TracingSettings {
    /// It takes OTLP over gRPC, without TLS. None: nothing is sent.
    pub(crate) endpoint: Option<Uri>,
    /// Of calls whose client says nothing of a trace.
    pub(crate) sample_percent: u64,
}

impl TracingSettings {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let endpoint = section.text("endpoint", None, |text| {
            if text.is_empty() {
                return Ok(None);
            }
            let is_plain = |uri: &Uri| {
                uri.scheme_str() == Some("http") && uri.port().is_some() && uri.path() == "/" && uri.query().is_none()
            };
            let uri = text.parse::<Uri>().ok().filter(is_plain);
            uri.map(Some).ok_or_else(|| "is no endpoint of OTLP over gRPC such as \"http://127.0.0.1:4317\"".to_owned())
        });
        let sample_percent = section.number("sample_percent", 100, 0..=100);
        section.finish();
        Self { endpoint, sample_percent: sample_percent.cast_unsigned() }
    }
}
