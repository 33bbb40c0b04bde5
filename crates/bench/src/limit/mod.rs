//! What is compared with: the least that a server for these requests can be, each in a file of its own.
//!
//! All of them know the same requests, so that the load is the same for them and for us:
//!
//! | request | answer |
//! |---|---|
//! | `GET /read` | a body of as many bytes as was asked for at the start |
//! | `GET /wait/N` | held until topic N ends |
//! | `GET /stream/N` | an event stream whose only event is the end of topic N |
//! | `POST /end/N` | ends topic N |
//! | `POST /create` | the body is made durable with a group commit |

pub(crate) mod commit;
pub(crate) mod epoll;
pub(crate) mod hyper;
pub(crate) mod task;
pub(crate) mod topics;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Which limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// One hyper handler.
    Hyper,
    /// A tokio task per connection with a parser of a few lines.
    Task,
    /// One epoll loop and a slab entry per socket.
    Epoll,
}

/// Where creates become durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Store {
    /// SQLite, WAL, `synchronous=FULL`, ordered integer key.
    Sqlite,
    /// A plain file that is appended to.
    Log,
}

/// How to run a limit.
#[derive(Clone, Debug, Args)]
pub(crate) struct LimitArgs {
    /// Which.
    #[arg(value_enum)]
    pub(crate) sort: Sort,
    /// How long the body of a read is.
    #[arg(long, default_value_t = 100)]
    pub(crate) body_bytes: usize,
    /// Where creates become durable.
    #[arg(long, value_enum, requires = "data")]
    pub(crate) store: Option<Store>,
    /// The directory for it.
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
}

/// Runs a limit until it is killed.
pub(crate) fn run(arguments: &LimitArgs) -> anyhow::Result<()> {
    crate::machine::raise_open_files();
    if arguments.sort == Sort::Epoll {
        return epoll::run(arguments);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match arguments.sort {
            Sort::Hyper => hyper::run(arguments).await,
            Sort::Task | Sort::Epoll => task::run(arguments).await,
        }
    })
}

fn body_of(arguments: &LimitArgs) -> String {
    format!(
        "{{\"filling\":\"{}\"}}",
        "x".repeat(arguments.body_bytes.saturating_sub(14))
    )
}

fn say_where(address: std::net::SocketAddr) {
    crate::figures::say(&format!("listening on http://{address}"));
}
