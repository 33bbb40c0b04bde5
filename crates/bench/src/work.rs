//! Bits of the server's work, repeated, in this process and without a socket: for counting instructions and for holding
//! more connections than a process may have files open. One bit is the client's.
//!
//! What is counted is the same on a busy machine as on an idle one. Run twice with different counts, the difference is
//! what each one costs.

use std::io;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use abide_engine::{Create, Created};
use abide_server::clock::Clock;
use abide_server::config::Layers;
use abide_server::http::{AppState, Gate};
use abide_server::journal::MemoryJournal;
use abide_server::net::connection;
use abide_server::{Fresh, Server};
use abide_wire::webhook::Secret;
use abide_wire::{NewJob, Timestamp};

use crate::contestant::{KEY, get, post};
use crate::figures::print;
use crate::machine::memory;

/// Which work, and how often.
#[derive(Clone, Debug, Args)]
pub(crate) struct WorkArgs {
    /// Which.
    #[arg(value_enum)]
    pub(crate) sort: Sort,
    /// How often.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) count: usize,
}

/// Which work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// Native reads of a job that runs.
    Read,
    /// Classic reads of it.
    Classic,
    /// Reads of it in a vendor's words.
    Dialect,
    /// Reads of a client that has it already.
    Unchanged,
    /// A request that goes the ordinary way and does nothing there.
    Ordinary,
    /// Creates, with a journal in memory.
    Create,
    /// Reads that are held for one job, until it ends.
    Wake,
    /// Event streams of one job, until it ends.
    Stream,
    /// Simulated jobs, from their create to their end.
    Timer,
    /// Ends of jobs that the learned schedule knows from its own polls, and a plan for the next job after each.
    Learn,
}

/// Does the work, and prints what memory each held connection took, where some are held.
pub(crate) fn run(arguments: &WorkArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work(arguments.sort, arguments.count))
}

async fn work(sort: Sort, count: usize) -> anyhow::Result<()> {
    let house = House::open(sort).await?;
    let job = house.create(r#"{"worker":"external"}"#).await?;
    let path = format!("/v1/jobs/{job}");
    match sort {
        Sort::Read => house.ask(&get(&path), count).await,
        Sort::Classic => house.ask(&get(&format!("/status/{job}")), count).await,
        Sort::Dialect => {
            let body = r#"{"kind":"openai.video","worker":"external"}"#;
            // Its id there has another prefix.
            let id = house.create(body).await?.replace("job_", "video_");
            let path = format!("/dialects/openai/v1/videos/{id}");
            house.ask(&get(&path), count).await;
        }
        Sort::Unchanged => {
            let request = String::from_utf8(get(&path))?;
            let request = request.replacen("\r\n", "\r\nif-none-match: \"1\"\r\n", 1);
            house.ask(request.as_bytes(), count).await;
        }
        Sort::Ordinary => house.ask(&get("/healthz"), count).await,
        Sort::Create => {
            let request = post("/v1/jobs", crate::suite::creates::BODY);
            house.ask(&request, count).await;
        }
        Sort::Wake | Sort::Stream => {
            let request = match sort {
                Sort::Wake => get(&format!("{path}?wait=600")),
                _ => get(&format!("{path}/events")),
            };
            let each = house
                .hold(&request, count, &post(&format!("{path}/cancel"), ""))
                .await?;
            print(&format!("{each:.0} bytes for each that is held\n"));
        }
        Sort::Timer => {
            let body = r#"{"simulate":{"duration":{"fixed":"1h"},"outcome":{"error_chance":0}}}"#;
            let request = post("/v1/jobs", body);
            house.ask(&request, count).await;
            house
                .state
                .commands
                .advance(Duration::from_secs(3_700))
                .await?;
        }
        // Instructions are counted: there is nothing to time.
        Sort::Learn => drop(crate::suite::learned::learn(count, || Duration::ZERO)),
    }
    Ok(())
}

/// A server without sockets, its journal in memory.
struct House {
    state: AppState,
    gate: Gate,
}

impl House {
    async fn open(sort: Sort) -> anyhow::Result<Self> {
        let layers = Layers::default()
            .flag("api-key", KEY)
            .flag("rate-limit", "1000000000/min")
            .flag("hold-max", "10m")
            .flag("waits-per-client", "1000000")
            .flag("streams-per-client", "1000000")
            .flag("waits-max", "1000000")
            .flag("streams-max", "1000000");
        let config = layers.resolve()?.config;
        let start = Timestamp::from_millis(1_800_000_000_000);
        let clock = match sort {
            Sort::Timer => Clock::manual(start),
            _ => Clock::running(start, NonZeroU32::MIN),
        };
        let journal = Box::new(MemoryJournal::forgetful(1));
        let fresh = Fresh {
            seed: 7,
            secret: Secret::generate([7; 32]),
        };
        let server = Server::assemble(config, clock, journal, |_| None, fresh);
        let state = server.await?.state;
        let address = Some([127, 0, 0, 1].into());
        let gate = Gate::new(state.clone(), address);
        Ok(Self { state, gate })
    }

    async fn create(&self, body: &str) -> anyhow::Result<String> {
        let new: NewJob<_> = serde_json::from_str(body)?;
        let create = Create {
            owner: abide_engine::Owner::of_api_key(KEY),
            new,
            idempotency_key: None,
            rendering: None,
            traceparent: None,
        };
        let Created { job, .. } = self.state.commands.ask(create).await?;
        Ok(job.key.to_string())
    }

    /// Asks the same so often on one connection.
    async fn ask(&self, request: &[u8], count: usize) {
        let pipe = Pipe {
            request: Bytes::copy_from_slice(request),
            left: count,
            stays: false,
            answers: Arc::default(),
        };
        connection(pipe, self.gate.clone(), CancellationToken::new()).await;
    }

    /// Has `count` connections held, ends that, and says what memory each took.
    async fn hold(&self, request: &[u8], count: usize, end: &[u8]) -> anyhow::Result<f64> {
        let request = Bytes::copy_from_slice(request);
        let answers = Arc::new(AtomicU64::new(0));
        let mut connections = JoinSet::new();
        let memory = || memory(std::process::id());
        let stop = CancellationToken::new();
        let before = memory()?;
        for _ in 0..count {
            let pipe = Pipe {
                request: request.clone(),
                left: 1,
                stays: true,
                answers: answers.clone(),
            };
            connections.spawn(connection(pipe, self.gate.clone(), stop.clone()));
        }
        while self.state.waits.len() + self.state.streams.len() < count {
            tokio::task::yield_now().await;
        }
        // Streams begin with what the job is; that is no news.
        tokio::task::yield_now().await;
        let held = memory()?;
        let said = answers.load(Ordering::Relaxed);
        self.ask(end, 1).await;
        while answers.load(Ordering::Relaxed) < said + count as u64 {
            tokio::task::yield_now().await;
        }
        connections.shutdown().await;
        let each = held.checked_sub(before).context("memory went down")?;
        Ok(each as f64 / count as f64)
    }
}

/// The other end of a connection: sends the same request so often, each when the one before it was answered, and throws
/// the answers away.
struct Pipe {
    request: Bytes,
    left: usize,
    /// Whether it stays open, silent, when all is sent.
    stays: bool,
    answers: Arc<AtomicU64>,
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.left {
            0 if self.stays => Poll::Pending,
            0 => Poll::Ready(Ok(())),
            // It is answered first: small reads only look whether this end is still there.
            _ if buffer.remaining() <= 1_024 => Poll::Pending,
            _ => {
                self.left -= 1;
                buffer.put_slice(&self.request);
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.answers.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
