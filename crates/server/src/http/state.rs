//! What handlers may reach: the board, the door to the loop, the clock and the configuration. Never the engine, the
//! journal or the courier.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::board::Board;
use crate::clock::Clock;
use crate::config::Config;
use crate::driver::Commands;

/// Shared by all requests. Cloning shares it.
#[derive(Clone, Debug)]
pub struct AppState {
    /// What readers see.
    pub board: Arc<Board>,
    /// The door to the loop.
    pub commands: Commands,
    /// What time it is.
    pub clock: Clock,
    /// How the server is set up.
    pub config: Arc<Config>,
    /// Canceled when the server goes down: whatever is held answers then.
    pub stop: CancellationToken,
}
