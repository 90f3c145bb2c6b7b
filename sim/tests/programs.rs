//! The programs as people and other programs call them: what their last line says, and that a seed means the same in each run.

#![allow(clippy::unwrap_used, reason = "what fails here is a failed test")]

use serde_json::Value;
use std::process::Command;

/// The last line that a program that succeeded wrote.
fn last_line(program: &str, words: &str) -> String {
    let ended = Command::new(program).args(words.split(' ')).output().unwrap();
    let (stdout, stderr) = (String::from_utf8(ended.stdout).unwrap(), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{program} {words}: {stdout}{stderr}");
    stdout.lines().last().unwrap().to_owned()
}

#[test]
fn the_last_line_of_a_population_report_is_one_object_with_all_that_was_measured() {
    for words in ["--mix A --pairs 12 --seed 1 --json", "--mix B --pairs 12 --seed 1 --like-dcutr --json"] {
        let report: Value = serde_json::from_str(&last_line(env!("CARGO_BIN_EXE_population"), words)).unwrap();
        for key in ["direct_percent", "connected_percent", "oracle_percent"] {
            assert!(report[key].as_f64().is_some_and(|share| (0.0..=100.0).contains(&share)), "{key} of {report}");
        }
        assert_eq!(report["ci95"].as_array().unwrap().len(), 2);
        for times in ["first_byte_ms", "time_to_direct_ms"] {
            let [p50, p95] = ["p50", "p95"].map(|rank| report[times][rank].as_u64().unwrap());
            assert!(0 < p50 && p50 <= p95, "{times} of {report}");
        }
        let rungs = report["rungs"].as_object().unwrap();
        assert!(rungs.len() >= 5);
        for (name, rung) in rungs {
            for key in ["ci95", "time_to_direct_ms", "probes", "sockets", "relay_bytes", "success_percent"] {
                assert!(!rung[key].is_null(), "{key} of {name}");
            }
        }
        assert_eq!((&report["pairs"], &report["seed"]), (&12.into(), &1.into()));
        assert_eq!(report["like_dcutr"], words.contains("--like-dcutr"));
    }
}

#[test]
fn a_soak_tells_how_many_scenarios_it_ran_and_a_seed_has_one_hash() {
    let soak = env!("CARGO_BIN_EXE_soak");
    let told: Value = serde_json::from_str(&last_line(soak, "--minutes 0.01 --seed 1 --json")).unwrap();
    assert!(told["scenarios"].as_u64().unwrap() > 0 && told["scenarios_per_second"].as_f64().unwrap() > 0.0, "{told}");
    assert_eq!((&told["ok"], &told["first_seed"]), (&true.into(), &1.into()), "{told}");
    assert!(last_line(soak, "--minutes 0.01 --seed 1").contains(" a second, from seed 1"));
    let hash = |seed: u64| last_line(soak, &format!("--hash {seed}"));
    assert_eq!(hash(3), hash(3));
    assert_ne!(hash(3), hash(4));
}
