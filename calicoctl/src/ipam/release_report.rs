//! `ipam release --from-report`: what reports of `ipam check` list as leaked is released, if it is still what they saw.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::SystemTime;

use calico_datastore::{Datastore, Revision, Stored, Want};
use calico_ipam::audit::Snapshot;
use calico_ipam::repair::{self, End, Written};
use calico_ipam::{Error as IpamError, Ipam, ReleaseRequest};
use calico_model::{Attribute, ClusterInformation, Key, Kind, Owner};

use super::check::picture::allocations;
use super::report::{LeakedHandle, Report, VERSION};
use crate::console::Console;
use crate::error::Error;
use crate::session::Session;

/// How many addresses are released in the time that one command has.
const TOGETHER: usize = 1000;

/// What is to be released.
#[derive(Debug, PartialEq, Eq)]
struct Leaks {
    addresses: Vec<ReleaseRequest>,
    handles: Vec<LeakedHandle>,
}

/// What became of addresses.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    released: usize,
    free: usize,
    /// Another allocation by now, or perhaps in use.
    changed: Vec<IpAddr>,
}

/// Releases what all of the reports list as leaked.
///
/// # Errors
/// A report is not of this cluster, of this program or of the time since the datastore was locked; the datastore is not locked; or
/// something cannot be released.
pub async fn run(session: &Session, console: &Console, files: &[PathBuf], force: bool) -> Result<(), Error> {
    let reports: Vec<Report> = files.iter().map(|file| Report::read(file)).collect::<Result<_, _>>()?;
    let information = Key::resource(Kind::ClusterInformation, "default");
    let stored: Option<Stored<ClusterInformation>> =
        session.store().read(&[Want::Get(information.clone())]).await?.get()?;
    let stored = stored.ok_or_else(|| {
        Error::new(format_args!("resource does not exist: {information} with error: <nil>"))
            .with_detail("the datastore has not been initialised: there is nothing to release")
    })?;
    let named: Vec<(String, &Report)> = files.iter().map(|file| file.display().to_string()).zip(&reports).collect();
    for warning in judge(&named, &stored, force)? {
        console.note(warning);
    }
    let leaks = common_leaks(&reports);
    release_addresses(session, console, leaks.addresses).await?;
    delete_handles(session, console, leaks.handles).await?;
    console.line("You may now unlock the data store.")
}

/// Whether the reports may be acted upon; answers what to warn of.
fn judge(
    reports: &[(String, &Report)],
    stored: &Stored<ClusterInformation>,
    force: bool,
) -> Result<Vec<String>, Error> {
    let mut warnings = Vec::new();
    let spec = &stored.value.spec;
    let guid = spec.extra.get("clusterGUID").and_then(|guid| guid.as_str()).unwrap_or_default();
    for (file, report) in reports {
        if report.cluster_guid != guid {
            let text = format!(
                "cluster does not match the provided report ({file}): mismatched cluster GUID. Refusing to release"
            );
            return Err(Error::new(text));
        }
        if report.version != VERSION {
            let version = &report.version;
            let text =
                format!("the provided report ({file}) was produced using a different version ({version}) of calicoctl");
            if !force {
                return Err(Error::new(format_args!("{text}. Refusing to release")).with_detail(format_args!(
                    "this is version {VERSION}: make a new report with it, or use --force"
                )));
            }
            warnings.push(format!("WARNING: {text}. Ignoring due to --force option"));
        }
    }
    let revision = stored.revision.0.to_string();
    if !reports.iter().any(|(_, report)| report.cluster_information_revision == revision) {
        let text = "the provided reports are all stale - at least one should be up-to-date. Please generate a new report while the data store is locked and try again";
        return Err(Error::new(text));
    }
    if spec.datastore_ready != Some(false) {
        if !force {
            let text = "data store is not locked. Either lock the data store, or re-run with --force";
            return Err(Error::new(text).with_detail("to lock it: calicoctl datastore migrate lock"));
        }
        warnings.push("WARNING: Data store is not locked. Ignoring due to --force option".to_owned());
    }
    Ok(warnings)
}

/// What all of the reports list as leaked.
fn common_leaks(reports: &[Report]) -> Leaks {
    let addresses = reports.iter().map(|report| {
        let all = report.allocations.values().flatten();
        let leaked = all.filter(|allocation| !allocation.in_use && !allocation.cooling_down);
        leaked
            .filter_map(|it| Some((it.ip.parse::<IpAddr>().ok()?, it.handle.clone(), it.sequence_number)))
            .collect::<BTreeSet<_>>()
    });
    let handles = reports.iter().map(|report| {
        let without_uid = |handle: &LeakedHandle| LeakedHandle { uid: None, ..handle.clone() };
        report.leaked_handles.iter().map(without_uid).collect::<BTreeSet<_>>()
    });
    let request = |(address, handle, sequence): (IpAddr, String, u64)| ReleaseRequest {
        address,
        handle: Some(handle).filter(|handle| !handle.is_empty()),
        sequence: Some(sequence),
    };
    Leaks {
        addresses: in_all(addresses).into_iter().map(request).collect(),
        handles: in_all(handles).into_iter().collect(),
    }
}

fn in_all<T: Ord + Clone>(sets: impl Iterator<Item = BTreeSet<T>>) -> BTreeSet<T> {
    sets.reduce(|a, b| a.intersection(&b).cloned().collect()).unwrap_or_default()
}

async fn release_addresses(session: &Session, console: &Console, leaks: Vec<ReleaseRequest>) -> Result<(), Error> {
    if leaks.is_empty() {
        return console.line("Report didn't contain any leaked IPs to clean up.");
    }
    console.line(format_args!("Releasing {} old IPs...", leaks.len()))?;
    let mut count = Count::default();
    let mut result = Ok(());
    for requests in leaks.chunks(TOGETHER) {
        result = release_together(session, requests.to_vec(), &mut count).await;
        if result.is_err() {
            break;
        }
    }
    console.line(format_args!("Released {} IPs successfully", count.released))?;
    if count.free > 0 {
        let text = "addresses marked as leaked in the report had already been cleaned up.";
        console.line(format_args!("{} {text}", count.free))?;
    }
    for address in &count.changed {
        console.warn(format_args!("{address} is not what the report saw any more: it was left as it is"));
    }
    result
}

/// Releases those that are still leaked, as everything is stored now.
async fn release_together(session: &Session, leaks: Vec<ReleaseRequest>, count: &mut Count) -> Result<(), Error> {
    let now = SystemTime::now();
    let leaks = still_leaked(&Snapshot::read(&session.store()).await?, leaks, now, count);
    // Any owner would do: it decides nothing here.
    let ipam = Ipam::of(session.store(), Owner::Virtual("load-balancer".to_owned()), now);
    release(&ipam, leaks, count).await
}

/// Leaves out what is free, another allocation by now, or may be in use by now.
fn still_leaked(
    snapshot: &Snapshot,
    mut leaks: Vec<ReleaseRequest>,
    now: SystemTime,
    count: &mut Count,
) -> Vec<ReleaseRequest> {
    let allocations = allocations(snapshot);
    let living = repair::Living::of(snapshot, now);
    let none = Attribute::default();
    leaks.retain(|leak| {
        let at = allocations.partition_point(|allocation| allocation.address < leak.address);
        let allocation = allocations.get(at).filter(|it| it.address == leak.address && !it.is_cooling());
        let Some(allocation) = allocation else {
            count.free += 1;
            return false;
        };
        let is_same = allocation.handle() == leak.handle.as_deref() && Some(allocation.sequence) == leak.sequence;
        let is_leaked = is_same && living.objection(leak.address, allocation.attribute.unwrap_or(&none)).is_none();
        if !is_leaked {
            count.changed.push(leak.address);
        }
        is_leaked
    });
    leaks
}

/// Releases addresses; one that is another's by now is left out.
async fn release<D: Datastore>(
    ipam: &Ipam<D>,
    mut requests: Vec<ReleaseRequest>,
    count: &mut Count,
) -> Result<(), Error> {
    loop {
        let (done, error) = match ipam.release_addresses(&requests).await {
            Ok(done) => (done, None),
            Err(partly) => (partly.done, Some(partly.error)),
        };
        count.released += done.released.len();
        count.free += done.not_allocated.len();
        let ended: BTreeSet<IpAddr> = done.released.into_iter().chain(done.not_allocated).collect();
        requests.retain(|request| !ended.contains(&request.address));
        match error {
            None => return Ok(()),
            Some(IpamError::BadSequenceNumber { address, .. } | IpamError::BadHandle { address, .. }) => {
                count.changed.push(address);
                requests.retain(|request| request.address != address);
            }
            Some(error) => return Err(Error::from(error).after("failed to release IPs: ")),
        }
    }
}

async fn delete_handles(session: &Session, console: &Console, handles: Vec<LeakedHandle>) -> Result<(), Error> {
    if handles.is_empty() {
        return console.line("Report didn't contain any handles to clean up.");
    }
    console.line(format_args!("Deleting {} handles...", handles.len()))?;
    console.line("Key: '.' = Deleted OK; 'x' = skip, handle missing/changed.")?;
    let (mut released, mut skipped) = (0, 0);
    for handles in handles.chunks(repair::TOGETHER) {
        let repairs: Vec<_> = handles
            .iter()
            .map(|handle| {
                // What is no revision is none that is stored.
                let revision = Revision(handle.revision.parse().unwrap_or(-1));
                repair::of_unused_handle(&handle.id, revision)
            })
            .collect();
        let ends = repair::carry_out(&session.store(), &repairs, &mut Written::default(), SystemTime::now()).await?;
        let marks: String = ends.iter().map(|end| if *end == End::Done { '.' } else { 'x' }).collect();
        released += marks.matches('.').count();
        skipped += marks.matches('x').count();
        console.data(&marks)?;
    }
    console.line("")?;
    console.line(format_args!("Released {released} handles; {skipped} skipped; 0 errors."))
}

#[cfg(test)]
mod tests;
