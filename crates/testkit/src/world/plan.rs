//! The steps of a seed: who does what when, and what breaks when.

use std::time::Duration;

use super::draw::Draw;
use super::history::View;

/// How long steps begin.
const LENGTH_MS: u64 = 40_000;
/// What the name of each job of a create of several begins with.
pub(super) const SEVERAL: &str = "several-";
/// How many clients there are; the last one is another owner's.
pub(super) const CLIENTS: u64 = 3;

/// A fault that is put in on purpose: what the checker must find.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sabotage {
    /// None.
    #[default]
    None,
    /// The journal says that it has appended, and does it later.
    TellBeforeAppend,
    /// The journal says that it has synced, and sometimes hasn't.
    LostSync,
    /// Waiters look, and register a little later.
    RegisterAfterLooking,
    /// The bytes of records have no limit.
    Unbounded,
}

impl Sabotage {
    /// All of them, with their names.
    pub const ALL: [(&str, Self); 5] = [
        ("none", Self::None),
        ("tell-before-append", Self::TellBeforeAppend),
        ("lost-sync", Self::LostSync),
        ("register-after-looking", Self::RegisterAfterLooking),
        ("unbounded", Self::Unbounded),
    ];
}

/// What happens in a world.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it was made of.
    pub seed: u64,
    /// What is put in on purpose.
    pub sabotage: Sabotage,
    /// Whether requests are repeated and answers lost on the way.
    pub is_lossy: bool,
    /// The steps, by time.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its number, which it keeps when others are left out.
    pub number: usize,
    /// When.
    pub at: Duration,
    /// What.
    pub act: Act,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Act {
    /// A client makes a job, and maybe waits for it.
    Create {
        /// Which client.
        client: u64,
        /// The key; steps with the same one make the same job.
        key: u64,
        /// How to wait, and until when.
        wait: Option<(How, Option<Duration>)>,
    },
    /// A client makes several jobs by one request of a vendor's interface, all or none.
    CreateAll {
        /// Which client.
        client: u64,
        /// The key; steps with the same one make the same jobs.
        key: u64,
    },
    /// A client watches the job of that step, the first if there are several.
    Watch {
        /// Which client.
        client: u64,
        /// The step.
        of: usize,
        /// How.
        how: How,
    },
    /// A client reads the job by requests that are held, one after the other.
    Hold {
        /// Which client.
        client: u64,
        /// The step.
        of: usize,
        /// Whether it ends its side of each connection once it has asked.
        half_closes: bool,
    },
    /// A client waits for the jobs of all steps up to that one together.
    Set {
        /// Which client.
        client: u64,
        /// The last step.
        up_to: usize,
    },
    /// A client reads the job.
    Read {
        /// Which client.
        client: u64,
        /// The step.
        of: usize,
    },
    /// A client cancels the job.
    Cancel {
        /// Which client.
        client: u64,
        /// The step.
        of: usize,
    },
    /// A client deletes the record of the job.
    Delete {
        /// Which client.
        client: u64,
        /// The step.
        of: usize,
    },
    /// A client reports on the job, whether it has ended or not.
    Report {
        /// Which client.
        client: u64,
        /// The step.
        of: usize,
    },
    /// A client lists its jobs.
    List {
        /// Which client.
        client: u64,
    },
    /// A client follows the feed for a while, from now on or from where another follower once was.
    Feed {
        /// Which client.
        client: u64,
    },
    /// Something breaks.
    Break(Breakage),
}

/// A strategy of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The best that the server can do.
    Auto,
    /// Held requests.
    LongPoll,
    /// A stream of events.
    Stream,
    /// Polls.
    Poll,
    /// A push first.
    Webhook,
}

/// What breaks.
#[derive(Clone, Copy, Debug)]
pub enum Breakage {
    /// The process is killed, and is away for that time.
    Kill {
        /// How long.
        down: Duration,
        /// By how many milliseconds the machine's clock is set meanwhile.
        set_by_ms: i64,
    },
    /// The machine loses its power.
    Power {
        /// How long.
        down: Duration,
    },
    /// The machine loses its power while the append of that number is being synced.
    PowerAtAppend {
        /// Which append, counted from now.
        append: u64,
        /// How long.
        down: Duration,
    },
    /// The server is stopped in order and started again.
    Restart {
        /// How long.
        down: Duration,
        /// By how many milliseconds the machine's clock is set while it stops.
        set_by_ms: i64,
    },
    /// The disk is full, and then the server is stopped in order.
    StopFull {
        /// For how long the disk is full.
        length: Duration,
    },
    /// The disk is full for that time.
    DiskFull {
        /// How long.
        length: Duration,
    },
    /// An append fails so that the server can't go on; whether it was written all the same.
    DiskBroken {
        /// Whether it was.
        is_written: bool,
    },
    /// Nothing passes between a client and the server for that time.
    Partition {
        /// Which client.
        client: u64,
        /// How long.
        length: Duration,
    },
    /// A client's connections are reset.
    Cut {
        /// Which client.
        client: u64,
    },
    /// A client's network is slower by that from now on.
    Slow {
        /// Which client.
        client: u64,
        /// By how much.
        by: Duration,
    },
    /// A receiver of webhooks behaves badly for that time.
    Receiver {
        /// Which.
        receiver: u64,
        /// How.
        mood: Mood,
        /// How long.
        length: Duration,
    },
    /// The clock of the server's machine is set.
    Clock {
        /// By how many milliseconds.
        by_ms: i64,
    },
}

/// How a receiver of webhooks behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// It answers that it can't.
    Refuses,
    /// It takes what comes and says that it can't.
    Forgets,
    /// It never answers.
    Hangs,
    /// Nothing listens.
    Away,
}

/// What a job is made of, by its key.
#[derive(Clone, Debug)]
pub(super) struct JobPlan {
    /// How long the simulator works on it; `None` for one of an external worker.
    pub(super) length: Option<Duration>,
    /// How often workers may claim it; `None` if no worker does.
    pub(super) attempts_max: Option<u32>,
    /// After how long it fails.
    pub(super) deadline: Option<Duration>,
    pub(super) stages: u64,
    pub(super) input_bytes: usize,
    pub(super) has_webhook: bool,
}

/// What the jobs of one create are made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Several {
    /// How many there are.
    pub(super) count: u64,
    /// How long the simulator works on each.
    pub(super) length: Duration,
}

impl JobPlan {
    /// Whether it ends, whatever becomes of those who made it. No worker claims one that was reported on before.
    pub(super) const fn ends(&self, is_reported_on: bool) -> bool {
        let is_claimed = self.attempts_max.is_some() && !is_reported_on;
        self.length.is_some() || is_claimed || self.deadline.is_some()
    }
}

impl Breakage {
    /// Whether the disk can't be written for a while.
    pub(super) const fn is_of_disk(&self) -> bool {
        matches!(
            self,
            Self::DiskFull { .. } | Self::DiskBroken { .. } | Self::StopFull { .. }
        )
    }
}

impl Plan {
    /// Whether the disk ever can't be written.
    pub(super) fn has_bad_disk(&self) -> bool {
        let mut steps = self.steps.iter();
        steps.any(|step| matches!(&step.act, Act::Break(breakage) if breakage.is_of_disk()))
    }

    /// The plan of a seed.
    #[must_use]
    pub fn of(seed: u64, sabotage: Sabotage) -> Self {
        let draw = Draw::new(seed).named("plan");
        let creates = draw.named("creates").between(4, 12);
        let others = draw.named("others").between(4, 16);
        // A third of the worlds is calm, so that what is said of calm ones is tried.
        let breakages = match draw.named("calm").one_in(3) {
            true => 0,
            false => draw.named("breakages").between(1, 6),
        };
        let mut steps = Vec::new();
        for n in 0..creates {
            let draw = draw.named("create").of(n);
            let client = draw.named("client").below(CLIENTS);
            let several = draw.named("several").one_in(5).then(|| Act::CreateAll {
                client,
                key: draw.named("key").below(3),
            });
            let act = several.unwrap_or_else(|| Act::Create {
                client,
                key: draw.named("key").below(creates * 2),
                wait: draw.named("waits").below(4).checked_sub(1).map(|_| {
                    let deadline = draw.named("deadline").span(500, 60_000);
                    let has_one = draw.named("bounded").one_in(2);
                    (how(draw), has_one.then_some(deadline))
                }),
            });
            steps.push((draw.named("at").below(LENGTH_MS), act));
        }
        for n in 0..others {
            let draw = draw.named("other").of(n);
            let of = usize::try_from(draw.named("of").below(creates)).unwrap_or_default();
            let act = other(draw, draw.named("client").below(CLIENTS), of);
            steps.push((draw.named("at").below(LENGTH_MS), act));
        }
        for n in 0..breakages {
            let draw = draw.named("break").of(n);
            let act = Act::Break(breakage(draw));
            steps.push((draw.named("at").below(LENGTH_MS), act));
        }
        let mut steps: Vec<_> = steps
            .into_iter()
            .enumerate()
            .map(|(number, (at, act))| Step {
                number,
                at: Duration::from_millis(at),
                act,
            })
            .collect();
        steps.sort_by_key(|step| (step.at, step.number));
        Self {
            seed,
            sabotage,
            is_lossy: draw.named("lossy").one_in(2) && breakages > 0,
            steps,
        }
    }

    /// The same with these steps only.
    #[must_use]
    pub fn only(&self, numbers: &[usize]) -> Self {
        let mut plan = self.clone();
        plan.steps.retain(|step| numbers.contains(&step.number));
        plan
    }

    /// What the job of that view is made of, if it is one of this world's.
    pub(super) fn job_of(&self, view: &View) -> Option<JobPlan> {
        if let Some((key, _)) = self.part_of(view) {
            return Some(JobPlan {
                length: Some(self.several(key).length),
                attempts_max: None,
                deadline: None,
                stages: 0,
                input_bytes: 0,
                has_webhook: false,
            });
        }
        let key = view.key.strip_prefix("key-")?;
        Some(self.job(key.parse().ok()?))
    }

    /// The jobs that a create of several with that key makes.
    pub(super) fn several(&self, key: u64) -> Several {
        let draw = Draw::new(self.seed).named("several").of(key);
        Several {
            count: draw.named("count").between(2, 5),
            length: draw.named("length").span(30, 20_000),
        }
    }

    /// The key of the create of several that made the job of that view, and which of them it is.
    pub(super) fn part_of(&self, view: &View) -> Option<(u64, u64)> {
        let (key, part) = view.key.strip_prefix(SEVERAL)?.split_once('-')?;
        Some((key.parse().ok()?, part.parse().ok()?))
    }

    /// By how much the clock of the server's machine is set, each time, in milliseconds.
    pub(super) fn clock_steps(&self) -> impl Iterator<Item = i64> {
        self.steps.iter().filter_map(|step| match step.act {
            Act::Break(
                Breakage::Clock { by_ms: by }
                | Breakage::Kill { set_by_ms: by, .. }
                | Breakage::Restart { set_by_ms: by, .. },
            ) => Some(by).filter(|by| *by != 0),
            _ => None,
        })
    }

    /// The job that steps with that key make.
    pub(super) fn job(&self, key: u64) -> JobPlan {
        let draw = Draw::new(self.seed).named("job").of(key);
        let is_external = draw.named("external").one_in(3);
        let is_claimed = is_external && !draw.named("claimed").one_in(3);
        let attempts_max = draw.named("attempts").between(1, 3);
        JobPlan {
            length: (!is_external).then(|| draw.named("length").span(30, 20_000)),
            attempts_max: is_claimed.then(|| u32::try_from(attempts_max).unwrap_or(1)),
            deadline: draw
                .named("bounded")
                .one_in(5)
                .then(|| draw.named("deadline").span(300, 15_000)),
            stages: draw.named("stages").below(12),
            input_bytes: usize::try_from(match draw.named("large").one_in(3) {
                true => draw.named("bytes").between(10_000, 60_000),
                false => draw.named("bytes").below(300),
            })
            .unwrap_or_default(),
            has_webhook: draw.named("webhook").one_in(2),
        }
    }
}

fn how(draw: Draw) -> How {
    draw.named("how").pick(&[
        How::Auto,
        How::LongPoll,
        How::Stream,
        How::Poll,
        How::Webhook,
    ])
}

fn other(draw: Draw, client: u64, of: usize) -> Act {
    match draw.named("what").below(14) {
        0 | 1 => Act::Watch {
            client,
            of,
            how: how(draw),
        },
        2..=4 => Act::Hold {
            client,
            of,
            half_closes: draw.named("half").one_in(4),
        },
        5 => Act::Set { client, up_to: of },
        6 => Act::Read { client, of },
        7 => Act::Cancel { client, of },
        8 => Act::Delete { client, of },
        9 | 10 => Act::Feed { client },
        11 | 12 => Act::Report { client, of },
        _ => Act::List { client },
    }
}

fn breakage(draw: Draw) -> Breakage {
    let client = draw.named("client").below(CLIENTS);
    let down = draw.named("down").span(50, 8_000);
    let length = draw.named("length").span(50, 12_000);
    let set_by_ms = draw
        .named("set")
        .pick(&[0, 0, 0, 0, -3_600_000, -90_000, -700, 90_000]);
    match draw.named("what").below(20) {
        0 => Breakage::Kill { down, set_by_ms },
        1 => Breakage::Power { down },
        2..=4 | 14 | 15 => Breakage::PowerAtAppend {
            append: draw.named("append").between(1, 30),
            down,
        },
        5 => Breakage::Restart { down, set_by_ms },
        6 => Breakage::DiskFull { length },
        13 => Breakage::StopFull {
            length: draw.named("full").span(15_000, 25_000),
        },
        7 => Breakage::DiskBroken {
            is_written: draw.named("written").one_in(2),
        },
        8 => Breakage::Partition { client, length },
        9 => Breakage::Cut { client },
        10 => Breakage::Slow {
            client,
            by: draw.named("by").span(5, 900),
        },
        11 | 12 => Breakage::Receiver {
            receiver: draw.named("receiver").below(2),
            mood: draw
                .named("mood")
                .pick(&[Mood::Refuses, Mood::Forgets, Mood::Hangs, Mood::Away]),
            length,
        },
        _ => Breakage::Clock {
            by_ms: draw
                .named("step")
                .pick(&[-3_600_000, -90_000, -700, 700, 5_000, 90_000, 7_200_000]),
        },
    }
}
