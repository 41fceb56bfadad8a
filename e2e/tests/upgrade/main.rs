//! `calico-ipam -upgrade` against a real API server: a node whose pods have addresses of the real host-local becomes one of
//! Calico's, also where the upgrade is killed, must wait, or cannot be completed.

mod interrupted;
mod node;
mod whole;
