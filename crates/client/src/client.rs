//! The client: one server, one pool of connections, one memory.
//!
//! This file has what all rooms share; each of them adds its own way in: `builder`, `create`, `job`, `list`, `webhooks`
//! and those of `wait`.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use abide_wire::JobId;

use crate::error::Error;
use crate::hub::Hub;
use crate::options::Options;
use crate::origin::Origin;
use crate::remote::Remote;
use crate::report::Report;
use crate::resume::ResumeToken;
use crate::rt::unblock;
use crate::schedule::{History, Learned, Schedule, Start};

/// A client of one server.
///
/// Cheap to clone; clones share connections, memory and budgets, so one client per server and process is enough. Making
/// one does no I/O and starts nothing.
///
/// ```no_run
/// # async fn example() -> Result<(), abide::Error> {
/// use abide::{Client, NewJob};
///
/// let client = Client::new("http://127.0.0.1:8080")?;
/// let job = client.create(NewJob::new("video_translation")).await?;
/// let done = job.wait().deadline(std::time::Duration::from_secs(600)).await?;
/// println!("{} after {} requests", done.outcome(), done.report().requests);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    pub(crate) core: Arc<Core>,
}

pub(crate) struct Core {
    pub(crate) origin: Arc<Origin>,
    pub(crate) hub: Arc<Hub>,
    /// The API that is spoken, where it isn't ours.
    pub(crate) remote: Option<Arc<Remote>>,
    /// What waits do that are told nothing else.
    pub(crate) options: Options,
    pub(crate) on_report: Option<OnReport>,
    pub(crate) history: History,
    pub(crate) directory: Option<PathBuf>,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// Told what each wait cost.
pub(crate) type OnReport = Box<dyn Fn(&JobId, &Report) + Send + Sync>;

impl Client {
    /// The server's address.
    #[must_use]
    pub fn server(&self) -> &str {
        self.core.origin.server()
    }

    /// What was learned of how long jobs take, for a schedule of your own.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.core.history
    }

    /// Writes what was learned of how long jobs take into the [state directory](crate::ClientBuilder::state_dir), and
    /// returns how many kinds of jobs have changed. Call it before the program ends, and now and then in one that
    /// doesn't.
    ///
    /// It blocks for a file system access per kind: in asynchronous code, call it through `spawn_blocking`.
    ///
    /// # Errors
    ///
    /// The first failure of the file system. What could not be written is tried again by the next call.
    pub fn save_history(&self) -> std::io::Result<usize> {
        if self.core.directory.is_none() {
            return Ok(0);
        }
        self.core.history.save(self.core.origin.clock.time_of_day())
    }

    /// Makes sure that a token is of this server.
    pub(crate) fn check_server(&self, token: &ResumeToken) -> Result<(), Error> {
        if token.server() == self.server() {
            return Ok(());
        }
        Err(Error::usage(format!(
            "this token is of the server {}, and this client is of {}",
            token.server(),
            self.server()
        ))
        .token(token.clone()))
    }
}

impl Core {
    /// The schedule of a wait that names none.
    pub(crate) fn schedule(&self, options: &Options, kind: &str) -> Arc<dyn Schedule> {
        let named = options.schedule.as_ref().or(self.options.schedule.as_ref());
        if let Some(schedule) = named {
            return Arc::clone(schedule);
        }
        let mut learned = Learned::new(self.learned_as(kind)).history(&self.history);
        if let Some(dial) = options.dial.or(self.options.dial) {
            learned = learned.dial(dial);
        }
        if let Some(interval) = options.max_interval.or(self.options.max_interval) {
            learned = learned.max(interval);
        }
        Arc::new(learned)
    }

    /// Reads what is known of a kind, if a wait with these options will want to know it.
    pub(crate) async fn read_kind(&self, options: &Options, kind: &str) {
        let start = Start::new(0).history(&self.history);
        let schedule = self.schedule(options, kind);
        unblock(|| schedule.reading(&start)).await;
    }

    /// The name under which a kind is learned: it is slow or fast on one server, and another on the next.
    fn learned_as(&self, kind: &str) -> String {
        format!("{} {kind}", self.origin.server())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("server", &self.server())
            .finish_non_exhaustive()
    }
}
