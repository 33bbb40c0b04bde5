//! Logs, and with the feature `otel` spans to a collector.

use std::io;

use abide_server::config::{Config, LogFormat};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use crate::exit::{Failure, USAGE};

/// Telemetry for as long as this lives. Dropping it sends what hasn't been sent.
#[derive(Debug)]
#[must_use]
pub(crate) struct Telemetry {
    #[cfg(feature = "otel")]
    provider: Option<opentelemetry_sdk::trace::SdkTracerProvider>,
}

impl Telemetry {
    /// Begins to log to stderr as the configuration says.
    ///
    /// With the feature `otel` and where `OTEL_EXPORTER_OTLP_ENDPOINT` (or `…_TRACES_ENDPOINT`) is set, spans go there
    /// as well, by OTLP over HTTP; the other variables of the OpenTelemetry specification hold too.
    pub(crate) fn begin(config: &Config) -> anyhow::Result<Self> {
        let filter = EnvFilter::try_new(&config.log)
            .map_err(|error| Failure::new(USAGE, format!("`log` can't be read: {error}")))?;
        let lines = match config.log_format {
            LogFormat::Json => fmt::layer().json().with_writer(io::stderr).boxed(),
            LogFormat::Text => fmt::layer()
                .with_writer(io::stderr)
                .with_ansi(is_colored())
                .boxed(),
        };
        // Each has a filter of its own: what is collected doesn't depend on what is logged.
        let registry = tracing_subscriber::registry().with(lines.with_filter(filter));
        #[cfg(feature = "otel")]
        {
            let provider = otel::provider()?;
            let spans = provider.as_ref().map(otel::layer);
            registry.with(spans).try_init()?;
            Ok(Self { provider })
        }
        #[cfg(not(feature = "otel"))]
        {
            registry.try_init()?;
            Ok(Self {})
        }
    }
}

/// Whether the log goes to a terminal, which shows colors; a file is read by programs, too.
fn is_colored() -> bool {
    anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
}

#[cfg(feature = "otel")]
impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = &self.provider
            && let Err(error) = provider.shutdown()
        {
            crate::output::say(&format!("abide: the last spans could not be sent: {error}"));
        }
    }
}

#[cfg(feature = "otel")]
mod otel {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_otlp::SpanExporter;
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::Layer;
    use tracing_subscriber::filter::{LevelFilter, Targets};

    const ENDPOINTS: [&str; 2] = [
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    ];

    pub(super) fn provider() -> anyhow::Result<Option<SdkTracerProvider>> {
        if ENDPOINTS
            .iter()
            .all(|name| std::env::var_os(name).is_none())
        {
            return Ok(None);
        }
        // The exporter builds its own HTTP client, which takes the process's provider. Only a program may set one; a
        // second call finds it set, which is as good.
        let _set = rustls::crypto::ring::default_provider().install_default();
        let exporter = SpanExporter::builder().with_http().build()?;
        let resource = Resource::builder()
            .with_service_name(
                std::env::var("OTEL_SERVICE_NAME").unwrap_or_else(|_| "abide".to_owned()),
            )
            .build();
        Ok(Some(
            SdkTracerProvider::builder()
                .with_batch_exporter(exporter)
                .with_resource(resource)
                .build(),
        ))
    }

    /// Requests, and nothing that is logged.
    pub(super) fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S>
    where
        S: tracing::Subscriber + for<'span> tracing_subscriber::registry::LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("abide"))
            .with_filter(
                Targets::new().with_target(abide_server::http::trace::TARGET, LevelFilter::DEBUG),
            )
    }
}
