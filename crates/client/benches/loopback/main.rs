//! What waiting costs against the real server on loopback, goal and figure side by side.
//!
//! `cargo bench -p abide --bench loopback` takes about two minutes, `-- --quick` twenty seconds with fewer and shorter
//! jobs. The server runs in a process of its own, and so does whatever has its memory measured. The exit code is 1 when
//! a goal is missed.

#![expect(clippy::print_stdout, reason = "a benchmark's output is its purpose")]

mod alone;
mod counted;
mod crowd;
mod memory;
mod peer;
mod table;

use std::process::ExitCode;

use self::peer::Peer;
use self::table::Table;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<ExitCode, Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    if has(peer::SERVE) {
        return runtime.block_on(peer::serve());
    }
    if has(memory::MEASURE) {
        return runtime.block_on(memory::measure(&arguments));
    }
    if !has("--quick") && !has("--bench") {
        println!("nothing to do without --bench or --quick");
        return Ok(ExitCode::SUCCESS);
    }
    runtime.block_on(compare(has("--quick")))
}

async fn compare(quick: bool) -> Result<ExitCode, Failure> {
    let peer = Peer::start()?;
    let mut table = Table::default();
    let longest = if quick { 10.0 } else { 60.0 };
    alone::one_by_one(&peer, longest, &mut table).await?;
    crowd::a_thousand(&peer, quick, &mut table).await?;
    memory::of_waits(&peer, 10_000, &mut table).await?;
    Ok(table.verdict())
}
