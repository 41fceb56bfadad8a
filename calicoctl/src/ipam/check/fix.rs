//! Repairs: what could be done, and doing it.

use std::time::SystemTime;

use calico_ipam::repair::{self, End, Plan, TOGETHER, Written};

use crate::console::Console;
use crate::error::Error;
use crate::session::Session;

/// What is planned, and what is left to people.
pub fn announcement(plan: &Plan, is_confirmed: bool) -> String {
    let mut lines = vec![String::new()];
    if !plan.left.is_empty() {
        lines.push("Not to be repaired without knowing more:".to_owned());
        for left in &plan.left {
            lines.push(format!("  {}", left.finding));
            lines.push(format!("    {}", left.why));
        }
    }
    if !is_confirmed && !plan.repairs.is_empty() {
        lines.push("To be repaired, as it is provably dead:".to_owned());
        lines.extend(plan.repairs.iter().map(|repair| format!("  {}", repair.text)));
    }
    let (repairs, left) = (plan.repairs.len(), plan.left.len());
    lines.push(match (is_confirmed, repairs) {
        (_, 0) => format!("Nothing can be repaired; {left} findings are left."),
        (false, _) => format!("{repairs} repairs are possible; {left} findings are left. Add --yes to repair."),
        (true, _) => format!("Repairing {repairs}; {left} findings are left."),
    });
    lines.into_iter().map(|line| line + "\n").collect()
}

/// Carries a plan out, and says of each repair what became of it.
///
/// # Errors
/// The datastore does not answer, or refuses.
pub async fn carry_out(session: &Session, console: &Console, plan: &Plan, now: SystemTime) -> Result<(), Error> {
    let (mut written, mut done, mut skipped) = (Written::default(), 0, 0);
    for repairs in plan.repairs.chunks(TOGETHER) {
        let ends = repair::carry_out(&session.store(), repairs, &mut written, now).await?;
        for (repair, end) in repairs.iter().zip(ends) {
            match end {
                End::Done => {
                    done += 1;
                    console.line(format_args!("  done: {}", repair.text))?;
                }
                End::Skipped(reason) => {
                    skipped += 1;
                    console.line(format_args!("  skipped: {}: {reason}", repair.text))?;
                }
            }
        }
    }
    console.line(format_args!("Repaired {done}; skipped {skipped}."))
}
