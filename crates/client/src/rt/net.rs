//! Sockets and tasks, and what the HTTP library needs to run on them.

#[cfg(feature = "http")]
pub(crate) use hyper_util::rt::TokioExecutor as Executor;
pub(crate) use hyper_util::rt::TokioTimer as Timer;
#[cfg(feature = "inbox")]
pub(crate) use {
    hyper_util::rt::TokioIo as Io,
    tokio::net::{TcpListener, TcpStream, ToSocketAddrs},
    tokio::task::{JoinHandle, JoinSet, spawn},
    tokio::time::sleep,
};
