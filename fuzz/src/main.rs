//! The program that libFuzzer drives: `TARGET=NAME fuzz CORPUS…`. One for all targets, because linking takes its time.

#![no_main]

// The macro below exports a function, which is all that is unsafe here.
#[forbid(unsafe_code)]
mod targets;

use std::sync::LazyLock;

use targets::{TARGETS, Target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("TARGET").unwrap_or_default();
    let mut targets = TARGETS.iter().copied();
    let known = targets.find(|target| target.name == name);
    known.unwrap_or_else(|| panic!("TARGET={name:?} is none of {TARGETS:?}"))
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| (TARGET.run)(data));
