//! G11 and G12: estimates and pushes.

use crate::Effort;
use crate::laws::{Named, named, nine};
use crate::measure::{PRICE, Sample, learner, map, mean, world};
use crate::report::{Figure, Report, worst};
use abide_simulate::{Estimates, Observe, World};

pub(crate) fn g11(effort: Effort, report: &mut Report) {
    report.title("G11: estimates that are 20 % wrong, lognormal 0.5, jobs 21 to 40");
    let law = named("lognormal 0.5");
    let cost = |estimates| {
        let sample = in_world(
            world(Observe::Known).estimates(estimates),
            &law,
            effort.histories * 10,
        );
        let point = sample.mean();
        println!(
            "  {estimates:?}: {:.2} requests, {:.2} s",
            point.requests, point.delay_s
        );
        sample.cost(PRICE)
    };
    let without = cost(Estimates::None).value;
    let once = cost(Estimates::Once(0.2)).scaled(1.0 / without);
    report.at_most("G11 one estimate: cost / cost without", once, 0.72);
    let fresh = cost(Estimates::Fresh(0.2)).scaled(1.0 / without);
    report.at_most("G11 a fresh one each time: cost / cost without", fresh, 0.5);
}

pub(crate) fn g12(effort: Effort, report: &mut Report) {
    report.title("G12: pushes of which 5 % are lost, lognormal 0.5, jobs 21 to 40");
    let law = named("lognormal 0.5");
    let sample = in_world(
        world(Observe::Known).push_loss(0.05),
        &law,
        effort.histories * 50,
    );
    let requests: Vec<f64> = sample.0.iter().map(|point| point.requests).collect();
    let delays: Vec<f64> = sample.0.iter().map(|point| point.delay_s).collect();
    report.at_most(
        "G12 requests per job, the push among them",
        Figure::of(&requests),
        1.5,
    );
    report.at_most("G12 mean delay, s", Figure::of(&delays), 0.6);
    // Where every push is lost what is left is polling, from the first job on.
    let ratios = map(&nine(), |law| {
        let delay = |world: World| {
            let delays = (0..effort.histories).map(|seed| {
                let jobs = law.population.draw(seed, 40);
                world.run(&learner(PRICE), &jobs, seed).mean().delay_s
            });
            mean(delays)
        };
        let lost = world(Observe::Known).push_loss(1.0);
        Figure::from(delay(lost) / delay(world(Observe::Known)))
    });
    report.at_most(
        "G12 all pushes lost: mean delay / that of polling, worst of nine",
        worst(ratios),
        1.0,
    );
}

/// What a job costs in a world after 20 jobs there, over the next 20.
fn in_world(world: World, law: &Named, histories: u64) -> Sample {
    let seeds: Vec<u64> = (0..histories).collect();
    Sample(map(&seeds, |seed| {
        let schedule = learner(PRICE);
        let run = world.run(&schedule, &law.population.draw(*seed, 40), *seed);
        run.from(20).mean()
    }))
}
