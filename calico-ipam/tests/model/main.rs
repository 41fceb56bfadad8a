//! Allocation against a model: random operations of several hosts, with other writers between any two keys of a read
//! and before any commit, answers that get lost, requests that land late, and processes that die after any write.
//!
//! Every write is judged when it is applied; after every operation the store must keep the invariants; at the end everything
//! must be releasable.
//!
//! `MODEL_SEED` gives the seed (printed at the start), `MODEL_CASES` the number of cases.

#![allow(clippy::print_stdout, reason = "the seed is for whoever reads a failed test's output")]

mod crash;
mod stopped;
mod world;

use std::rc::Rc;

use calico_datastore::local::Local as Base;
use world::World;
use world::cases::Cases;
use world::faulty::{Faults, Style};

fn check(style: Style, faults: Faults, deaths: bool) {
    let cases = Cases::from_environment(30);
    cases.run(deaths, |steps, seed| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let store = Rc::new(Base::in_memory().await.unwrap());
            World::new(store, style, faults, seed).await.live(steps).await;
        });
    });
}

#[test]
fn undisturbed() {
    check(Style::Atomic, Faults::NONE, false);
}

#[test]
fn undisturbed_where_writes_are_applied_one_by_one() {
    check(Style::Ordered, Faults::NONE, false);
}

#[test]
fn other_writers_between_any_two_reads() {
    check(Style::Atomic, Faults { writers: 12, ..Faults::NONE }, false);
}

#[test]
fn other_writers_where_writes_are_applied_one_by_one() {
    check(Style::Ordered, Faults { writers: 12, ..Faults::NONE }, false);
}

#[test]
fn unknown_outcomes() {
    check(Style::Atomic, Faults { writers: 6, lost: 15, late: 0 }, false);
}

#[test]
fn unknown_outcomes_where_writes_are_applied_one_by_one() {
    check(Style::Ordered, Faults { writers: 6, lost: 15, late: 0 }, false);
}

#[test]
fn requests_that_land_after_their_answer_was_given_up() {
    check(Style::Atomic, Faults { writers: 6, lost: 8, late: 15 }, false);
    check(Style::Ordered, Faults { writers: 6, lost: 8, late: 15 }, false);
}

#[test]
fn death_after_any_write() {
    check(Style::Atomic, Faults { writers: 6, lost: 5, late: 10 }, true);
    check(Style::Ordered, Faults { writers: 6, lost: 5, late: 10 }, true);
}
