//! Allocation against the model, on etcd: the cases of `calico-ipam/tests/model`, fewer of them. `tests/model_etcd.rs` runs this
//! inside the servers' network.
//!
//! `model <url>`: on an etcd that nobody else uses. `MODEL_SEED` and `MODEL_CASES` as there.

#![allow(clippy::print_stdout, reason = "the seed is for whoever reads a failed test's output")]

#[path = "../../../calico-ipam/tests/model/world/mod.rs"]
mod world;

use std::rc::Rc;
use std::time::Duration;

use calico_datastore::Deadline;
use calico_datastore::etcd::{Etcd as Base, Members, Settings};
use world::World;
use world::cases::Cases;
use world::faulty::{Faults, Style};

/// The styles and faults of the cases, and whether processes die in them.
const KINDS: [(Style, Faults, bool); 5] = [
    (Style::Atomic, Faults::NONE, false),
    (Style::Atomic, Faults { writers: 12, lost: 0, late: 0 }, false),
    (Style::Atomic, Faults { writers: 6, lost: 8, late: 15 }, false),
    (Style::Atomic, Faults { writers: 6, lost: 5, late: 10 }, true),
    (Style::Ordered, Faults { writers: 6, lost: 5, late: 10 }, true),
];

fn main() {
    let url = std::env::args().nth(1).expect("usage: model <url>");
    for (style, faults, deaths) in KINDS {
        Cases::from_environment(12).run(deaths, |steps, seed| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let settings = Settings::to(Members::Listed(vec![url.clone()]));
                let etcd = Base::open(&settings, Deadline::after(Duration::from_secs(5))).await;
                let store = Rc::new(etcd.unwrap_or_else(|e| panic!("{e}")));
                World::new(store, style, faults, seed).await.live(steps).await;
            });
        });
    }
}
