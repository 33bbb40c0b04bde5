//! Who is measured: us and the limits, behind the same few questions.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use tempfile::TempDir;

use crate::child::Server;
use crate::limit::{Sort, Store};
use crate::load::{Answer, Source, call, drive};
use crate::machine::Core;

/// The key that all requests show: access control is on.
pub(crate) const KEY: &str = "sk_benchmark_0123456789abcdef";

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contestant {
    /// Our server as it is shipped: with access control, limits and metrics.
    Ours,
    /// A limit, and where its creates go.
    Limit(Sort, Option<Store>),
}

/// What all suites know.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Our program.
    pub(crate) ours: PathBuf,
    /// How many rounds are made.
    pub(crate) rounds: usize,
    /// How long a measurement under load goes on.
    pub(crate) length: Duration,
    /// Whether sizes are cut to what takes seconds.
    pub(crate) quick: bool,
    /// How many files a process may have open.
    pub(crate) open_files: usize,
    /// Where stores lie.
    pub(crate) directory: PathBuf,
}

impl Setup {
    /// A number of connections, cut to what the system lets a process have open.
    pub(crate) fn connections(&self, wanted: usize) -> usize {
        wanted.min(self.open_files.saturating_sub(500))
    }

    /// The larger number, or the smaller where it must be quick.
    pub(crate) const fn sized(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }
}

/// A running contestant.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) server: Server,
    contestant: Contestant,
    /// What topic N is called: the jobs that stand for them.
    jobs: Vec<String>,
    _directory: Option<TempDir>,
}

impl Contestant {
    /// Starts it on the server's core. `body_bytes` is how long a limit's answer to a read is; `durable` whether
    /// creates reach a disk.
    pub(crate) fn start(
        self,
        setup: &Setup,
        body_bytes: usize,
        durable: bool,
    ) -> anyhow::Result<Running> {
        let directory = durable
            .then(|| tempfile::tempdir_in(&setup.directory))
            .transpose()?;
        let data = directory.as_ref().map(TempDir::path);
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let server = match self {
            Self::Ours => {
                let arguments = match data {
                    Some(data) => Self::arguments_at(data),
                    None => [Self::our_arguments(), words(&["--ephemeral"])].concat(),
                };
                Server::start(&setup.ours, &arguments, Core::Server)?
            }
            Self::Limit(sort, store) => {
                let sort = match sort {
                    Sort::Hyper => "hyper",
                    Sort::Task => "task",
                    Sort::Epoll => "epoll",
                };
                let mut arguments: Vec<String> = words(&["limit", sort, "--body-bytes"]);
                arguments.push(body_bytes.to_string());
                if let (Some(store), Some(data)) = (store, data) {
                    arguments.push("--store".to_owned());
                    let store = match store {
                        Store::Sqlite => "sqlite",
                        Store::Log => "log",
                    };
                    arguments.push(store.to_owned());
                    arguments.push("--data".to_owned());
                    arguments.push(data.display().to_string());
                }
                Server::start(&std::env::current_exe()?, &arguments, Core::Server)?
            }
        };
        Ok(Running {
            server,
            contestant: self,
            jobs: Vec::new(),
            _directory: directory,
        })
    }

    /// A server that is already running, as this contestant.
    pub(crate) const fn attach(self, server: Server) -> Running {
        Running {
            server,
            contestant: self,
            jobs: Vec::new(),
            _directory: None,
        }
    }

    /// How our server is set up that has its data in that directory.
    pub(crate) fn arguments_at(directory: &Path) -> Vec<String> {
        let mut arguments = Self::our_arguments();
        arguments.push("--data".to_owned());
        arguments.push(directory.display().to_string());
        arguments
    }

    /// How our server is set up: nothing is off, and no limit is so low that a benchmark meets it.
    pub(crate) fn our_arguments() -> Vec<String> {
        [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--api-key",
            KEY,
            "--rate-limit",
            "1000000000/min",
            "--hold-max",
            "10m",
            "--waits-per-client",
            "200000",
            "--streams-per-client",
            "200000",
            "--webhook-allow",
            "127.0.0.0/8",
            "--log",
            "warn",
        ]
        .map(str::to_owned)
        .to_vec()
    }
}

impl Running {
    /// Makes as many topics as waits will wait for.
    pub(crate) fn make_topics(&mut self, count: usize) -> anyhow::Result<()> {
        if self.contestant == Contestant::Ours {
            self.jobs = create_jobs(&self.server, count, r#"{"worker":"external"}"#)?;
        }
        Ok(())
    }

    /// Whether it is our server.
    pub(crate) fn is_ours(&self) -> bool {
        self.contestant == Contestant::Ours
    }

    /// A read, of topic 0 if the contestant has topics.
    pub(crate) fn read(&self) -> Vec<u8> {
        match self.contestant {
            Contestant::Ours => get(&format!("/v1/jobs/{}", self.job(0))),
            Contestant::Limit(..) => get("/read"),
        }
    }

    /// The same as the classic route has it.
    pub(crate) fn read_classic(&self) -> Vec<u8> {
        match self.contestant {
            Contestant::Ours => get(&format!("/status/{}", self.job(0))),
            Contestant::Limit(..) => get("/read"),
        }
    }

    /// A wait for that topic's end.
    pub(crate) fn wait(&self, topic: usize) -> Vec<u8> {
        match self.contestant {
            Contestant::Ours => get(&format!("/v1/jobs/{}?wait=600", self.job(topic))),
            Contestant::Limit(..) => get(&format!("/wait/{topic}")),
        }
    }

    /// A stream of that topic's events.
    pub(crate) fn stream(&self, topic: usize) -> Vec<u8> {
        match self.contestant {
            Contestant::Ours => get(&format!("/v1/jobs/{}/events", self.job(topic))),
            Contestant::Limit(..) => get(&format!("/stream/{topic}")),
        }
    }

    /// The end of that topic.
    pub(crate) fn end(&self, topic: usize) -> Vec<u8> {
        match self.contestant {
            Contestant::Ours => post(&format!("/v1/jobs/{}/cancel", self.job(topic)), ""),
            Contestant::Limit(..) => post(&format!("/end/{topic}"), ""),
        }
    }

    /// A create.
    pub(crate) fn create(&self, body: &str) -> Vec<u8> {
        match self.contestant {
            Contestant::Ours => post("/v1/jobs", body),
            Contestant::Limit(..) => post("/create", body),
        }
    }

    fn job(&self, topic: usize) -> &str {
        self.jobs.get(topic).map_or("none", String::as_str)
    }
}

/// A request without a body.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {KEY}\r\naccept: */*\r\n\r\n"
    )
    .into_bytes()
}

/// A request with a body of JSON, or without one.
pub(crate) fn post(path: &str, body: &str) -> Vec<u8> {
    let content_type = if body.is_empty() {
        ""
    } else {
        "content-type: application/json\r\n"
    };
    format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {KEY}\r\naccept: */*\r\n{content_type}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Makes jobs and gives their ids.
pub(crate) fn create_jobs(
    server: &Server,
    count: usize,
    body: &str,
) -> anyhow::Result<Vec<String>> {
    struct Creates {
        request: Vec<u8>,
        left: usize,
        ids: Vec<String>,
        refused: Option<String>,
    }
    impl Source for Creates {
        fn next(&mut self, _: usize, out: &mut Vec<u8>) -> bool {
            let more = self.left > 0 && self.refused.is_none();
            if more {
                self.left -= 1;
                out.extend_from_slice(&self.request);
            }
            more
        }

        fn answered(&mut self, _: usize, answer: &Answer<'_>, _: Duration) {
            match id_of(answer.body) {
                Some(id) => self.ids.push(id),
                None => {
                    self.refused = Some(format!(
                        "{} {}",
                        answer.status,
                        String::from_utf8_lossy(answer.body)
                    ));
                }
            }
        }
    }
    let mut creates = Creates {
        request: post("/v1/jobs", body),
        left: count,
        ids: Vec::with_capacity(count),
        refused: None,
    };
    let connections = count.clamp(1, 256);
    drive(
        server.address,
        connections,
        &mut creates,
        Duration::from_secs(600),
    )?;
    if let Some(refused) = creates.refused {
        bail!("a create was refused: {refused}");
    }
    Ok(creates.ids)
}

/// The id in a job's JSON.
fn id_of(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let from = text.find("\"job_")? + 1;
    let rest = &text[from..];
    Some(rest[..rest.find('"')?].to_owned())
}

/// How long our answers to a read are, native and classic, so that the limits answer as much. `None` where the server
/// has no classic routes.
pub(crate) fn body_bytes_of_a_read(setup: &Setup) -> anyhow::Result<(usize, Option<usize>)> {
    let mut ours = Contestant::Ours.start(setup, 0, false)?;
    ours.make_topics(1)?;
    let (status, native) = call(ours.server.address, &ours.read())?;
    if status != 200 {
        bail!("a read was answered with {status}");
    }
    let (status, classic) = call(ours.server.address, &ours.read_classic())?;
    Ok((native.len(), (status == 200).then_some(classic.len())))
}
