//! The CNI protocol as a plugin sees it, and nothing of Calico.
//!
//! A runtime starts the plugin with its request in `CNI_*` variables and the network configuration on stdin
//! ([`request`]). [`dispatch()`] validates both, calls the [`Plugin`], and turns what it returns into the text for
//! stdout: a [`result::Success`] in the format of the version that was asked for, or an [`Error`]. A plugin that hands
//! part of its work to another one uses [`delegate`].
//!
//! Where the specification leaves room, this crate does what the reference Go library does, because runtimes and
//! operators have come to rely on it.

pub mod args;
pub mod cidr;
pub mod delegate;
pub mod dispatch;
pub mod error;
pub mod fields;
pub mod go_quote;
mod legacy;
pub mod request;
pub mod result;
pub mod version;

pub use args::Args;
pub use cidr::Cidr;
pub use dispatch::{Answer, Plugin, dispatch};
pub use error::Error;
pub use fields::{FieldError, Fields};
pub use request::{Command, Environment, Request};
pub use result::Success;
pub use version::Version;
