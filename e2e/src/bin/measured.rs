//! Runs a program and writes what it cost to a file: `measured REPORT PROGRAM [ARGUMENT...]`.
//!
//! The report has the nanoseconds from start to end and the peak resident size in bytes. A process of its own does
//! this because the kernel keeps one peak for all children of a process. Stdin, stdout, stderr and the exit status
//! are the program's.

use std::process::{Command, ExitCode};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(report), Some(program)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: measured REPORT PROGRAM [ARGUMENT...]");
        return ExitCode::from(2);
    };
    let mut command = Command::new(program);
    command.args(arguments);
    let started = Instant::now();
    let status = command.status().expect("the program can be started");
    let wall = started.elapsed().as_nanos();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the kernel counts what children use");
    // The kernel counts in kibibytes.
    let peak = usage.max_rss() * 1024;
    std::fs::write(report, format!("{wall} {peak}\n")).expect("the report can be written");
    status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}
