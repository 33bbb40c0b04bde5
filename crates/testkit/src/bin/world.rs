//! Plays simulated worlds: `world --seed N` plays one, `world --seed N --count M` plays M of them, each in a process
//! of its own.
//!
//! | flag | what it does |
//! |---|---|
//! | `--seed N` | the first seed; 1 by default |
//! | `--count M` | how many; 1 by default |
//! | `--jobs J` | how many at a time; 2 by default |
//! | `--sabotage NAME` | puts a fault in on purpose, and looks for the first seed that finds it |
//! | `--only 1,4,6` | plays these steps alone |
//! | `--shrink` | leaves out steps for as long as the seed fails |
//! | `--log` | prints the history |
//!
//! Exits with 1 where a promise wasn't kept. A process draws all its randomness from a fixed source, so that the same
//! flags give the same history.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is a program"
)]

use std::process::{Command, ExitCode, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use abide_testkit::world::{Plan, Sabotage, check, run, shrink};

/// The exit code of a world in which a promise wasn't kept.
const BROKEN: u8 = 1;
/// The exit code for flags that can't be read.
const USAGE: u8 = 2;

#[derive(Clone, Debug)]
struct Flags {
    seed: u64,
    count: u64,
    jobs: usize,
    sabotage: (&'static str, Sabotage),
    only: Option<Vec<usize>>,
    shrink: bool,
    log: bool,
}

fn main() -> ExitCode {
    let flags = match Flags::read(std::env::args().skip(1)) {
        Ok(flags) => flags,
        Err(why) => {
            eprintln!("world: {why}");
            return ExitCode::from(USAGE);
        }
    };
    if flags.shrink {
        return shrunk(&flags);
    }
    if flags.count > 1 {
        return many(&flags);
    }
    one(&flags)
}

impl Flags {
    fn read(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let seed = std::env::var("ABIDE_SEED").ok();
        let mut flags = Self {
            seed: seed.and_then(|seed| seed.parse().ok()).unwrap_or(1),
            count: 1,
            jobs: 2,
            sabotage: Sabotage::ALL[0],
            only: None,
            shrink: false,
            log: false,
        };
        while let Some(flag) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{flag} needs a value"));
            fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
                text.parse().map_err(|_| format!("{text:?} is no number"))
            }
            match flag.as_str() {
                "--seed" => flags.seed = number(&value()?)?,
                "--count" => flags.count = number(&value()?)?,
                "--jobs" => flags.jobs = number(&value()?)?,
                "--only" => {
                    let text = value()?;
                    let numbers = text.split(',').filter(|part| !part.is_empty());
                    flags.only = Some(numbers.map(number).collect::<Result<_, _>>()?);
                }
                "--sabotage" => {
                    let name = value()?;
                    let known = Sabotage::ALL.into_iter().find(|(known, _)| *known == name);
                    flags.sabotage = known.ok_or_else(|| format!("no sabotage is named {name}"))?;
                }
                "--shrink" => flags.shrink = true,
                "--log" => flags.log = true,
                _ => return Err(format!("{flag} is no flag of this program")),
            }
        }
        Ok(flags)
    }

    fn plan(&self) -> Plan {
        let plan = Plan::of(self.seed, self.sabotage.1);
        match &self.only {
            Some(only) => plan.only(only),
            None => plan,
        }
    }

    /// Plays one world in a process of its own.
    fn play(&self, seed: u64, only: Option<&[usize]>) -> std::io::Result<Output> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--seed", &seed.to_string(), "--sabotage", self.sabotage.0]);
        if let Some(only) = only {
            let only: Vec<_> = only.iter().map(ToString::to_string).collect();
            command.args(["--only", &only.join(",")]);
        }
        command.output()
    }
}

fn one(flags: &Flags) -> ExitCode {
    let plan = flags.plan();
    let history = run(&plan);
    let moments = history.moments();
    let violations = check(&plan, &moments);
    if flags.log {
        for step in &plan.steps {
            println!("step {} at {:?}: {:?}", step.number, step.at, step.act);
        }
        moments.iter().for_each(|moment| println!("{moment}"));
    }
    for violation in &violations {
        println!("{violation}");
    }
    let (seed, count, digest) = (flags.seed, moments.len(), history.digest());
    println!("seed {seed}: {count} moments, digest {digest:016x}");
    match violations.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(BROKEN),
    }
}

fn many(flags: &Flags) -> ExitCode {
    let next = AtomicU64::new(flags.seed);
    let end = flags.seed + flags.count;
    let is_hunt = flags.sabotage.1 != Sabotage::None;
    let stop = AtomicBool::new(false);
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..flags.jobs.max(1) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let (is_fine, text) = match flags.play(seed, None) {
                        Ok(output) => (
                            output.status.success(),
                            [output.stdout, output.stderr].concat(),
                        ),
                        Err(error) => (false, error.to_string().into_bytes()),
                    };
                    if !is_fine {
                        let mut failed = failed.lock().expect("no thread panics with it");
                        failed.push(seed);
                        println!("{}", String::from_utf8_lossy(&text).trim_end());
                        // One is enough to see that it is found.
                        stop.fetch_or(is_hunt, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no thread panics with it");
    println!(
        "{} seeds from {}: {} failed {failed:?}",
        flags.count,
        flags.seed,
        failed.len()
    );
    match failed.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(BROKEN),
    }
}

fn shrunk(flags: &Flags) -> ExitCode {
    let fails = |plan: &Plan| {
        let only: Vec<_> = plan.steps.iter().map(|step| step.number).collect();
        let output = flags.play(flags.seed, Some(&only));
        output.is_ok_and(|output| !output.status.success())
    };
    let plan = flags.plan();
    if !fails(&plan) {
        println!("seed {} doesn't fail", flags.seed);
        return ExitCode::SUCCESS;
    }
    let plan = shrink(&plan, fails);
    let only: Vec<_> = plan
        .steps
        .iter()
        .map(|step| step.number.to_string())
        .collect();
    let sabotage = match flags.sabotage.1 {
        Sabotage::None => String::new(),
        _ => format!(" --sabotage {}", flags.sabotage.0),
    };
    println!(
        "world --seed {} --only {}{sabotage} --log",
        flags.seed,
        only.join(",")
    );
    let flags = Flags {
        only: Some(plan.steps.iter().map(|step| step.number).collect()),
        log: true,
        ..flags.clone()
    };
    one(&flags)
}
