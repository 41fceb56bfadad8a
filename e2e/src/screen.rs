//! What the demos print.

use std::io::{IsTerminal, Write};

/// Where a demo is shown: in colour on a terminal, unless `NO_COLOR` is set.
pub struct Screen {
    out: std::io::Stdout,
    coloured: bool,
    failed: usize,
}

#[allow(clippy::new_without_default, reason = "it is no value like another")]
impl Screen {
    /// Standard output.
    pub fn new() -> Screen {
        let out = std::io::stdout();
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let coloured = out.is_terminal() && !unwanted;
        Screen { out, coloured, failed: 0 }
    }

    /// How many checks have failed.
    pub fn failed(&self) -> usize {
        self.failed
    }

    fn line(&mut self, colour: &str, text: &str) {
        // A reader that went away, as with `| head`, is no failure.
        let _ = if self.coloured && !colour.is_empty() {
            writeln!(self.out, "\x1b[{colour}m{text}\x1b[0m")
        } else {
            writeln!(self.out, "{text}")
        };
    }

    /// An empty line.
    pub fn blank(&mut self) {
        self.line("", "");
    }

    /// What comes next.
    pub fn title(&mut self, text: &str) {
        self.blank();
        self.line("1;36", &format!("== {text}"));
    }

    /// A line.
    pub fn text(&mut self, text: &str) {
        self.line("", text);
    }

    /// A line of less weight.
    pub fn dim(&mut self, text: &str) {
        self.line("2", text);
    }

    /// A key of the store.
    pub fn path(&mut self, path: &str) {
        self.line("33", &format!("  {path}"));
    }

    /// A command that a person could type.
    pub fn command(&mut self, text: &str) {
        self.line("1", &format!("# {text}"));
    }

    /// Whether something holds that should.
    pub fn check(&mut self, holds: bool, what: &str) {
        if holds {
            self.line("32", &format!("  ok  {what}"));
        } else {
            self.failed += 1;
            self.line("31", &format!("  FAILED  {what}"));
        }
    }

    /// How it all ended.
    pub fn verdict(&mut self, text: &str, good: bool) {
        self.line(if good { "1;32" } else { "1;31" }, text);
    }
}
