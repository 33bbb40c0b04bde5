//! The least steps that still fail.

use super::plan::Plan;

/// Leaves out steps of a plan that fails for as long as it fails, halves first and single ones last.
pub fn shrink(plan: &Plan, mut fails: impl FnMut(&Plan) -> bool) -> Plan {
    let mut kept: Vec<usize> = plan.steps.iter().map(|step| step.number).collect();
    let mut size = kept.len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        while from < kept.len() {
            let mut fewer = kept.clone();
            fewer.drain(from..(from + size).min(fewer.len()));
            if fails(&plan.only(&fewer)) {
                kept = fewer;
            } else {
                from += size;
            }
        }
        size /= 2;
    }
    plan.only(&kept)
}

#[cfg(test)]
mod tests {
    use super::super::plan::Sabotage;
    use super::*;

    #[test]
    fn what_a_failure_needs_is_left_and_nothing_else() {
        let plan = Plan::of(1, Sabotage::None);
        let numbers = |plan: &Plan| -> Vec<usize> {
            let mut numbers: Vec<_> = plan.steps.iter().map(|step| step.number).collect();
            numbers.sort_unstable();
            numbers
        };
        let needed = [1, 4, 6];
        let fails = |plan: &Plan| needed.iter().all(|it| numbers(plan).contains(it));
        assert_eq!(numbers(&shrink(&plan, fails)), needed);
    }
}
