//! One run of a suite, row by row.

use std::io::BufRead;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crate::args::Args;
use crate::data::{Row, Run, Step, Suite};
use crate::place::Place;
use crate::steps::State;
use crate::support::Up;
use crate::vars::Vars;

/// Runs it; whether every row that could run passed.
///
/// After a failure the rest is not run, unless told otherwise: rows stand on each other.
pub(crate) fn run(suite: &Suite, run: &Run, args: &Args) -> bool {
    let say = |text: String| println!("[{}] {text}", run.name);
    let begun = Instant::now();
    say(format!("suite {} of {}, reclaim order {}", suite.suite, suite.contract, run.reclaim_order));
    for change in &suite.changes {
        say(format!("  throughout: {} (original: {})", change.reason, change.original));
    }
    let mut vars = Vars::default();
    let place = match Place::make(suite, run, args, &mut vars) {
        Ok(place) => place,
        Err(problem) => {
            say(format!("FAIL setup: {problem}"));
            return false;
        }
    };
    let mut state = State { suite, run, place, vars };
    let (mut passed, mut skipped, mut left_out) = (0, 0, 0);
    let mut failed: Vec<&str> = Vec::new();
    if let Err(problem) = set_up(&mut state, args) {
        say(format!("FAIL     setup: {problem}"));
        failed.push("setup");
    }
    for row in suite.rows.iter().filter(|r| run.rows.as_ref().is_none_or(|rows| rows.contains(&r.row))) {
        let title = format!("{:4} {}", row.row, row.name);
        if let Some(why) = &row.skip {
            say(format!("SKIPPED  {title}: {why}"));
            skipped += 1;
            continue;
        }
        if !failed.is_empty() && (failed[0] == "setup" || !args.keep_going) {
            say(format!("not run  {title}"));
            left_out += 1;
            continue;
        }
        let begun = Instant::now();
        let result = attempt(&mut state, &row.steps);
        let took = begun.elapsed().as_secs_f64();
        match result {
            Ok(()) => {
                passed += 1;
                say(format!("pass     {title} ({took:.1} s){}", changed(row)));
            }
            Err(problem) => {
                failed.push(&row.row);
                say(format!("FAIL     {title} ({took:.1} s){}\n    expected: {}\n    {problem}", changed(row), row.expectation));
            }
        }
    }
    let took = begun.elapsed().as_secs_f64();
    say(format!("{passed} passed, {} failed, {skipped} skipped, {left_out} not run, in {took:.1} s", failed.len()));
    if !failed.is_empty() && args.keep {
        let kubeconfig = state.place.own.as_ref().map(Up::kubeconfig).or_else(|| args.kubeconfig.clone());
        say(format!("kept: KUBECONFIG={} namespace {}", kubeconfig.unwrap_or_default().display(), state.place.cluster.namespace));
        let _ = std::io::stdin().lock().lines().next();
    }
    if !failed.is_empty() && state.place.own.is_some() {
        // The plane shows what is worth reading when it is dropped by a panic.
        panic!("{}: {} failed", run.name, failed.join(", "));
    }
    state.place.leave();
    failed.is_empty()
}

fn changed(row: &Row) -> String {
    row.change.as_ref().map_or_else(String::new, |c| format!("\n    changed: {} (original: {})", c.reason, c.original))
}

fn set_up(state: &mut State<'_>, args: &Args) -> Result<(), String> {
    // What is given on the command line comes first, for other variables to use, and last, to win.
    for (name, text) in args.set.iter().chain(&state.suite.vars).chain(&args.set) {
        let filled = state.vars.fill(text)?;
        state.vars.text(name, filled);
    }
    let suite = state.suite;
    attempt(state, &suite.setup)
}

/// The steps; a panic of the helpers (a server that hangs, say) is a failure as any other.
fn attempt(state: &mut State<'_>, steps: &[Step]) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| state.all(steps))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|&t| t.to_owned()));
        Err(text.unwrap_or_else(|| "a panic".to_owned()))
    })
}
