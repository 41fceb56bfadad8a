//! The store of a cluster whose objects are in etcd.

mod settings;

pub use settings::Settings;
