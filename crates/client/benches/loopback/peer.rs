//! The server, in a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitCode, Stdio};

use abide::{Budget, Client};
use abide_testkit::TestServer;

use crate::Failure;

/// Makes this program the server.
pub(crate) const SERVE: &str = "--serve";

/// A server that ends with this value.
pub(crate) struct Peer {
    process: Child,
    pub(crate) url: String,
}

impl Peer {
    pub(crate) fn start() -> Result<Self, Failure> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(SERVE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().ok_or("no output to read")?;
        let mut url = String::new();
        BufReader::new(output).read_line(&mut url)?;
        Ok(Self {
            process,
            url: url.trim().to_owned(),
        })
    }

    /// A client that creates as fast as it can.
    pub(crate) fn creator(&self) -> Result<Client, Failure> {
        let budget = Budget::per_second(100_000.0);
        Ok(Client::builder(&self.url).budget(&budget).build()?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It ends when its standard input does.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Serves until standard input ends.
pub(crate) async fn serve() -> Result<ExitCode, Failure> {
    let server = TestServer::start(TestServer::config()).await?;
    println!("{}", server.url());
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    server.stop().await?;
    Ok(ExitCode::SUCCESS)
}
