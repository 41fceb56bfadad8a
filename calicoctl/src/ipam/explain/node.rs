//! The node that an allocation is for.

use calico_datastore::{Datastore, Want};
use calico_ipam::Error as IpamError;
use calico_model::{Key, Kind, Listing};

use crate::error::Error;
use crate::session::Session;
use crate::suggest;

/// The only node that there is.
pub async fn only(session: &Session, pod: Option<&str>) -> Result<String, Error> {
    let nodes = names(session).await?;
    if let ([node], None) = (nodes.as_slice(), pod) {
        return Ok(node.clone());
    }
    let text = match pod {
        Some(pod) => format!("pod {pod} has no node yet: say which with --node"),
        None => "say with --node for which node".to_owned(),
    };
    Err(Error::new(text).with_detail(list(&nodes)))
}

/// A node that is asked for does not exist.
pub async fn missing(session: &Session, node: &str, error: IpamError) -> Error {
    let nodes = names(session).await.unwrap_or_default();
    let meant = suggest::closest(node, nodes.iter().map(String::as_str)).map(|node| format!("did you mean {node}?"));
    Error::new(error).with_detail(meant.unwrap_or_else(|| list(&nodes)))
}

async fn names(session: &Session) -> Result<Vec<String>, Error> {
    let listing = [Want::List(Listing::Resources(Kind::Node))];
    let entries = session.store().read(&listing).await?.entries();
    let name = |key| match key {
        Key::Resource { name, .. } => Some(name),
        _ => None,
    };
    Ok(entries.into_iter().filter_map(|entry| name(entry.key)).collect())
}

fn list(nodes: &[String]) -> String {
    /// More would not help anybody.
    const MOST: usize = 20;
    let shown = nodes[..nodes.len().min(MOST)].join(", ");
    match nodes.len() {
        0 => "there are no nodes".to_owned(),
        all if all > MOST => format!("there are {all} nodes, such as {shown}"),
        _ => format!("there are: {shown}"),
    }
}
