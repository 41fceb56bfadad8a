//! The course of a measurement. Folders take turns, so that a change of the machine's mood meets all of them.

use std::time::Duration;

use e2e::Ran;

use crate::progress;
use crate::settings::{AT_ONCE, Datastore, Folder, Settings};
use crate::stage::{Failure, Stage};

/// The calls of a container's life, in their order.
pub const VERBS: [&str; 2] = ["ADD", "DEL"];
/// How often a folder's container is connected and disconnected before it is another folder's turn.
const TURN: usize = 10;

/// What was measured of one folder.
pub struct Measured<'s> {
    pub folder: &'s Folder,
    /// The figures of each of [`VERBS`], or why there are none.
    pub verbs: Result<[Figures; 2], String>,
}

/// What was measured of one verb.
#[derive(Default)]
pub struct Figures {
    /// Calls one at a time.
    pub single: Vec<Ran>,
    /// Rounds of [`AT_ONCE`] calls.
    pub rounds: Vec<Vec<Ran>>,
    /// How many requests one call makes, where they can be counted.
    pub requests: Option<usize>,
}

/// Measures all folders on one datastore.
pub fn measure(datastore: Datastore, settings: &Settings) -> Result<Vec<Measured<'_>>, String> {
    let name = datastore.name();
    progress(&format!("{name}: starting"));
    let mut stage = Stage::start(datastore, settings)?;
    let mut measured = Vec::new();
    for folder in &settings.folders {
        measured.push(Measured { folder, verbs: try_out(&mut stage, folder)? });
    }

    progress(&format!("{name}: one at a time"));
    for begin in (0..settings.count).step_by(TURN) {
        let times = TURN.min(settings.count - begin);
        turns(&mut measured, times, |folder, verb, figures| {
            figures.single.extend(stage.call(folder, verb, 1)?);
            Ok(())
        })?;
    }
    progress(&format!("{name}: {AT_ONCE} at once"));
    for _ in 0..settings.rounds() {
        turns(&mut measured, 1, |folder, verb, figures| {
            figures.rounds.push(stage.call(folder, verb, AT_ONCE)?);
            Ok(())
        })?;
    }
    // At the end and by themselves: a proxy that counts takes time.
    turns(&mut measured, 1, |folder, verb, figures| {
        figures.requests = stage.requests(folder, verb)?;
        Ok(())
    })?;
    for left in stage.leftovers() {
        progress(&format!("{name}: left behind: {left}"));
    }
    Ok(measured)
}

/// Calls that are not measured: they create what later calls find, a block of this host. The inner error says that the
/// plugin does not know this datastore.
fn try_out(stage: &mut Stage, folder: &Folder) -> Result<Result<[Figures; 2], String>, String> {
    for verb in VERBS {
        match stage.call(folder, verb, 1) {
            Ok(_) => {}
            Err(failure) => return failure.unknown_datastore().map(Err).ok_or(failure.text),
        }
    }
    Ok(Ok(Default::default()))
}

/// Every folder's turn once: all verbs, some times.
fn turns(
    measured: &mut [Measured<'_>],
    times: usize,
    mut call: impl FnMut(&Folder, &str, &mut Figures) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for Measured { folder, verbs } in measured {
        let Ok(verbs) = verbs else { continue };
        for _ in 0..times {
            for (verb, figures) in VERBS.into_iter().zip(verbs.iter_mut()) {
                call(folder, verb, figures)?;
            }
        }
    }
    Ok(())
}

/// The times from the first start to the last end.
pub fn spans(rounds: &[Vec<Ran>]) -> impl Iterator<Item = Duration> {
    rounds.iter().filter_map(|round| round.iter().map(|ran| ran.ended).max())
}
