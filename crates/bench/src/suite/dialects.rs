//! Reads in vendors' interfaces.

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::reads::{Reads, read_for};
use crate::contestant::{Contestant, Running, Setup, get, post};
use crate::figures::{Aim, Figure, in_turns, say};
use crate::limit::Sort;
use crate::load::call;

/// A vendor's read.
struct Vendor {
    name: &'static str,
    /// The path of its creates, below its mount.
    create: &'static str,
    body: &'static str,
    /// Where the answer to a create has the id.
    id: &'static str,
    /// The path of its reads.
    read: &'static str,
}

/// The smallest answer, and the largest.
const VENDORS: [Vendor; 2] = [
    Vendor {
        name: "fal",
        create: "/fal-ai/veo3",
        body: r#"{"prompt":"abide:duration=1h"}"#,
        id: "/request_id",
        read: "/fal-ai/veo3/requests/{id}/status",
    },
    Vendor {
        name: "replicate",
        create: "/v1/predictions",
        body: r#"{"version":"v","input":{"prompt":"abide:duration=1h"}}"#,
        id: "/id",
        read: "/v1/predictions/{id}",
    },
];

impl Vendor {
    /// A read of a job that it makes; of a limit the read that it has.
    fn request(&self, running: &Running) -> anyhow::Result<Vec<u8>> {
        if !running.is_ours() {
            return Ok(running.read());
        }
        let mount = format!("/dialects/{}", self.name);
        let create = post(&format!("{mount}{}", self.create), self.body);
        let (status, body) = call(running.server.address, &create)?;
        if status >= 300 {
            bail!("a create was answered with {status}");
        }
        let made: Value = serde_json::from_slice(&body)?;
        let id = made.pointer(self.id).and_then(Value::as_str);
        let path = self
            .read
            .replace("{id}", id.context("a create without an id")?);
        Ok(get(&format!("{mount}{path}")))
    }
}

/// P1 of a vendor's read: its answer is made anew each time, and may cost half as much again as a bare handler's.
pub(crate) fn run(setup: &Setup) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for vendor in VENDORS {
        let ours = Contestant::Ours.start(setup, 0, false)?;
        let (_, body) = call(ours.server.address, &vendor.request(&ours)?)?;
        drop(ours);
        let contestants = [Contestant::Ours, Contestant::Limit(Sort::Hyper, None)];
        let medians = in_turns(setup.rounds, &contestants, |contestant| {
            say(&format!("reads, {}: {contestant:?}", vendor.name));
            let running = contestant.start(setup, body.len(), false)?;
            let request = vendor.request(&running)?;
            read_for(&running, Reads::of(vec![request.clone()]), setup.length / 4)?;
            read_for(&running, Reads::of(vec![request]), setup.length)
        })?;
        let what = format!(
            "read in the words of {}, {} B body",
            vendor.name,
            body.len()
        );
        let [ours, hyper] = [medians[0], medians[1]];
        for (n, (unit, aim)) in [
            ("CPU µs", Aim::TimesAtMost(1.5)),
            ("requests/s", Aim::Shown),
            ("p99 ms", Aim::Shown),
        ]
        .into_iter()
        .enumerate()
        {
            let beside = ("bare hyper handler", hyper[n]);
            let id = if n == 0 { "P1" } else { "" };
            figures.push(
                Figure::new(&what, unit, ours[n])
                    .beside(beside)
                    .aims(id, aim),
            );
        }
    }
    Ok(figures)
}
