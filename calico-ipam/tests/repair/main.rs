//! Repairs: what is planted in a healthy cluster is found, and repaired or left for a reason; and nothing else is touched.

#[path = "../audit/cluster.rs"]
#[allow(dead_code, reason = "audit uses the rest")]
mod cluster;

mod cautious;
mod faults;
mod proof;
mod shelf;
mod site;
mod table;
