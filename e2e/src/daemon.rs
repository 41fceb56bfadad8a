//! A server process on a host.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::executables::tool;
use crate::host::Host;

/// How long a server may take until it is ready; on a busy machine that is long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

impl Host {
    /// Starts a server on this host. What it prints goes to a file beside the store.
    pub fn daemon(&self, program: &Path, arguments: &[&str]) -> Daemon {
        let name = program.file_name().expect("a program has a name").to_string_lossy();
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Daemon::start(self, self.folder().join(format!("{name}.log")), program, &arguments)
    }
}

/// A running server. It is killed when the value is dropped, or when this process is gone for any reason.
///
/// It runs in a PID namespace under a shell that reads a pipe from this process. When the pipe closes the shell ends,
/// and with it everything in the namespace, also what has left its parents, whatever state it is in; the shell's end is
/// seen after theirs. What is mounted inside goes with them.
pub struct Daemon {
    watcher: Child,
    pipe: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    log: PathBuf,
    /// Where this run's part of the log begins.
    begin: usize,
}

impl Daemon {
    /// Starts a program on a host. What it prints is appended to the file `log`.
    pub(crate) fn start(host: &Host, log: PathBuf, program: &Path, arguments: &[String]) -> Daemon {
        let begin = std::fs::metadata(&log).map_or(0, |data| usize::try_from(data.len()).unwrap_or(usize::MAX));
        let mut enter: Command = host.enter(None);
        enter.arg(tool("unshare")).args(["--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
        enter.arg(tool("sh")).args(["-c", include_str!("daemon.sh"), "daemon"]).arg(&log).arg(program).args(arguments);
        enter.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(host.lifeline());
        let mut watcher = enter.spawn().expect("nsenter can be started");
        let answers = BufReader::new(watcher.stdout.take().expect("stdout is a pipe"));
        let pipe = watcher.stdin.take();
        Daemon { watcher, pipe, answers, log, begin }
    }

    /// Sends the server a signal, which it has got when this returns.
    pub(crate) fn signal(&mut self, signal: Signal) {
        let sent = self.send(signal.as_str().trim_start_matches("SIG"));
        assert!(sent, "the server ended before {signal}:\n{}", self.log());
    }

    /// Sends a signal and says whether there was still a process to get it.
    fn send(&mut self, name: &str) -> bool {
        let pipe = self.pipe.as_mut().expect("the pipe is open until the end");
        writeln!(pipe, "{name}").unwrap_or_else(|e| panic!("the server's shell is gone: {e}"));
        let mut answer = String::new();
        let _ = self.answers.read_line(&mut answer);
        answer == "sent\n"
    }

    /// A command that will run a program of ours beside the server, which sees and is seen as a process, with an empty
    /// environment. It ends with the server.
    pub(crate) fn program(&self, path: &Path) -> Command {
        let pid = self.watcher.id();
        let mut command = Command::new(tool("nsenter"));
        command.env_clear().arg(format!("--target={pid}")).args(["--mount", "--net"]);
        // The watcher itself is outside; what it starts is inside.
        command.arg(format!("--pid=/proc/{pid}/ns/pid_for_children")).arg("--").arg(path);
        command
    }

    /// What the server has printed since this start.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(bytes.get(self.begin..).unwrap_or_default()).into_owned()
    }

    /// Ends the server at once.
    pub(crate) fn end(&mut self) {
        drop(self.pipe.take());
        let _ = self.watcher.wait();
    }

    /// Panics with what the server has printed if it has ended.
    pub(crate) fn assert_running(&mut self) {
        // Signal 0 is none: it tells whether the process is there.
        assert!(self.send("0"), "the server ended:\n{}", self.log());
    }

    /// Waits until the server has printed `text`.
    pub fn wait_for(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            self.assert_running();
            assert!(Instant::now() < deadline, "the server did not start:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}
