//! Pools: what upstream's client fills in and checks itself, and the rules for fields.

mod definition;

use calico_model::cidr::{IpVersion, masked, overlap, version};
use ipnetwork::IpNetwork;
use serde_json::{Map, Value, json};

use super::Broken;
use super::part::{Part, printed_list};
use super::tag::{Tag, network};
use crate::kind::Kind;

pub use definition::check_schema;

/// What a pool may be for.
const USES: [&str; 3] = ["Workload", "Tunnel", "LoadBalancer"];

/// Fills in what was not given, and takes the host bits off the CIDR.
pub fn set_defaults(object: &mut Map<String, Value>) {
    let Some(Value::Object(spec)) = object.get_mut("spec") else { return };
    let text =
        |spec: &Map<String, Value>, field| spec.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(network) = network(&text(spec, "cidr")) {
        spec.insert("cidr".to_owned(), masked(&network).to_string().into());
        if spec.get("blockSize").and_then(Value::as_i64).unwrap_or_default() == 0 {
            spec.insert("blockSize".to_owned(), default_block_size(version(&network)).into());
        }
    }
    for (field, default) in
        [("vxlanMode", "Never"), ("ipipMode", "Never"), ("nodeSelector", "all()"), ("assignmentMode", "Automatic")]
    {
        if text(spec, field).is_empty() {
            spec.insert(field.to_owned(), default.into());
        }
    }
    let has_uses = spec.get("allowedUses").and_then(Value::as_array).is_some_and(|uses| !uses.is_empty());
    if !has_uses {
        spec.insert("allowedUses".to_owned(), json!(["Workload", "Tunnel"]));
    }
    *spec = Kind::IpPool.about().spec.ordered(spec);
}

/// What the client has against a pool as it was given, before [`set_defaults`] takes the host bits off its CIDR.
pub fn check_pool(object: &Map<String, Value>) -> Vec<Broken> {
    let spec = spec_of(object);
    let given = spec.text("cidr");
    let Some(network) = network(given) else {
        return vec![if given.is_empty() {
            Broken { value: None, ..of_client(&spec, "cidr", "CIDR", "", "IPPool CIDR must be specified") }
        } else {
            of_client(&spec, "cidr", "CIDR", given, "IPPool CIDR must be a valid subnet")
        }];
    };
    let uses = spec.texts("allowedUses");
    let unknown = uses.iter().filter(|wanted| !USES.contains(wanted));
    let of_use = |unknown: &&str| {
        of_client(&spec, "allowedUses", "AllowedUses", printed_uses(&uses), format!("unknown use: {unknown}"))
    };
    let mut broken: Vec<Broken> = unknown.map(of_use).collect();
    if network != masked(&network) {
        let reason = "IPPool CIDR is not strictly masked";
        broken.push(of_client(&spec, "cidr", "CIDR", masked(&network).to_string(), reason));
    }
    broken
}

/// A new pool must not have an address in common with another. Its own name is passed over: that there is one already is another
/// error.
pub fn pool_overlap(new: (&str, IpNetwork), others: impl Iterator<Item = (String, IpNetwork)>) -> Option<Broken> {
    let (name, network) = new;
    let (other, taken) = { others }.find(|(other, taken)| other != name && overlap(taken, &network))?;
    let reason = format!("IPPool({name}) CIDR overlaps with IPPool({other}) CIDR {taken}");
    Some(of_client(&spec_of(&Map::new()), "cidr", "CIDR", network.to_string(), reason))
}

/// A new pool must not have blocks of another size inside it.
pub fn pool_blocks(object: &Map<String, Value>, mut blocks: impl Iterator<Item = IpNetwork>) -> Option<Broken> {
    let spec = spec_of(object);
    let network = network(spec.text("cidr"))?;
    let size = block_size(&spec, version(&network));
    blocks.find(|block| i64::from(block.prefix()) != size && overlap(block, &network))?;
    let reason = "IPPool blocksSize conflicts with existing allocations that use a different blockSize";
    Some(of_client(&spec, "blockSize", "BlockSize", size.to_string(), reason))
}

/// What must not change of a pool.
pub fn pool_change(old: &Map<String, Value>, new: &Map<String, Value>) -> Vec<Broken> {
    let [mut old, mut new] = [old.clone(), new.clone()];
    set_defaults(&mut old);
    set_defaults(&mut new);
    let (old, new) = (spec_of(&old), spec_of(&new));
    let mut broken = Vec::new();
    if old.text("cidr") != new.text("cidr") {
        broken.push(of_client(&new, "cidr", "CIDR", new.text("cidr"), "IPPool CIDR cannot be modified"));
    }
    let uses = new.texts("allowedUses");
    if old.texts("allowedUses").contains(&"LoadBalancer") && uses.iter().any(|&wanted| wanted != "LoadBalancer") {
        // Upstream's spelling.
        let reason = "IPPool allowed use cannot be changed from LoadBalacer to Workload or Tunnel";
        broken.push(of_client(&new, "allowedUses", "AllowedUses", printed_uses(&uses), reason));
    }
    if old.number("blockSize") != new.number("blockSize") {
        let value = new.number("blockSize").to_string();
        broken.push(of_client(&new, "blockSize", "BlockSize", value, "IPPool BlockSize cannot be modified"));
    }
    broken
}

/// The rules for fields.
pub fn check(spec: &Part<'_>) -> Vec<Broken> {
    let rules = [
        spec.required("cidr", Tag::Net),
        spec.tagged("nodeSelector", Tag::Selector),
        spec.tagged("namespaceSelector", Tag::Selector),
    ];
    rules.into_iter().flatten().collect()
}

/// The prefix length of a pool's blocks.
fn block_size(spec: &Part<'_>, version: IpVersion) -> i64 {
    match spec.number("blockSize") {
        0 => default_block_size(version),
        size => size,
    }
}

fn default_block_size(version: IpVersion) -> i64 {
    match version {
        IpVersion::V4 => 26,
        IpVersion::V6 => 122,
    }
}

fn printed_uses(uses: &[&str]) -> String {
    printed_list(uses.iter().map(|&wanted| wanted.to_owned()))
}

/// The client's own names begin with the kind.
fn of_client(spec: &Part<'_>, name: &str, title: &str, value: impl Into<String>, reason: impl Into<String>) -> Broken {
    let (field, path) = (format!("IPPool.Spec.{title}"), spec.path(name));
    Broken { field, value: Some(value.into()), reason: reason.into(), path }
}

fn spec_of(object: &Map<String, Value>) -> Part<'_> {
    Part::new(Kind::IpPool.about().spec, object.get("spec"), "spec")
}
