//! What is made of the command line's definition: completions, the manual page, docs/calicoctl.md.

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command, CommandFactory};

use crate::cli::{Cli, Shell};
use crate::error::Error;
use crate::kind::Kind;

/// What the documentation says before the commands.
const PREFACE: &str = include_str!("documents/preface.md");

/// A script for a shell.
pub fn completion(shell: Shell, name: &str) -> Vec<u8> {
    let mut command = Cli::command();
    for verb in ["get", "delete", "patch", "label"] {
        let kinds = Kind::ALL.map(|kind| kind.about().aliases[0]);
        command = command.mut_subcommand(verb, |command| {
            command.mut_args(|argument| match argument.get_id() == "kind" {
                true => argument.value_parser(PossibleValuesParser::new(kinds)),
                false => argument,
            })
        });
    }
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    if shell == clap_complete::Shell::Fish {
        // The generator leaves out what positional arguments may be.
        let kinds = Kind::ALL.map(|kind| kind.about().aliases[0]).join(" ");
        let condition = "__fish_seen_subcommand_from get delete patch label";
        script.extend(format!("complete -c {name} -n \"{condition}\" -f -a \"{kinds}\"\n").bytes());
    }
    script
}

/// The manual page, in the language of `man`: one page for all commands.
pub fn manual() -> Result<Vec<u8>, Error> {
    let mut page = Vec::new();
    let mut command = Cli::command();
    command.build();
    let written = clap_mangen::Man::new(command.clone()).render(&mut page).and_then(|()| {
        let mut all = Vec::new();
        leaves(&command, "calicoctl", &mut all);
        all.iter().try_for_each(|(path, command)| section(path, command, &mut page))
    });
    written.map_err(|error| Error::new(format_args!("cannot make the manual page: {error}")))?;
    Ok(page)
}

/// A command's own part of the page.
fn section(path: &str, command: &Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    let man = clap_mangen::Man::new(command.clone());
    let mut part = Vec::new();
    man.render_synopsis_section(&mut part)?;
    man.render_description_section(&mut part)?;
    man.render_options_section(&mut part)?;
    page.extend(format!(".SH \"{}\"\n", path.to_uppercase()).bytes());
    page.extend(String::from_utf8_lossy(&part).replace(".SH ", ".SS ").bytes());
    Ok(())
}

/// The commands that do something, with the words that lead to each.
fn leaves<'a>(command: &'a Command, path: &str, all: &mut Vec<(String, &'a Command)>) {
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help" && !sub.is_hide_set()) {
        let path = format!("{path} {}", sub.get_name());
        match sub.has_subcommands() {
            true => leaves(sub, &path, all),
            false => all.push((path, sub)),
        }
    }
}

/// docs/calicoctl.md.
pub fn markdown() -> String {
    let mut command = Cli::command();
    command.build();
    let mut text = PREFACE.to_owned();
    text += "\n## Options of all commands\n\n";
    let global: Vec<&Arg> = command.get_arguments().filter(|argument| argument.is_global_set()).collect();
    text += &arguments(&global);
    text += "\n## Kinds\n\n| Kind | Names on the command line | Table | Wide table |\n|---|---|---|---|\n";
    for kind in Kind::ALL {
        let about = kind.about();
        let wide = if about.wide == about.columns { "the same".to_owned() } else { about.wide.join(" ") };
        text += &format!("| {} | {} | {} | {wide} |\n", about.name, about.aliases.join(", "), about.columns.join(" "));
    }
    text += "\n## Commands\n";
    let mut all = Vec::new();
    leaves(&command, "calicoctl", &mut all);
    for (path, command) in all {
        let about =
            command.get_long_about().or_else(|| command.get_about()).map(ToString::to_string).unwrap_or_default();
        let usage = command.clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ");
        text += &format!("\n### {path}\n\n{}\n\n    {usage}\n", ended(&about));
        let own: Vec<&Arg> = command
            .get_arguments()
            .filter(|argument| !argument.is_global_set() && argument.get_id() != "help" && !argument.is_hide_set())
            .collect();
        if !own.is_empty() {
            text += &format!("\n{}", arguments(&own));
        }
    }
    text
}

fn ended(text: &str) -> String {
    if text.is_empty() || text.ends_with('.') { text.to_owned() } else { format!("{text}.") }
}

/// A table of arguments.
fn arguments(arguments: &[&Arg]) -> String {
    let mut text = "| Argument | Meaning |\n|---|---|\n".to_owned();
    for argument in arguments {
        let value =
            argument.get_value_names().map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        let value = value.filter(|_| argument.get_action().takes_values());
        let mut names: Vec<String> = argument.get_short().map(|short| format!("-{short}")).into_iter().collect();
        names.extend(argument.get_long().map(|long| format!("--{long}")));
        let name = match (names.is_empty(), value) {
            (true, value) => value.unwrap_or_else(|| argument.get_id().to_string().to_uppercase()),
            (false, Some(value)) => format!("{} {value}", names.join(", ")),
            (false, None) => names.join(", "),
        };
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default().replace('|', "\\|");
        let default: Vec<String> =
            argument.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
        let default =
            match default.is_empty() || argument.is_hide_default_value_set() || !argument.get_action().takes_values() {
                true => String::new(),
                false => format!(" Default: `{}`.", default.join(" ")),
            };
        text += &format!("| `{name}` | {}{default} |\n", ended(&help));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_that_of_the_commands() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/calicoctl.md");
        let stored = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(stored, markdown(), "docs/calicoctl.md is out of date: make docs");
    }

    #[test]
    fn completions_know_commands_and_kinds() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(completion(shell, "calicoctl")).unwrap();
            for word in ["show-blocks", "ippools", "workloadendpoints", "checksystem"] {
                assert!(script.contains(word), "{shell:?} lacks {word}");
            }
        }
    }

    #[test]
    fn the_manual_has_every_command() {
        let page = String::from_utf8(manual().unwrap()).unwrap();
        for heading in [".SH NAME", ".SH \"CALICOCTL GET\"", ".SH \"CALICOCTL IPAM CHECK\"", "exit\\-code"] {
            assert!(page.contains(heading), "no {heading}");
        }
    }
}
