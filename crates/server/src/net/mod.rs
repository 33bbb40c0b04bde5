//! Connections, from a listening socket to requests and back.
//!
//! hyper reads every request. A connection is hyper's only while it talks: it begins outside, with nothing but its
//! socket and its task, and goes to hyper with its first byte. When a request is held, when its answer is a stream, or
//! when nothing more comes, hyper's half is taken apart: the socket and the bytes read ahead are kept, the buffers and
//! the parser go. What is answered meanwhile is written by hand, and the next byte brings hyper back. HTTP/2 stays
//! hyper's from its first byte to its last.
//!
//! | module | what it is about |
//! |---|---|
//! | `accept` | listening, the limits of connections, draining |
//! | `connection` | the rounds of one connection: idle, talking, parked |
//! | `turn` | what hyper is doing, seen from its reads, writes and calls; its time limits |
//! | `park` | a request that waits outside hyper, and its answer written by hand |
//! | `http2` | a connection of HTTP/2 |
//! | `tls` | certificates, and the handshake before the first byte |
//!
//! Every wait has a limit: for the first byte, for the rest of a head, for the next request, and for each byte that is
//! written. How long a body may take is its reader's concern.

mod accept;
mod connection;
mod http2;
mod park;
#[cfg(feature = "tls")]
mod tls;
mod turn;

pub use accept::{BindError, Peer, Reset, Room, ServeOptions, bind, serve};
pub use connection::{Answers, connection};
#[cfg(feature = "tls")]
pub use tls::{Tls, TlsError};

#[cfg(test)]
mod tests;
