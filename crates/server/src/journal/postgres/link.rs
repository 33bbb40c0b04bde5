//! One connection, with a small runtime that runs while a call waits.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

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
    /// Made by the first call, because it takes files, of which there may be none left.
    runtime: Option<Runtime>,
    session: Option<Session>,
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
            session: None,
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
        let Self {
            database,
            runtime,
            session,
            #[cfg(test)]
            losing,
        } = self;
        let runtime = match runtime {
            Some(runtime) => runtime,
            None => {
                let made = Builder::new_current_thread()
                    .enable_io()
                    .enable_time()
                    .build();
                runtime.insert(made.map_err(|error| Trouble::Connect(error.into()))?)
            }
        };
        runtime.block_on(async {
            // Lets the connection's task see that the other side has closed it.
            tokio::task::yield_now().await;
            let open = session.take().filter(|open| !open.client.is_closed());
            let mut open = match open {
                Some(open) => open,
                None => Session::open(database).await?,
            };
            match timeout(limit, work(&mut open)).await {
                #[cfg(test)]
                Ok(Ok(_)) if *losing > 0 => {
                    *losing -= 1;
                    Err(Trouble::Lost("a test lost the answer".into()))
                }
                Ok(Ok(done)) => {
                    *session = Some(open);
                    Ok(done)
                }
                Ok(Err(error)) if error.as_db_error().is_some() => Err(Trouble::Refused(error)),
                Ok(Err(error)) => Err(Trouble::Lost(error.into())),
                Err(_) => Err(Trouble::Lost(format!("no answer within {limit:?}").into())),
            }
        })
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

impl Session {
    async fn open(database: &Database) -> Result<Self, Trouble> {
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
            Ok(Ok((client, connection))) => {
                // It ends with the client, and what it ends with is told to the call that waits.
                tokio::spawn(async move {
                    let _told = connection.await;
                });
                Ok(Self {
                    client,
                    prepared: Vec::new(),
                })
            }
            Ok(Err(error)) => Err(Trouble::Connect(super::database::told(&error).into())),
            Err(_) => Err(Trouble::Connect(
                format!("no connection within {limit:?}").into(),
            )),
        }
    }

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
