//! The command line, on which there is next to nothing: the environment configures.

use std::ffi::OsString;

/// What `--help` prints.
const HELP: &str = "\
Puts Calico's CNI plugins, their kubeconfig and their configuration on this node, and keeps them there.

Usage: calico-install [--help | --version]

Environment variables configure it: docs/installer.md has them all.

Exit codes:
  0  everything is installed (SLEEP=false), or a signal ended one that stays
  1  a file could not be installed, or a signal came first (SLEEP=false)
  2  the configuration is wrong, or no service account is mounted
  3  the API refuses, and waiting would not help (SLEEP=false)
";

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// To install.
    Install,
    /// A text for stdout.
    Print(String),
    /// Nothing that is known. In words.
    Unknown(String),
}

/// Reads the arguments. Those by which manifests call the established implementation's installer mean to install.
pub fn read(arguments: impl Iterator<Item = OsString>) -> Asked {
    let arguments: Vec<String> = arguments.map(|argument| argument.to_string_lossy().into_owned()).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [] | ["install"] | ["component", "cni", "install"] => Asked::Install,
        ["--help" | "-h"] => Asked::Print(HELP.to_owned()),
        ["--version" | "-v"] => Asked::Print(concat!("calico-install ", env!("CARGO_PKG_VERSION"), "\n").to_owned()),
        other => Asked::Unknown(format!("unknown arguments: {}; see calico-install --help", other.join(" "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_of_the_established_implementation_may_keep_their_arguments() {
        let read = |line: &str| read(line.split_whitespace().map(OsString::from));
        for line in ["", "install", "component cni install"] {
            assert_eq!(read(line), Asked::Install, "{line}");
        }
        assert!(matches!(read("--help"), Asked::Print(text) if text.contains("Exit codes")));
        assert!(matches!(read("-v"), Asked::Print(text) if text == "calico-install 0.1.0\n"));
        for line in ["component", "--instal", "install now"] {
            assert!(matches!(read(line), Asked::Unknown(text) if text.contains(line)), "{line}");
        }
    }
}
