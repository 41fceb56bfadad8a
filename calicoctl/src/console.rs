//! What a person sees: data on stdout, everything else on stderr.

use std::cell::Cell;
use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::error::Error;

/// Work that lasts longer says how far it has come.
const PATIENCE: Duration = Duration::from_secs(1);

/// How a text is shown on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each style is named after its meaning")]
pub enum Style {
    Heading,
    Good,
    Bad,
}

impl Style {
    /// The terminal's control sequence (ECMA-48, SGR) that begins the style.
    fn begin(self) -> &'static str {
        match self {
            Style::Heading => "\x1b[1m",
            Style::Good => "\x1b[32m",
            Style::Bad => "\x1b[31m",
        }
    }
}

/// Where a command prints.
#[derive(Debug, Default)]
pub struct Console {
    colours_out: bool,
    colours_err: bool,
    shows_progress: bool,
    started: Cell<Option<Instant>>,
    /// Whether the last line on stderr is one of progress, to be written over.
    is_open: Cell<bool>,
}

impl Console {
    /// The process's own streams. There are colours on a terminal only, and not where `NO_COLOR` is set or the terminal is `dumb`.
    pub fn of_process() -> Console {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let err = std::io::stderr().is_terminal();
        Console {
            colours_out: wanted && std::io::stdout().is_terminal(),
            colours_err: wanted && err,
            shows_progress: err,
            ..Console::default()
        }
    }

    /// A text in a style, where stdout is a terminal.
    pub fn styled(&self, style: Style, text: &str) -> String {
        if self.colours_out { format!("{}{text}\x1b[0m", style.begin()) } else { text.to_owned() }
    }

    /// Prints data as it is.
    ///
    /// # Errors
    /// It cannot be written. A reader that has gone away is none: the process ends, as if a pipe's signal had ended it.
    pub fn data(&self, text: &str) -> Result<(), Error> {
        self.clear();
        let mut out = std::io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(141),
            Err(error) => Err(Error::new(format_args!("cannot write to stdout: {error}"))),
        }
    }

    /// Prints a table, whose first line is its heading.
    pub fn table(&self, text: &str) -> Result<(), Error> {
        match text.split_once('\n') {
            Some((heading, rows)) => self.data(&format!("{}\n{rows}", self.styled(Style::Heading, heading))),
            None => self.data(text),
        }
    }

    /// Prints a line of data.
    pub fn line(&self, text: impl Display) -> Result<(), Error> {
        self.data(&format!("{text}\n"))
    }

    /// Says something that is no data, on stderr.
    pub fn note(&self, text: impl Display) {
        self.clear();
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// Warns, on stderr.
    pub fn warn(&self, text: impl Display) {
        let word = if self.colours_err { "\x1b[33mwarning:\x1b[0m" } else { "warning:" };
        self.note(format_args!("{word} {text}"));
    }

    /// Prints why the command failed.
    pub fn fail(&self, error: &Error) {
        self.note(&error.text);
        error.details.iter().for_each(|line| self.note(format_args!("  {line}")));
    }

    /// Says on a terminal, once work has lasted a second, what is being done and how far it has come.
    pub fn progress(&self, doing: &str, done: usize, all: usize) {
        if !self.shows_progress {
            return;
        }
        let started = self.started.get().unwrap_or_else(Instant::now);
        self.started.set(Some(started));
        if started.elapsed() >= PATIENCE {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K{doing}: {done} of {all}");
            self.is_open.set(true);
        }
    }

    /// Waits for work, and says on a terminal, once it has lasted a second, what is being done.
    pub async fn waiting<T>(&self, doing: &str, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        if let Ok(done) = tokio::time::timeout(PATIENCE, &mut work).await {
            return done;
        }
        if self.shows_progress {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K{doing}");
            self.is_open.set(true);
        }
        let done = work.await;
        self.clear();
        done
    }

    /// Ends what [`Console::progress`] and [`Console::waiting`] show.
    pub fn clear(&self) {
        if self.is_open.replace(false) {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}
