//! `calicoctl`: on the embedded store, on etcd and on the Kubernetes API.

mod addresses;
mod bad_input;
mod configuration;
mod faults;
mod inputs;
mod objects;
mod people;
mod plugin;
mod recorded;
