//! What an allocation reads before it chooses a block: all of it in one batch, which the caller may make part of its
//! own first read.

use std::collections::BTreeMap;

use calico_datastore::{Answers, Datastore, Stored, Want};
use calico_model::object::Malformed;
use calico_model::reservation::{Reservations, unreadable_entries};
use calico_model::{Affinity, IpPool, IpReservation, IpVersion, IpamConfig, Key, Kind, Listing, Node, Owner};

use crate::Ipam;
use crate::error::Error;

/// The settings, pools and claims an allocation starts from.
#[derive(Debug)]
pub struct Inputs {
    pub(crate) config: IpamConfig,
    /// The node's labels; none of an owner that is no node.
    pub(crate) labels: BTreeMap<String, String>,
    /// All pools, also those that are not enabled.
    pub pools: Vec<IpPool>,
    /// What is wrong with the pools that are left out because they cannot be read.
    pub malformed_pools: Vec<Malformed>,
    pub(crate) reservations: Reservations,
    /// What is wrong with the reservations that cannot be read, as a whole or in part, and so reserve less than they should.
    pub malformed_reservations: Vec<String>,
    pub(crate) affinities: Vec<Stored<Affinity>>,
    /// Whether other calls of this owner may have claimed blocks since: then whoever needs a new one looks again.
    pub(crate) are_early: bool,
}

impl Inputs {
    /// The same, read before the host lock was held.
    pub fn early(self) -> Inputs {
        Inputs { are_early: true, ..self }
    }

    /// What to read for an allocation by `owner`.
    pub fn wants(owner: &Owner) -> Vec<Want> {
        let affinities = |version| Want::List(Listing::Affinities { owner: owner.clone(), version });
        let mut wants = vec![
            Want::Get(Key::IpamConfig),
            Want::List(Listing::Resources(Kind::IpPool)),
            Want::List(Listing::Resources(Kind::IpReservation)),
        ];
        if let Owner::Host(node) = owner {
            wants.push(Want::Get(Key::resource(Kind::Node, node)));
        }
        wants.extend(IpVersion::BOTH.map(affinities));
        wants
    }

    /// Takes the answers to [`Inputs::wants`].
    ///
    /// # Errors
    /// The node must be known: pools choose nodes by their labels.
    pub fn take(owner: &Owner, answers: &mut Answers) -> Result<Inputs, Error> {
        let config = config(answers)?;
        let (pools, malformed_pools) = answers.list_readable();
        let pools = pools.into_iter().map(|stored| stored.value).collect();
        let (reserved, unreadable): (Vec<Stored<IpReservation>>, _) = answers.list_readable();
        let reservations = Reservations::new(reserved.iter().map(|stored| &stored.value));
        let mut malformed_reservations: Vec<String> = unreadable.iter().map(Malformed::to_string).collect();
        for Stored { key, value, .. } in &reserved {
            let entries = unreadable_entries(value);
            malformed_reservations
                .extend(entries.map(|entry| format!("{key}: {entry:?} is neither a CIDR nor an address")));
        }
        let labels = match owner {
            Owner::Host(node) => {
                let known = answers.get::<Node>()?;
                known.ok_or(Error::Missing { key: Key::resource(Kind::Node, node) })?.value.metadata.labels
            }
            Owner::Virtual(_) => BTreeMap::new(),
        };
        let mut affinities: Vec<Stored<Affinity>> = answers.list();
        affinities.extend(answers.list());
        Ok(Inputs {
            config,
            labels,
            pools,
            malformed_pools,
            reservations,
            malformed_reservations,
            affinities,
            are_early: false,
        })
    }
}

/// The settings, as the next answer; the defaults where none are stored.
pub(crate) fn config(answers: &mut Answers) -> Result<IpamConfig, calico_datastore::Error> {
    Ok(answers.get::<IpamConfig>()?.map(|stored| stored.value).unwrap_or_default())
}

impl<D: Datastore> Ipam<D> {
    /// Reads what an allocation starts from, where the caller has no read of its own to make it part of.
    pub async fn read_inputs(&self) -> Result<Inputs, Error> {
        Inputs::take(&self.owner, &mut self.store.read(&Inputs::wants(&self.owner)).await?)
    }
}
