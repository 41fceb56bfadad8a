//! What the executables `calico` and `calico-ipam` share apart from the CNI protocol and allocation: the network
//! configuration, who and where a call is for, the log, the host lock, and the run of a call.

mod allocator;
pub mod call;
pub mod config;
pub mod connection_test;
mod datastore;
mod error;
pub mod gates;
pub mod identifiers;
pub mod lock;
pub mod log;
pub mod node_name;
pub mod process;
pub mod readiness;
pub mod signals;
pub mod variables;

pub use config::NetConf;
pub use error::Error;
pub use identifiers::Identifiers;
pub use log::Log;
pub use variables::Variables;
