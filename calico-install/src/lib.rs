//! `calico-install` puts the plugins on a node, the kubeconfig with a token for them, and the configuration by which a
//! runtime finds them; then it stays, renews the token, and puts back what is removed or changed.
//!
//! It is configured by environment variables (`options.rs`), those of the established implementation's installer and some
//! of its own. docs/installer.md has them all, the mounts it expects, and what it measures.
//!
//! # Exit codes
//!
//! | Code | Meaning |
//! |---|---|
//! | 0 | everything is installed (`SLEEP=false`), or a signal (SIGTERM, SIGINT) ended one that stays |
//! | 1 | a file could not be installed: no writable folder, a read-only or a full file system; or a signal came before everything was installed (`SLEEP=false`) |
//! | 2 | the configuration is wrong: a variable, an argument, or the CNI configuration; or no service account is mounted (`SLEEP=false` only) |
//! | 3 | the API refuses, and waiting would not help: no such service account, or a missing right (`SLEEP=false` only) |
//!
//! An API that cannot be reached, or that does not accept the mounted token yet, ends it never: it keeps trying, and says so.

mod account;
mod api;
mod arguments;
mod assets;
mod backoff;
mod clock;
mod conflist;
mod credentials;
mod error;
mod executables;
mod files;
mod installer;
mod kubeconfig;
mod metrics;
mod options;
mod pace;
mod paths;
mod pools;
mod random;
mod renewal;
mod run;
#[cfg(test)]
mod scratch;
mod server;
mod standalone;
mod status;
mod stop;
mod template;
mod watch;

pub use run::main;
