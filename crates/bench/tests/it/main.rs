//! Every bit of work that instructions are counted in runs to its end. That the program is there after the tests is
//! what `checks/instructions.sh` counts on.

use std::process::{Command, Output};

fn bench(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_abide-bench"))
        .args(words)
        .output()
        .expect("the program was built with the tests")
}

#[test]
fn all_sorts_of_work_run() {
    let help = bench(&["work", "--help"]);
    let text = String::from_utf8(help.stdout).unwrap();
    let sorts: Vec<_> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- ")?.split_once(':'))
        .map(|(sort, _)| sort)
        .collect();
    assert!(sorts.contains(&"read"), "{text}");
    for sort in sorts {
        let output = bench(&["work", sort, "--count", "3"]);
        assert!(output.status.success(), "{sort}: {output:?}");
    }
}

#[test]
fn work_that_there_is_not_is_refused() {
    let output = bench(&["work", "nothing"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
