//! What the commands for addresses take.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What to do with addresses.
#[derive(Debug, Subcommand)]
pub enum IpamCommand {
    /// Show how much of each pool is used, who has an address, or the settings.
    Show(ShowArgs),
    /// Compare everything stored about addresses, and say what does not agree.
    Check(CheckArgs),
    /// Release an address, or what a report of `check` lists as leaked.
    Release(ReleaseArgs),
    /// Change the settings of address management.
    Configure(ConfigureArgs),
    /// Split a pool into smaller ones.
    Split(SplitArgs),
    /// Say which address an allocation would choose, and why not another.
    Explain(ExplainArgs),
}

/// `ipam show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Who has this address.
    #[arg(long, value_name = "ADDRESS")]
    pub ip: Option<String>,
    /// The pools' blocks, too.
    #[arg(long)]
    pub show_blocks: bool,
    /// Addresses that nodes have of other nodes' blocks.
    #[arg(long)]
    pub show_borrowed: bool,
    /// The settings.
    #[arg(long)]
    pub show_configuration: bool,
}

/// `ipam check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// List all addresses.
    #[arg(long)]
    pub show_all_ips: bool,
    /// List the addresses that something is wrong with.
    #[arg(long)]
    pub show_problem_ips: bool,
    /// Write a report, for `ipam release --from-report`.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Kubeconfig of the cluster, for services of the type LoadBalancer, where the objects are in etcd.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Say what could be repaired, and how: what is provably dead, and nothing else. Nothing is written without --yes.
    #[arg(long)]
    pub fix: bool,
    /// With --fix: repair it.
    #[arg(long, requires = "fix")]
    pub yes: bool,
    /// Exit with 3 where there are problems.
    #[arg(long)]
    pub exit_code: bool,
}

/// `ipam release`.
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// The address.
    #[arg(long, value_name = "ADDRESS")]
    pub ip: Option<String>,
    /// A report of `ipam check`. With several, only what all of them list is released.
    #[arg(long, value_name = "FILE")]
    pub from_report: Vec<PathBuf>,
    /// Also with an unlocked datastore, or a report of another release.
    #[arg(long)]
    pub force: bool,
}

/// `ipam configure`.
#[derive(Debug, Args)]
pub struct ConfigureArgs {
    /// Whether nodes take addresses of their own blocks only: true or false.
    #[arg(long, value_name = "BOOLEAN")]
    pub strictaffinity: Option<String>,
    /// How many blocks a node may have; 0 is the default of 20. Needs strict affinity.
    #[arg(long, value_name = "NUMBER")]
    pub max_blocks_per_host: Option<String>,
    /// Whether virtual machines keep their addresses: Enabled or Disabled.
    #[arg(long, value_name = "STATE")]
    pub kubevirt_ip_persistence: Option<String>,
    /// Seconds that a released address rests, 0 to 1200.
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    pub ip_cooldown_seconds: Option<String>,
}

/// `ipam split`.
#[derive(Debug, Args)]
pub struct SplitArgs {
    /// How many pools to make of it: a power of two.
    pub number: String,
    /// The pool's name.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The pool's CIDR, instead of its name.
    #[arg(long, value_name = "CIDR")]
    pub cidr: Option<String>,
}

/// `ipam explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The node that the allocation is for; for a pod, its own.
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,
    /// The pod, as NAME or NAMESPACE/NAME: its node, and what its annotations and its namespace's ask for.
    #[arg(long, value_name = "POD")]
    pub pod: Option<String>,
    /// The pool to take the address from, by name or CIDR. May be repeated.
    #[arg(long, value_name = "POOL")]
    pub pool: Vec<String>,
    /// Namespace of the allocation, for pools that choose namespaces.
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Only this family: 4 or 6.
    #[arg(long, value_name = "FAMILY", value_parser = clap::value_parser!(u8).range(4..=6))]
    pub family: Option<u8>,
    /// How many addresses of each family.
    #[arg(long, value_name = "NUMBER", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub count: u16,
}
