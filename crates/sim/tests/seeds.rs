//! A seed is a run; a few seeds are green; seeds that were red once stay green.

use seabed_sim::{Plan, Work, run, run_many};

#[test]
fn the_same_seed_is_the_same_run() {
    let (one, two) = (run(Plan::new(3)), run(Plan::new(3)));
    assert_eq!(one.hash, two.hash);
    assert_eq!(one.events, two.events);
    assert_ne!(one.hash, run(Plan::new(4)).hash);
}

#[test]
fn a_few_seeds_are_green() {
    run_many((1..=6).map(Plan::new).collect(), |report| {
        assert_eq!(report.red, None, "seed {}", report.seed);
        true
    });
}

/// `seeds.txt`: a number, the work, then what it found.
#[test]
fn seeds_that_were_red_stay_green() {
    let text = include_str!("../seeds.txt");
    // A line that begins with a digit is a seed; others go on with its story.
    let numbers = text.lines().filter(|l| l.starts_with(|c: char| c.is_ascii_digit()));
    let plans: Vec<Plan> = numbers
        .map(|line| {
            let mut words = line.split_whitespace();
            let number = words.next().and_then(|n| n.parse().ok());
            let work = words.next().and_then(|w| Work::ALL.into_iter().find(|k| k.name() == w));
            let (Some(number), Some(work)) = (number, work) else {
                panic!("{line:?} begins with no seed and work")
            };
            Plan::with(number, work)
        })
        .collect();
    assert!(!plans.is_empty());
    run_many(plans, |report| {
        assert_eq!(report.red, None, "seed {}", report.seed);
        true
    });
}
