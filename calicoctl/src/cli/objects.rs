//! What the commands for objects take.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Manifests, and the namespace they are for.
#[derive(Debug, Args)]
pub struct Files {
    /// File, folder, or - for stdin: YAML or JSON, also with several documents. May be repeated.
    #[arg(short, long = "filename", value_name = "FILE")]
    pub filename: Vec<PathBuf>,
    /// Folders with all below them.
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// Files without objects are no failure.
    #[arg(long)]
    pub skip_empty: bool,
    /// Namespace of objects that name none.
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Store fields that this release does not know, instead of refusing them as mistyped.
    #[arg(long)]
    pub keep_unknown_fields: bool,
}

/// `create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// The manifests.
    #[command(flatten)]
    pub files: Files,
    /// Objects that exist are no failure, and stay as they are.
    #[arg(long)]
    pub skip_exists: bool,
}

/// `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The manifests.
    #[command(flatten)]
    pub files: Files,
}

/// `replace`.
#[derive(Debug, Args)]
pub struct ReplaceArgs {
    /// The manifests.
    #[command(flatten)]
    pub files: Files,
}

/// `delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Kind of the objects, such as ippool.
    pub kind: Option<String>,
    /// Names of the objects.
    pub names: Vec<String>,
    /// The manifests, instead of kind and names.
    #[command(flatten)]
    pub files: Files,
    /// Objects that do not exist are no failure.
    #[arg(short, long)]
    pub skip_not_exists: bool,
}

/// `get`.
#[derive(Debug, Args)]
pub struct GetArgs {
    /// Kind of the objects, such as ippools.
    pub kind: Option<String>,
    /// Names of the objects; all without.
    pub names: Vec<String>,
    /// The manifests whose objects to show, instead of kind and names.
    #[command(flatten)]
    pub files: Files,
    /// Form: ps (a table), wide, yaml, json, name, or custom-columns=A,B with headings of a wide table.
    #[arg(short, long, value_name = "FORM", default_value = "ps", hide_default_value = true)]
    pub output: String,
    /// Objects of all namespaces.
    #[arg(short = 'A', long, short_alias = 'a')]
    pub all_namespaces: bool,
    /// Without what belongs to this cluster: UIDs, versions, times. Namespaces stay.
    #[arg(long)]
    pub export: bool,
    /// Only objects whose labels match, such as 'rack == "r1"' or rack=r1,zone!=z.
    #[arg(long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Show the objects, and then what changes, until interrupted.
    #[arg(short, long)]
    pub watch: bool,
}

/// `patch`.
#[derive(Debug, Args)]
pub struct PatchArgs {
    /// Kind of the object.
    pub kind: String,
    /// Name of the object.
    pub name: String,
    /// Fields to change, as JSON or YAML: fields of objects are merged, null removes a field, lists are replaced.
    #[arg(short, long, value_name = "PATCH")]
    pub patch: String,
    /// How to read the patch. strategic and merge are the same here; json is a list of operations (RFC 6902).
    #[arg(short = 't', long = "type", value_name = "TYPE", default_value = "strategic")]
    pub patch_type: PatchType,
    /// Namespace of the object.
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
}

/// How to read a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "each is named after its type")]
pub enum PatchType {
    Strategic,
    Merge,
    Json,
}

/// `label`.
#[derive(Debug, Args)]
pub struct LabelArgs {
    /// Kind of the object.
    pub kind: String,
    /// Name of the object.
    pub name: String,
    /// The label, as key=value; with --remove, its key.
    #[arg(required = true)]
    pub labels: Vec<String>,
    /// Replace a value that is there.
    #[arg(long)]
    pub overwrite: bool,
    /// Remove the label.
    #[arg(long)]
    pub remove: bool,
    /// Namespace of the object.
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
}
