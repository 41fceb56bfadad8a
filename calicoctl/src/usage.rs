//! Reading the command line, and what is said of one that cannot be read.

use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};

use crate::cli::Cli;
use crate::console::Console;
use crate::error::Error;

/// What the arguments ask for; `None` where that was help, which has been printed.
///
/// # Errors
/// There is no such command or option, or a value is missing or wrong.
pub fn parse(arguments: Vec<OsString>, console: &Console) -> Result<Option<Cli>, Error> {
    let called =
        arguments.first().map(|path| Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned());
    let mut command = Cli::command();
    if called.is_some_and(|name| name.starts_with("kubectl-")) {
        command = command.bin_name("kubectl calico");
    }
    match command.try_get_matches_from_mut(arguments).and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) if cli.command.is_some() => Ok(Some(cli)),
        Ok(_) => console.data(&command.render_help().to_string()).map(|()| None),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                console.data(&error.render().to_string()).map(|()| None)
            }
            _ => Err(refused(&error)),
        },
    }
}

/// The established tool's words, where it has any.
fn refused(error: &clap::Error) -> Error {
    let context = |kind: ContextKind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let meant = |kind| match context(kind) {
        Some(meant) => format!("did you mean {meant}?"),
        None => String::new(),
    };
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let argument = context(ContextKind::InvalidArg).unwrap_or_default();
            let words = if argument.starts_with("--") { "unknown flag" } else { "unknown argument" };
            Error::new(format_args!("{words}: {argument}")).with_detail(meant(ContextKind::SuggestedArg))
        }
        ErrorKind::InvalidSubcommand => {
            let command = context(ContextKind::InvalidSubcommand).unwrap_or_default();
            Error::new(format_args!("unknown command {command:?} for \"calicoctl\""))
                .with_detail(meant(ContextKind::SuggestedSubcommand))
        }
        _ => {
            let text = error.render().to_string();
            let mut lines =
                text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("For more"));
            let first = lines.next().unwrap_or_default();
            let error = Error::new(first.strip_prefix("error: ").unwrap_or(first));
            lines.fold(error, Error::with_detail)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuse(line: &str) -> (String, Vec<String>) {
        let arguments = line.split_whitespace().map(OsString::from).collect();
        match parse(arguments, &Console::default()) {
            Err(Error { text, details }) => (text, details),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn mistakes_are_said_in_the_known_words() {
        let (text, _) = refuse("calicoctl foo");
        assert_eq!(text, "unknown command \"foo\" for \"calicoctl\"");
        assert_eq!(refuse("calicoctl get pool --foo").0, "unknown flag: --foo");
        let (text, details) = refuse("calicoctl aply -f x");
        assert_eq!(
            (text.as_str(), details[0].as_str()),
            ("unknown command \"aply\" for \"calicoctl\"", "did you mean apply?")
        );
        assert_eq!(refuse("calicoctl ipam shw").1, ["did you mean show?"]);
        assert_eq!(refuse("calicoctl get pools --exprt").1, ["did you mean --export?"]);
        assert!(refuse("calicoctl --timeout=0 version").0.contains("at least 1"));
        assert!(refuse("calicoctl patch pool").0.contains("required"));
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
