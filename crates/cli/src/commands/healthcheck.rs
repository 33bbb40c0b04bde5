//! `abide healthcheck`

use std::process::ExitCode;
use std::time::Duration;

use abide::{Http, Transport as _};
use abide_wire::Span;
use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use http::Request;

use crate::connect::{Common, block_on};
use crate::exit::{FAILED, Failure};
use crate::{output, show, url};

/// The most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// Examples, below the flags.
pub(crate) const HELP: &str = "\
Examples:
  abide healthcheck                       in a container: HEALTHCHECK CMD [\"/abide\", \"healthcheck\"]
  abide healthcheck --ready --server http://10.0.0.7:8080

Exit codes: 0 the server is well, 1 it isn't or doesn't answer.";

/// What `abide healthcheck` takes.
#[derive(Debug, Args)]
pub(crate) struct HealthcheckArgs {
    /// Ask whether to send requests there, which is no while the server drains or can't write
    #[arg(long)]
    ready: bool,
    /// How long the answer may take
    #[arg(long, value_name = "DURATION", default_value = "3s")]
    timeout: Span,
}

/// Asks a server how it is.
pub(crate) fn run(common: &Common, args: &HealthcheckArgs) -> anyhow::Result<ExitCode> {
    let server = url::read_server(common.first_server())?;
    let path = if args.ready { "readyz" } else { "healthz" };
    let timeout = args.timeout.get().max(Duration::from_millis(1));
    let asked = block_on(async {
        let exchange = async {
            let to = format!("{}/{path}", server.trim_end_matches('/'));
            let request = Request::get(to).body(Bytes::new())?;
            let answer = Http::new(timeout).send(request).await?;
            let status = answer.status();
            let body = answer.into_body().collect(ANSWER_BYTES_MAX).await?;
            let text = String::from_utf8_lossy(&body).trim().to_owned();
            anyhow::ensure!(status.is_success(), "{status}: {text}");
            Ok(text)
        };
        let answer = tokio::time::timeout(timeout, exchange).await;
        answer.context("no answer in time")?
    });
    let text =
        asked.map_err(|error| Failure::new(FAILED, format!("{}: {error}", common.server)))?;
    output::line(&show::plain(&text))?;
    Ok(ExitCode::SUCCESS)
}
