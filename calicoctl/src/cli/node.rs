//! What the commands for this host take.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What to do about this host.
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// Show whether the node agent runs, and its BGP sessions.
    Status,
    /// Check that the kernel has what Calico needs.
    Checksystem(ChecksystemArgs),
    /// Show how long the plugin's latest calls took, phase by phase, as far as its log tells.
    Timings(TimingsArgs),
}

/// `node checksystem`.
#[derive(Debug, Args)]
pub struct ChecksystemArgs {
    /// The kernel's configuration, instead of the places where it usually is.
    #[arg(short = 'f', long, value_name = "FILE")]
    pub kernel_config: Option<PathBuf>,
}

/// `node timings`.
#[derive(Debug, Args)]
pub struct TimingsArgs {
    /// The plugin's log.
    #[arg(long, value_name = "FILE", default_value = "/var/log/calico/cni/cni.log")]
    pub log_file: PathBuf,
    /// How many calls.
    #[arg(long, value_name = "NUMBER", default_value = "20")]
    pub calls: usize,
}
