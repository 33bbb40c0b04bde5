//! A whole server on a socket of this machine.

use std::io;
use std::net::SocketAddr;

use abide_server::config::{Config, Layers};
use abide_server::{Server, ServerError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A server that runs, on a free port.
pub struct Running {
    pub address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ServerError>>,
}

impl Running {
    /// The server of that configuration.
    pub async fn start(config: Config) -> Self {
        Self::of(Server::start(config, 7).await.unwrap())
    }

    /// One that forgets all at its end, with these flags beside those of the layers.
    pub async fn ephemeral(layers: Layers, flags: &[(&str, &str)]) -> Self {
        let layers = layers.flag("listen", ":0").flag("ephemeral", "true");
        let layers = flags
            .iter()
            .fold(layers, |layers, (name, value)| layers.flag(*name, *value));
        Self::start(layers.resolve().unwrap().config).await
    }

    /// That server, which runs from now on.
    pub fn of(server: Server) -> Self {
        let (address, stop) = (server.address(), CancellationToken::new());
        let task = tokio::spawn(server.run(stop.clone()));
        Self {
            address,
            stop,
            task,
        }
    }

    /// Sends a request and gives the connection.
    pub async fn open(&self, method: &str, path: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    /// Sends a request and reads until the connection ends.
    pub async fn ask(&self, method: &str, path: &str, body: &str) -> String {
        self.try_ask(method, path, body).await.unwrap()
    }

    /// The same; `Err` if the connection was reset.
    pub async fn try_ask(&self, method: &str, path: &str, body: &str) -> io::Result<String> {
        let mut text = String::new();
        let mut stream = self.open(method, path, body).await;
        stream.read_to_string(&mut text).await?;
        Ok(text)
    }

    pub async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}
