//! The Kubernetes API: as datastore, and for what Kubernetes itself says of pods, namespaces and nodes.

mod access;
mod api;
mod call;
mod client;
mod cluster;
mod exec;
mod guess;
mod kubeconfig;
mod lines;
mod nodes;
mod pods;
mod profiles;
mod proxy;
mod questions;
mod refusal;
mod session;
mod settings;
mod status;
mod store;
mod tls;
pub mod token;
mod token_request;
mod trouble;
mod yaml;

pub use cluster::Cluster;
pub use settings::Settings;
pub use store::Kubernetes;
pub use token_request::Granted;

#[cfg(test)]
mod tests;
