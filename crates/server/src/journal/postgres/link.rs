//! One connection, which goes on while a call waits: on a small runtime of its own, or on the caller's.

use std::error::Error;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Fuse, FusedFuture as _};

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_postgres::{Client, Statement};

use super::database::Database;

/// How long a statement may take before its connection counts as lost.
pub(super) const ANSWER: Duration = Duration::from_secs(2);
/// The same where much is read or written.
pub(super) const ANSWER_MUCH: Duration = Duration::from_secs(30);

/// Why a call came to nothing.
#[derive(Debug)]
pub(super) enum Trouble {
    /// There is no connection; nothing was sent.
    Connect(Box<dyn Error + Send + Sync>),
    /// The connection broke or no answer came in time: whether it was done is unknown.
    Lost(Box<dyn Error + Send + Sync>),
    /// The database said no.
    Refused(tokio_postgres::Error),
}

/// A connection that is opened when it is needed, and opened again after an error.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) database: Arc<Database>,
    /// Made by the first call that blocks, because it takes files, of which there may be none left.
    runtime: Option<Runtime>,
    open: Option<Open>,
    /// How many of the next answers are lost.
    #[cfg(test)]
    pub(super) losing: u32,
}

/// An open connection and the statements that were prepared on it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: Client,
    prepared: Vec<(&'static str, Statement)>,
}

impl Link {
    pub(super) fn new(database: Arc<Database>) -> Self {
        Self {
            database,
            runtime: None,
            open: None,
            #[cfg(test)]
            losing: 0,
        }
    }

    /// Another one to the same database.
    pub(super) fn another(&self) -> Self {
        Self::new(self.database.clone())
    }

    /// Does that on the connection, within the limit. After any error the connection is another one.
    pub(super) fn call<T>(
        &mut self,
        limit: Duration,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Trouble> {
        self.block_on(async |link: &mut Self| {
            // Lets the runtime see that the other side has closed the connection.
            tokio::task::yield_now().await;
            link.call_here(limit, work).await
        })
    }

    /// Runs the link's own runtime until that is done.
    pub(super) fn block_on<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Self) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let runtime = match self.runtime.take() {
            Some(runtime) => runtime,
            None => {
                let made = Builder::new_current_thread()
                    .enable_io()
                    .enable_time()
                    .build();
                made.map_err(|error| Trouble::Connect(error.into()))?
            }
        };
        let done = runtime.block_on(work(self));
        self.runtime = Some(runtime);
        done
    }

    /// Does that as [`call`](Self::call) does, on the caller's runtime. A link is called on one runtime all its life.
    pub(super) async fn call_here<T>(
        &mut self,
        limit: Duration,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Trouble> {
        if let Some(open) = &mut self.open
            && open.is_closed().await
        {
            self.open = None;
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => Open::new(&self.database).await?,
        };
        match timeout(limit, open.run(work)).await {
            #[cfg(test)]
            Ok(Ok(_)) if self.losing > 0 => {
                self.losing -= 1;
                Err(Trouble::Lost("a test lost the answer".into()))
            }
            Ok(Ok(done)) => {
                self.open = Some(open);
                Ok(done)
            }
            Ok(Err(error)) if error.as_db_error().is_some() => Err(Trouble::Refused(error)),
            Ok(Err(error)) => Err(Trouble::Lost(error.into())),
            Err(_) => Err(Trouble::Lost(format!("no answer within {limit:?}").into())),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // A link may be dropped on a thread that runs tasks, where waiting isn't allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What reads and writes a connection's socket, until it ends.
type Wire = Fuse<BoxFuture<'static, Result<(), tokio_postgres::Error>>>;

/// A session, and its connection, which goes on while a call waits: a task of its own would have to be woken for each
/// answer.
struct Open {
    session: Session,
    wire: Wire,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.session.fmt(f)
    }
}

impl Open {
    async fn new(database: &Database) -> Result<Self, Trouble> {
        let hosts = u32::try_from(database.config.get_hosts().len()).unwrap_or(u32::MAX);
        // Each host has its own limit; a name may have several addresses.
        let limit = database
            .config
            .get_connect_timeout()
            .copied()
            .unwrap_or(ANSWER)
            * (hosts + 1);
        let connecting = database.config.connect(database.tls.clone());
        match timeout(limit, connecting).await {
            Ok(Ok((client, connection))) => Ok(Self {
                session: Session {
                    client,
                    prepared: Vec::new(),
                },
                wire: connection.boxed().fuse(),
            }),
            Ok(Err(error)) => Err(Trouble::Connect(super::database::told(&error).into())),
            Err(_) => Err(Trouble::Connect(
                format!("no connection within {limit:?}").into(),
            )),
        }
    }

    /// Whether the other side has closed the connection since the last call.
    async fn is_closed(&mut self) -> bool {
        if !self.wire.is_terminated() {
            poll_fn(|context| Poll::Ready(_ = self.wire.poll_unpin(context))).await;
        }
        self.wire.is_terminated()
    }

    /// Does that while the connection goes on. What a broken one ends with is told by the work.
    async fn run<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, tokio_postgres::Error> {
        let mut work = pin!(work(&mut self.session));
        poll_fn(|context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(done);
            }
            // An end of the connection wakes the work.
            let _ended = self.wire.poll_unpin(context);
            Poll::Pending
        })
        .await
    }
}

impl Session {
    /// Waits until all that this session can see is where the database promises it to be. After a crash a primary shows
    /// what its synchronous standby may still lack, and only a commit waits for that.
    pub(super) async fn confirm(&mut self) -> Result<(), tokio_postgres::Error> {
        let confirm = self.prepared("UPDATE leader SET term = term").await?;
        self.client.execute(&confirm, &[]).await.map(|_one| ())
    }

    /// That statement, prepared once for each connection.
    pub(super) async fn prepared(
        &mut self,
        sql: &'static str,
    ) -> Result<Statement, tokio_postgres::Error> {
        if let Some((_, statement)) = self.prepared.iter().find(|(text, _)| *text == sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        self.prepared.push((sql, statement.clone()));
        Ok(statement)
    }
}
