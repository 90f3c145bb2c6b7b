//! Every committed input still does what its target wants, and so does a fixed number of changed ones.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use fuzz_targets::mutate::Mutator;
use fuzz_targets::{TARGETS, corpus};
use std::collections::BTreeSet;

/// Changed inputs of each target.
const CHANGED: usize = 60;

#[test]
fn every_committed_input_holds() {
    for (name, target) in TARGETS {
        let inputs = corpus::read(&corpus::file_of(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for input in inputs {
            hold(name, *target, &input);
        }
    }
}

#[test]
fn changed_inputs_hold() {
    for (name, target) in TARGETS {
        let mut mutator = Mutator::new(corpus::read(&corpus::file_of(name)).unwrap(), 1);
        for _ in 0..CHANGED {
            hold(name, *target, &mutator.next_input());
        }
    }
}

fn hold(name: &str, target: fuzz_targets::Target, input: &[u8]) {
    let held = std::panic::catch_unwind(|| target(input)).is_ok();
    assert!(held, "{name} fails with {}", data_encoding::HEXLOWER.encode(input));
}

#[test]
fn a_seed_gives_the_same_inputs_again_and_many_of_them() {
    let inputs = |seed| {
        let mut mutator = Mutator::new(vec![vec![1, 2, 3, 4]], seed);
        (0..50).map(|_| mutator.next_input()).collect::<Vec<_>>()
    };
    assert_eq!(inputs(1), inputs(1));
    assert_ne!(inputs(1), inputs(2));
    assert!(inputs(1).iter().collect::<BTreeSet<_>>().len() > 25);
}

#[test]
fn corpora_are_compact_and_belong_to_targets() {
    let mut total = 0;
    for entry in std::fs::read_dir(corpus::file_of("any").parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue; // unpacked by somebody who fuzzes
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(fuzz_targets::find(name).is_some(), "{} belongs to no target", path.display());
        let size = path.metadata().unwrap().len();
        assert!(size <= corpus::MAX_FILE, "{} has {size} bytes", path.display());
        total += size;
    }
    assert!(total < 1 << 20, "all corpora have {total} bytes");
}
