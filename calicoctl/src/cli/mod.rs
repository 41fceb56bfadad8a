//! The command line: every command, and what it takes. docs/calicoctl.md, the man page and the completions are made of this.

mod ipam;
mod node;
mod objects;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use ipam::{CheckArgs, ConfigureArgs, ExplainArgs, IpamCommand, ReleaseArgs, ShowArgs, SplitArgs};
pub use node::{ChecksystemArgs, NodeCommand, TimingsArgs};
pub use objects::{ApplyArgs, CreateArgs, DeleteArgs, Files, GetArgs, LabelArgs, PatchArgs, PatchType, ReplaceArgs};

/// See and change Calico's pools, addresses, endpoints and nodes.
///
/// Where Calico's objects are is read from a configuration file, or else from the environment, or else given by --local; see
/// `calicoctl help` of the options below.
#[derive(Debug, Parser)]
#[command(name = "calicoctl", disable_version_flag = true, infer_long_args = false, max_term_width = 100)]
pub struct Cli {
    /// What all commands take.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What all commands take.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of all commands")]
pub struct Global {
    /// File that says where the objects are (kind CalicoAPIConfig). If it exists, the environment is not looked at.
    #[arg(short, long, global = true, value_name = "FILE", default_value = "/etc/calico/calicoctl.cfg")]
    pub config: PathBuf,
    /// Context of the kubeconfig, instead of its current one.
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// The embedded store of this host, instead of what is configured.
    #[arg(long, global = true, value_name = "FILE", num_args = 0..=1, require_equals = true,
          default_missing_value = calico_datastore::local::DEFAULT_PATH)]
    pub local: Option<PathBuf>,
    /// Work on a cluster of another release than this program.
    #[arg(long, global = true)]
    pub allow_version_mismatch: bool,
    /// Seconds after which a command gives up waiting for the datastore.
    #[arg(long, global = true, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub timeout: Duration,
    /// How much to say about what is being done: panic, fatal, error, warn, info or debug.
    #[arg(short, long, global = true, value_name = "LEVEL", default_value = "panic", hide_default_value = true)]
    pub log_level: String,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u32>() {
        Ok(seconds @ 1..) => Ok(Duration::from_secs(u64::from(seconds))),
        _ => Err("expected a whole number of seconds, at least 1".to_owned()),
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create objects that must not exist yet.
    Create(CreateArgs),
    /// Create objects, or change those that exist.
    Apply(ApplyArgs),
    /// Change objects that must exist.
    Replace(ReplaceArgs),
    /// Delete objects.
    Delete(DeleteArgs),
    /// Show objects.
    Get(GetArgs),
    /// Change some fields of an object.
    Patch(PatchArgs),
    /// Set or remove a label of an object.
    Label(LabelArgs),
    /// Check manifests without storing anything.
    Validate(Files),
    /// Addresses: what is used, what is wrong, and why an address was chosen.
    #[command(subcommand)]
    Ipam(IpamCommand),
    /// This host as a node.
    #[command(subcommand)]
    Node(NodeCommand),
    /// The datastore as a whole.
    #[command(subcommand)]
    Datastore(DatastoreCommand),
    /// The cluster as a whole.
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Print the version of this program and of the cluster.
    Version(VersionArgs),
    /// Print a script that completes commands, for a shell.
    Completion(CompletionArgs),
    /// Print this program's manual page, for `man`.
    Man,
    /// Print docs/calicoctl.md.
    #[command(hide = true)]
    Markdown,
}

/// What to do with the datastore.
#[derive(Debug, Subcommand)]
pub enum DatastoreCommand {
    /// Locking, for work that must not be disturbed.
    #[command(subcommand)]
    Migrate(MigrateCommand),
}

/// Locking.
#[derive(Debug, Subcommand)]
pub enum MigrateCommand {
    /// Lock the datastore: plugins and node agents wait, so that no pod starts or ends. This program is not held up.
    Lock,
    /// Unlock the datastore.
    Unlock,
}

/// What to do with the cluster.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Collect what helps to find out what is wrong, in an archive.
    Diags(DiagsArgs),
}

/// `cluster diags`.
#[derive(Debug, Args)]
pub struct DiagsArgs {
    /// How old log lines may be, such as 30m; 0s is any age.
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    pub since: String,
    /// How many nodes' logs of each kind at the most.
    #[arg(long, value_name = "NUMBER", default_value = "5")]
    pub max_logs: usize,
    /// How many commands at once.
    #[arg(long, value_name = "NUMBER", default_value = "10")]
    pub max_parallelism: usize,
    /// Nodes whose logs come first, separated by commas.
    #[arg(long, value_name = "NODES", value_delimiter = ',')]
    pub focus_nodes: Vec<String>,
    /// Keep the folder that the archive is made of.
    #[arg(long)]
    pub skip_temp_dir_cleanup: bool,
}

/// `version`.
#[derive(Debug, Args)]
pub struct VersionArgs {
    /// Only this program's.
    #[arg(long)]
    pub client: bool,
    /// Ask again and again, with this pause between, such as 5s, and print what changes.
    #[arg(long, value_name = "DURATION")]
    pub poll: Option<String>,
}

/// `completion`.
#[derive(Debug, Args)]
pub struct CompletionArgs {
    /// The shell.
    pub shell: Shell,
}

/// A shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "each is named after the shell")]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}
