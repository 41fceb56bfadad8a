//! `ipam check`: whether everything stored about addresses agrees.
//!
//! It prints what the established implementation prints, in its words, and then what the audit finds beyond that. Nothing is changed
//! without `--fix --yes`, and then only what is provably dead (see `calico_ipam::repair`).

mod beyond;
mod fix;
mod listing;
pub mod picture;
mod services;
mod validity;

use std::time::SystemTime;

use calico_ipam::audit::{Finding, Snapshot};

use super::report::Report;
use crate::cli::CheckArgs;
use crate::console::{Console, Style};
use crate::error::Error;
use crate::session::Session;
use listing::Show;
use picture::Picture;

/// What a check has come to. With `--exit-code`, problems make the exit code 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckOutcome {
    /// There is no problem, or, after a repair, none any more.
    Sound,
    /// There are so many problems.
    Problems(usize),
}

impl CheckOutcome {
    fn of(problems: usize) -> CheckOutcome {
        if problems == 0 { CheckOutcome::Sound } else { CheckOutcome::Problems(problems) }
    }
}

/// Checks, writes the report if one is asked for, and repairs if that is asked for.
///
/// # Errors
/// The datastore cannot be read, or the report not written.
pub async fn run(session: &Session, console: &Console, arguments: &CheckArgs) -> Result<CheckOutcome, Error> {
    let now = SystemTime::now();
    let snapshot = Snapshot::read(&session.store()).await?;
    let findings = snapshot.findings(now);
    let picture = Picture::new(&snapshot, services::read(session, arguments).await);
    let show = Show { all: arguments.show_all_ips, problems: arguments.show_problem_ips || arguments.show_all_ips };
    let checked = listing::check(&picture, &findings, now, show);
    let style = if checked.problems == 0 { Style::Good } else { Style::Bad };
    // Its last line is the verdict.
    let (lines, verdict) = checked.text.trim_end().rsplit_once('\n').unwrap_or(("", &checked.text));
    console.data(&format!("{lines}\n{}\n", console.styled(style, verdict)))?;
    if findings.contains(&Finding::NotReady { stated: Some(false) }) {
        console.note("The datastore is locked: plugins wait until it is unlocked.");
    }
    if let Some(path) = &arguments.output {
        report(&picture, &checked.leaked_handles).write(path)?;
    }
    if !arguments.fix {
        return Ok(CheckOutcome::of(checked.problems));
    }
    let plan = calico_ipam::repair::plan(&snapshot, &findings, now);
    console.data(&fix::announcement(&plan, arguments.yes))?;
    if !arguments.yes {
        return Ok(CheckOutcome::of(checked.problems));
    }
    fix::carry_out(session, console, &plan, now).await?;
    let after = Snapshot::read(&session.store()).await?;
    let picture = Picture::new(&after, services::read(session, arguments).await);
    let left = listing::check(&picture, &after.findings(now), now, Show::default()).problems;
    console.line(format_args!("There were {} problems, and are {left} now.", checked.problems))?;
    Ok(CheckOutcome::of(left))
}

/// What the report says.
fn report(picture: &Picture<'_>, leaked_handles: &[String]) -> Report {
    let mut report = Report::about(picture.snapshot);
    for allocation in &picture.allocations {
        let of_address = report.allocations.entry(allocation.address.to_string()).or_default();
        of_address.push(picture.reported(allocation));
    }
    let stored = leaked_handles.iter().filter_map(|id| picture.snapshot.handles.get_key_value(id));
    report.leaked_handles = stored
        .map(|(id, stored)| super::report::LeakedHandle {
            id: id.clone(),
            uid: None,
            revision: stored.revision.0.to_string(),
        })
        .collect();
    report
}

#[cfg(test)]
pub mod tests;
