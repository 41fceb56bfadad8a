//! Runs programs and measures each of them. Every line of stdin is a JSON list of `e2e::Run`: they are started
//! together, and answered on stdout by a line with a JSON list of `e2e::Ran`.
//!
//! When stdin closes it ends at once. It is the first process of a PID namespace, so that all it started ends, too.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::process::{Child, Command};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use e2e::{Ran, Run};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use wait4::{ResUse, Wait4};

fn main() -> io::Result<()> {
    let (sender, requests) = mpsc::channel();
    // A thread of its own sees the end of stdin also while programs run.
    std::thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
        std::process::exit(0);
    });
    for request in requests {
        let runs: Vec<Run> = serde_json::from_str(&request)?;
        let answer = serde_json::to_string(&together(&runs)?)?;
        writeln!(io::stdout(), "{answer}")?;
    }
    Ok(())
}

fn together(runs: &[Run]) -> io::Result<Vec<Ran>> {
    let mut prepared = runs.iter().map(Prepared::new).collect::<io::Result<Vec<Prepared>>>()?;
    let clock = Instant::now();
    let mut running: HashMap<i32, (usize, Child)> = HashMap::new();
    let mut started = Vec::new();
    for (number, run) in prepared.iter_mut().enumerate() {
        started.push(clock.elapsed());
        let child = run.command.spawn()?;
        running.insert(i32::try_from(child.id()).map_err(io::Error::other)?, (number, child));
    }
    let mut ended = HashMap::new();
    while !running.is_empty() {
        // Whichever ends first is left to be waited for a second time, which tells what that one has used.
        let status = waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)?;
        let time = clock.elapsed();
        let Some(pid) = status.pid() else { continue };
        match running.remove(&pid.as_raw()) {
            Some((number, child)) => {
                ended.insert(number, (time, child.wait4()?));
            }
            // What a program leaves behind when it ends becomes a child of the first process.
            None => {
                waitpid(pid, None)?;
            }
        }
    }
    let finish = |(number, run): (usize, Prepared)| {
        let (time, used) = ended[&number];
        run.finish(started[number], time, used)
    };
    prepared.into_iter().enumerate().map(finish).collect()
}

/// A run with files in memory for what it reads and prints: unlike pipes they are never full.
struct Prepared {
    command: Command,
    stdout: File,
    stderr: File,
}

impl Prepared {
    fn new(run: &Run) -> io::Result<Prepared> {
        let (mut stdin, stdout, stderr) = (file()?, file()?, file()?);
        stdin.write_all(run.stdin.as_bytes())?;
        stdin.rewind()?;
        let mut command = Command::new(&run.program);
        command.args(&run.arguments).env_clear().envs(&run.environment);
        command.stdin(stdin).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
        Ok(Prepared { command, stdout, stderr })
    }

    fn finish(self, started: Duration, ended: Duration, used: ResUse) -> io::Result<Ran> {
        let ResUse { status, rusage } = used;
        Ok(Ran {
            started,
            ended,
            processor: rusage.utime + rusage.stime,
            peak: rusage.maxrss,
            exit: status.code(),
            stdout: text(self.stdout)?,
            stderr: text(self.stderr)?,
        })
    }
}

fn file() -> io::Result<File> {
    Ok(memfd_create("run", MFdFlags::MFD_CLOEXEC)?.into())
}

fn text(mut file: File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
