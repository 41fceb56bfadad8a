//! What storing and deleting a pool takes beyond the pool itself.

use std::time::Duration;

use calico_datastore::{Datastore, Outcome, Revision, Want, Write};
use calico_model::{IpPool, Kind as Stored, Listing, Object, cidr};
use ipnetwork::IpNetwork;
use serde_json::{Map, Value};

use super::convert::stored;
use super::{Failure, Found};
use crate::kind::Kind;
use crate::manifest::{id, text_of};
use crate::session::Session;
use crate::validate;

/// How long the nodes are given to see that a pool is disabled, before its blocks are given up.
const NOTICE: Duration = Duration::from_millis(500);

/// Checks that a new pool shares no addresses with another, and has no blocks of another size in it.
pub async fn check_new(session: &Session, object: &Map<String, Value>) -> Result<(), Failure> {
    let Ok(range) = text_of(object, "spec", "cidr").parse::<IpNetwork>() else { return Ok(()) };
    let name = text_of(object, "metadata", "name");
    let wants = [Want::List(Listing::Resources(Stored::IpPool)), Want::List(Listing::Blocks)];
    let mut answers = session.store().read(&wants).await?;
    let others = answers.list::<IpPool>().into_iter().map(|pool| (pool.value.metadata.name.clone(), pool.value.cidr()));
    if let Some(broken) = validate::pool_overlap((name, range), others.filter(|(other, _)| other != name)) {
        return Err(Failure::Invalid(vec![broken]));
    }
    let cidrs = answers.entries().into_iter().filter_map(|entry| match entry.object {
        Ok(Object::Block(block)) => Some(cidr::masked(&block.cidr)),
        _ => None,
    });
    match validate::pool_blocks(object, cidrs) {
        Some(broken) => Err(Failure::Invalid(vec![broken])),
        None => Ok(()),
    }
}

/// Disables a pool and gives its blocks up, so that it can be deleted, and answers its version then.
pub async fn empty(session: &Session, found: &Found) -> Result<Revision, Failure> {
    let mut revision = found.revision;
    if found.spec("disabled") != &Value::Bool(true) {
        let mut object = found.object.clone();
        if let Some(Value::Object(spec)) = object.get_mut("spec") {
            spec.insert("disabled".to_owned(), true.into());
        }
        let key = found.key.clone().unwrap_or(calico_model::Key::resource(Stored::IpPool, found.name()));
        let disabled = stored(Kind::IpPool, &key, &object)?;
        match session.store().commit(&[Write::update(key, revision, disabled)]).await? {
            Outcome::Applied(revisions) => revision = revisions.into_iter().next().unwrap_or(revision),
            Outcome::Conflict { .. } => return Err(Failure::Conflict { id: id(Kind::IpPool, "", found.name()) }),
            Outcome::Unknown(reason) => return Err(Failure::text(reason)),
        }
        tokio::time::sleep(NOTICE).await;
    }
    if let Ok(range) = text_of(&found.object, "spec", "cidr").parse() {
        session.ipam("").release_pool_affinities(range).await?;
    }
    Ok(revision)
}
