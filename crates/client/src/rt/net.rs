//! What the listener for webhooks needs beside time: sockets, tasks, and their adaptors for the HTTP library.

pub(crate) use hyper_util::rt::{TokioIo as Io, TokioTimer as Timer};
pub(crate) use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
pub(crate) use tokio::task::{JoinHandle, JoinSet};
pub(crate) use tokio::time::sleep;
