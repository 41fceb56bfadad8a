//! The benchmark: what ADD and DEL of one container cost, for the plugins of one or several folders, side by side.
//!
//! The table is printed on stdout, and nothing else; what is being done, on stderr. Nothing is judged, but a call that
//! fails ends the benchmark. `settings.rs` says what can be chosen.

mod crowd;
mod kubelet;
mod machine;
mod measure;
mod server;
mod settings;
mod stage;
mod table;
mod tool;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use settings::{Datastore, Folder, Settings};

fn main() -> ExitCode {
    match run() {
        Ok(report) => {
            // A reader that went away, as with `| head`, is no failure.
            let _ = std::io::stdout().write_all(report.as_bytes());
            ExitCode::SUCCESS
        }
        Err(reason) => {
            progress(&reason);
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<String, String> {
    let settings = Settings::from_environment()?;
    if !nix::unistd::Uid::effective().is_root() {
        return Err("run as root: the benchmark creates network namespaces".to_owned());
    }
    let mut report = machine::describe(&settings)?;
    for &datastore in &settings.datastores {
        let measured = measure::measure(datastore, &settings)?;
        report.push_str(&table::of(datastore, &measured));
        if datastore == Datastore::Etcd {
            let able: Vec<&Folder> = measured.iter().filter(|m| m.verbs.is_ok()).map(|m| m.folder).collect();
            report.push_str(&table::of_crowds(&crowd::measure(&settings, &able)?));
        }
    }
    if settings.kubelet {
        report.push_str(&table::of_kubelet(&kubelet::measure(&settings)?));
    }
    if settings.tool {
        report.push_str(&table::of_tool(&tool::measure(&settings)?));
    }
    Ok(report)
}

/// What a person who waits wants to know.
fn progress(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", text.trim_end());
}

/// Another of this crate's executables.
fn sibling(name: &str) -> PathBuf {
    std::env::current_exe().expect("a running program has a path").with_file_name(name)
}
