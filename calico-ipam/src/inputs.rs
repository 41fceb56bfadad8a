//! What an allocation reads before it chooses a block: all of it in one batch, which the caller may make part of its
//! own first read.

use calico_datastore::{Answers, Datastore, Stored, Want};
use calico_model::object::Malformed;
use calico_model::{Affinity, IpPool, IpVersion, IpamConfig, Key, Kind, Listing, Node, Owner};

use crate::Ipam;
use crate::error::Error;

/// The settings, pools and claims an allocation starts from.
#[derive(Debug)]
pub struct Inputs {
    pub(crate) config: IpamConfig,
    /// All pools, also those that are not enabled.
    pub pools: Vec<IpPool>,
    /// What is wrong with the pools that are left out because they cannot be read.
    pub malformed_pools: Vec<Malformed>,
    pub(crate) affinities: Vec<Stored<Affinity>>,
}

impl Inputs {
    /// What to read for an allocation on `node`.
    pub fn wants(node: &str) -> Vec<Want> {
        let owner = Owner::Host(node.to_owned());
        let affinities = |version| Want::List(Listing::Affinities { owner: owner.clone(), version });
        vec![
            Want::Get(Key::IpamConfig),
            Want::Get(Key::resource(Kind::Node, node)),
            Want::List(Listing::Resources(Kind::IpPool)),
            affinities(IpVersion::V4),
            affinities(IpVersion::V6),
        ]
    }

    /// Takes the answers to [`Inputs::wants`].
    ///
    /// # Errors
    /// The node must be known: pools choose nodes by their labels.
    pub fn take(node: &str, answers: &mut Answers) -> Result<Inputs, Error> {
        let config = answers.get::<IpamConfig>()?.map(|stored| stored.value).unwrap_or_default();
        if answers.get::<Node>()?.is_none() {
            return Err(Error::Missing { key: Key::resource(Kind::Node, node) });
        }
        let (pools, malformed_pools) = answers.list_readable();
        let pools = pools.into_iter().map(|stored| stored.value).collect();
        let mut affinities: Vec<Stored<Affinity>> = answers.list();
        affinities.extend(answers.list());
        Ok(Inputs { config, pools, malformed_pools, affinities })
    }
}

impl<D: Datastore> Ipam<D> {
    /// Reads what an allocation starts from, where the caller has no read of its own to make it part of.
    pub async fn read_inputs(&self) -> Result<Inputs, Error> {
        Inputs::take(&self.node, &mut self.store.read(&Inputs::wants(&self.node)).await?)
    }
}
