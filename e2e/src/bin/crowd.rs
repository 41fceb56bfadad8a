//! Fills an etcd as a large cluster does: `crowd URL POOL BLOCK_SIZE HOSTS ADDRESSES [whole]`.
//!
//! Each of HOSTS hosts, `crowd-0` and so on, owns the first block of POOL that is free when it comes, in its own order, and has
//! so many ADDRESSES of it in use. Blocks and affinities are all that is stored: not the hosts, nor any handle. With `whole` these
//! are there as well, and an endpoint for each address: everything agrees.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use calico_datastore::etcd::{Etcd, Members, Settings};
use calico_datastore::{Datastore, Deadline, Outcome, Write};
use calico_ipam::start_block;
use calico_model::endpoint_name::EndpointId;
use calico_model::{
    Affinity, AffinityState, Attribute, Block, Handle, Key, Kind, Node, Owner, Resource, WorkloadEndpoint, cidr,
    timestamp,
};
use ipnetwork::IpNetwork;

/// How many blocks are stored together.
const TOGETHER: usize = 50;
/// How long ago hosts claimed their blocks.
const AGE: Duration = Duration::from_secs(3600);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match runtime.block_on(fill(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

async fn fill(arguments: &[String]) -> Result<(), String> {
    let (arguments, whole) = match arguments {
        [arguments @ .., last] if last == "whole" => (arguments, true),
        arguments => (arguments, false),
    };
    let [url, pool, block_size, hosts, addresses] = arguments else {
        return Err("usage: crowd URL POOL BLOCK_SIZE HOSTS ADDRESSES [whole]".to_owned());
    };
    let number = |text: &String| text.parse::<usize>().map_err(|e| format!("{text}: {e}"));
    let pool: IpNetwork = pool.parse().map_err(|e| format!("{pool}: {e}"))?;
    let block_size = block_size.parse().map_err(|e| format!("{block_size}: {e}"))?;
    let (hosts, addresses) = (number(hosts)?, number(addresses)?);
    let settings = Settings::to(Members::Listed(vec![url.to_owned()]));
    let store = Etcd::open(&settings, Deadline::after(Duration::from_secs(20))).await.map_err(|e| e.to_string())?;
    let claimed = SystemTime::now() - AGE;
    let mut taken = BTreeSet::new();
    let mut writes = Vec::new();
    for number in 0..hosts {
        let host = format!("crowd-{number}");
        let free = start_block::blocks(pool, block_size, &host, 0).find(|block| !taken.contains(block));
        let block = free.ok_or_else(|| format!("{pool} has no {hosts} blocks"))?;
        taken.insert(block);
        let owner = Owner::Host(host);
        writes.push(Write::create(
            Key::Affinity { owner: owner.clone(), block },
            Affinity::new(AffinityState::Confirmed),
        ));
        let stored = used(Block::new(block, &owner, claimed), &owner, addresses);
        if whole {
            writes.push(Write::create(Key::resource(Kind::Node, owner.name()), node(owner.name())));
            for attribute in &stored.attributes {
                writes.extend(container(&stored, &owner, attribute.handle().unwrap_or_default())?);
            }
        }
        writes.push(Write::create(Key::Block(block), stored));
        if writes.len() >= 2 * TOGETHER || number + 1 == hosts {
            match store.commit(&writes).await.map_err(|e| e.to_string())? {
                Outcome::Applied(_) => writes.clear(),
                other => return Err(format!("the blocks of {pool} are not stored: {other:?}")),
            }
        }
    }
    Ok(())
}

fn node(name: &str) -> Node {
    Resource::new(Kind::Node, name, serde_json::Map::new())
}

/// The handle of a container that has an address of a block, and its endpoint.
fn container(block: &Block, owner: &Owner, handle: &str) -> Result<[Write; 2], String> {
    let id = handle.strip_prefix("net1.").unwrap_or(handle);
    let (orchestrator, endpoint) = ("cni".to_owned(), "eth0".to_owned());
    let name = EndpointId { node: owner.name().to_owned(), orchestrator, workload: id.to_owned(), endpoint };
    let mut endpoint = WorkloadEndpoint::for_interface(&name, "default").map_err(|e| e.to_string())?;
    endpoint.spec.container_id = id.to_owned();
    endpoint.spec.interface_name = format!("cali{}", &id[id.len() - 11..]);
    let addresses = block.ordinals_of(handle).filter_map(|ordinal| block.address(ordinal));
    endpoint.spec.ip_networks = addresses.map(|address| cidr::single(address).to_string()).collect();
    let counted = Handle { block: [(block.cidr.to_string(), 1)].into(), ..Handle::default() };
    let key = Key::endpoint("default", &endpoint.metadata.name);
    Ok([Write::create(Key::Handle(handle.to_owned()), counted), Write::create(key, endpoint)])
}

/// The block with so many addresses in use, by containers with IDs as long as runtimes make them.
fn used(mut block: Block, owner: &Owner, addresses: usize) -> Block {
    for ordinal in 0..addresses.min(block.allocations.len()) {
        let facts = [("node", owner.name().to_owned()), ("timestamp", timestamp::go_text(SystemTime::now()))];
        let secondary: BTreeMap<String, String> = facts.map(|(name, value)| (name.to_owned(), value)).into();
        let handle = format!("net1.{:0>64}", format!("{}-{ordinal}", block.cidr.ip()).replace(['.', ':', '-'], "e"));
        block.attributes.push(Attribute { handle_id: Some(handle), secondary, ..Attribute::default() });
        block.allocations[ordinal] = Some(ordinal as i64);
        block.unallocated.retain(|&free| free != ordinal as i64);
        block.sequence_number_for_allocation.insert(ordinal.to_string(), block.sequence_number);
        block.sequence_number += 1;
    }
    block
}
