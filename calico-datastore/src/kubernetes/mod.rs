//! The Kubernetes API.

mod call;
mod client;
mod settings;

#[allow(unused_imports, reason = "the back end is about to use them")]
pub(crate) use call::{Call, Failure, Method, Reply};
#[allow(unused_imports, reason = "the back end is about to use it")]
pub(crate) use client::Client;
pub use settings::Settings;
