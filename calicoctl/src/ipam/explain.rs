//! `ipam explain`: which address an allocation would choose, and why not another. Nothing is stored.

mod node;
mod pod;
mod text;

use std::collections::BTreeMap;
use std::net::IpAddr;

use calico_datastore::{Store, Timed};
use calico_ipam::{AssignAddress, AutoAssign, Demand, Error as IpamError, Inputs, Ipam, Lease};
use calico_model::{IpPool, IpVersion, Key, Kind};

use super::pools;
use crate::cli::ExplainArgs;
use crate::console::Console;
use crate::error::Error;
use crate::session::Session;
use pod::Source;

/// The handle that stands for that of a container; it is shown as such.
const HANDLE: &str = "calicoctl.explain";

/// What an allocation is to be explained for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Question {
    /// The pod, as `namespace/name`.
    pod: Option<String>,
    node: String,
    /// The labels of the namespace.
    namespace: BTreeMap<String, String>,
    /// The pools that are asked for, by name or CIDR.
    pools: Vec<String>,
    /// The families that are asked for; none where that is left to the pools.
    families: Vec<IpVersion>,
    /// The addresses that are asked for, in the place of any.
    addresses: Vec<IpAddr>,
    count: usize,
}

/// Explains the allocation.
pub async fn run(session: &Session, console: &Console, arguments: &ExplainArgs) -> Result<(), Error> {
    match ask(session, arguments).await? {
        Ok(question) => console.data(&answer(session, console, &question).await?),
        Err(nothing_to_explain) => console.line(nothing_to_explain),
    }
}

/// What is asked for; or why there is nothing to explain.
async fn ask(session: &Session, arguments: &ExplainArgs) -> Result<Result<Question, String>, Error> {
    let mut question = Question { count: usize::from(arguments.count), ..Question::default() };
    if let Some(name) = &arguments.pod {
        let (namespace, name) = pod::full_name(name, arguments.namespace.as_deref())?;
        let wish = pod::read(session, &namespace, &name).await?;
        let name = format!("{namespace}/{name}");
        let addresses = match wish.source {
            Source::HostNetwork => {
                return Ok(Err(format!("pod {name} is in its host's network: it is given no address")));
            }
            Source::WithoutIpam(list) => {
                return Ok(Err(format!("pod {name} asks for {list} without address management: nobody assigns that")));
            }
            Source::Given(addresses) => addresses,
            Source::Any => Vec::new(),
        };
        let (node, namespace, pools, families) = (wish.node, wish.namespace, wish.pools, wish.families);
        question = Question { pod: Some(name), node, namespace, pools, families, addresses, ..question };
    } else if let Some(namespace) = &arguments.namespace {
        question.namespace = pod::namespace_labels(session, namespace).await?;
    }
    if let Some(node) = &arguments.node {
        question.node.clone_from(node);
    }
    if question.node.is_empty() {
        question.node = node::only(session, question.pod.as_deref()).await?;
    }
    if !arguments.pool.is_empty() {
        question.pools.clone_from(&arguments.pool);
    }
    match arguments.family {
        None => {}
        Some(4) => question.families = vec![IpVersion::V4],
        Some(6) => question.families = vec![IpVersion::V6],
        Some(other) => return Err(Error::new(format_args!("--family {other}: there are 4 and 6"))),
    }
    Ok(Ok(question))
}

/// The explanation, as it is printed.
async fn answer(session: &Session, console: &Console, question: &Question) -> Result<String, Error> {
    let ipam = session.ipam(&question.node);
    let inputs = match ipam.read_inputs().await {
        Err(error @ IpamError::Missing { key: Key::Resource { kind: Kind::Node, .. } }) => {
            return Err(node::missing(session, &question.node, error).await);
        }
        inputs => inputs?,
    };
    for pool in &inputs.malformed_pools {
        console.warn(format_args!("a pool is passed over, since it cannot be read: {pool}"));
    }
    for reservation in &inputs.malformed_reservations {
        console.warn(format_args!("a reservation reserves nothing, since it cannot be read: {reservation}"));
    }
    let lease = Lease::new(HANDLE, []);
    match question.addresses.is_empty() {
        true => automatic(&ipam, &inputs, question, &lease).await,
        false => given(&ipam, &inputs, question, &lease).await,
    }
}

/// Any address.
async fn automatic(
    ipam: &Ipam<Timed<&Store>>,
    inputs: &Inputs,
    question: &Question,
    lease: &Lease,
) -> Result<String, Error> {
    let demands = demands(question, &inputs.pools)?;
    let request = AutoAssign { namespace: question.namespace.clone(), ..AutoAssign::workload(demands) };
    let explanation = ipam.explain(inputs, &request, lease).await;
    if let Err(error @ IpamError::Datastore(_)) = explanation.answer {
        return Err(error.into());
    }
    Ok(text::heading(question) + &text::demands(&request.demands) + &text::explanation(&explanation))
}

/// Addresses that are asked for by themselves.
async fn given(
    ipam: &Ipam<Timed<&Store>>,
    inputs: &Inputs,
    question: &Question,
    lease: &Lease,
) -> Result<String, Error> {
    let requests: Vec<AssignAddress> = question.addresses.iter().copied().map(AssignAddress::workload).collect();
    let mut explained = ipam.explain_addresses(inputs, &requests, lease).await;
    if let Some(Err(IpamError::Datastore(_))) = explained.answers.last()
        && let Some(Err(error)) = explained.answers.pop()
    {
        return Err(error.into());
    }
    Ok(text::heading(question) + &text::given(&question.addresses, &explained))
}

/// A demand for each family: those that are asked for, or else those of the pools that are asked for, or else those that there
/// are enabled pools of.
fn demands(question: &Question, pools: &[IpPool]) -> Result<Vec<Demand>, Error> {
    let wanted =
        question.pools.iter().map(|text| pools::named(pools, text)).collect::<Result<Vec<&IpPool>, Error>>()?;
    let mut families = question.families.clone();
    if families.is_empty() {
        let has_one = |version: &IpVersion| match wanted.is_empty() {
            true => pools.iter().any(|pool| pool.version() == *version && pool.is_enabled()),
            false => wanted.iter().any(|pool| pool.version() == *version),
        };
        families = IpVersion::BOTH.into_iter().filter(has_one).collect();
    }
    if families.is_empty() {
        families.push(IpVersion::V4);
    }
    if let Some(other) = wanted.iter().find(|pool| !families.contains(&pool.version())) {
        let text = format!("IP pool {} is of IPv{}, which is not asked for", other.metadata.name, other.version());
        return Err(Error::new(text));
    }
    let demand = |version| {
        let of_family = wanted.iter().filter(|pool| pool.version() == version);
        Demand { pools: of_family.map(|pool| pool.cidr()).collect(), ..Demand::any(version, question.count) }
    };
    Ok(families.into_iter().map(demand).collect())
}

#[cfg(test)]
mod tests;
