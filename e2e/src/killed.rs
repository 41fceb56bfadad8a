//! A test that has itself killed, to see what it leaves.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::report::note;

/// Set for the process that will be killed.
const VARIABLE: &str = "E2E_KILLED";

/// Another process that runs the same test, and has said what it made.
pub struct Doomed {
    child: Child,
    /// What it said.
    pub said: String,
}

impl Doomed {
    /// Starts the test of this name again. In that other process this calls `make`, which at last calls what it is
    /// given: that says a line and never ends.
    pub fn start(test: &str, make: impl FnOnce(fn(&str) -> !)) -> Doomed {
        if std::env::var_os(VARIABLE).is_some() {
            make(stay);
        }
        let mut child = Command::new(std::env::current_exe().expect("a running program has a path"))
            .args(["--exact", test, "--nocapture"])
            .env(VARIABLE, "")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a test can be started");
        let mut said = String::new();
        let read = BufReader::new(child.stderr.take().expect("stderr is a pipe")).read_line(&mut said);
        read.unwrap_or_else(|error| panic!("{test}: {error}"));
        Doomed { child, said: said.trim().to_owned() }
    }

    /// Ends it with `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn stay(said: &str) -> ! {
    note(said);
    loop {
        std::thread::park();
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        self.kill();
    }
}

/// All processes of which a namespace or the cgroup has this in its name.
pub fn processes_of(pids: &str, cgroup: &str) -> Vec<u32> {
    let ids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let is_one = |process: &u32| {
        let namespace = std::fs::read_link(format!("/proc/{process}/ns/pid"));
        let groups = std::fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap_or_default();
        namespace.is_ok_and(|link| link == Path::new(pids)) || groups.contains(cgroup)
    };
    ids.filter(is_one).collect()
}

/// The cgroups of that name, in all hierarchies; a line each.
pub fn cgroups_of(cgroup: &str) -> Vec<u8> {
    Command::new("find").args(["/sys/fs/cgroup", "-type", "d", "-name", cgroup]).output().unwrap().stdout
}
