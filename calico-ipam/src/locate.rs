//! Finding the blocks that given addresses are in.

use std::collections::BTreeMap;
use std::net::IpAddr;

use calico_datastore::{Datastore, Stored, Want};
use calico_model::{Block, Key, Listing, cidr};
use ipnetwork::IpNetwork;

use crate::affinities::Setting;
use crate::error::Error;
use crate::{Ipam, block};

/// The block that each address asked for would be in, and what else there is to know.
pub(crate) struct Places {
    pub setting: Setting,
    blocks: BTreeMap<IpAddr, IpNetwork>,
}

impl Places {
    /// The block of an address, which need not exist; `None` where the address is in no pool and in no block.
    pub fn block_of(&self, address: IpAddr) -> Option<IpNetwork> {
        self.blocks.get(&address).copied()
    }
}

impl<D: Datastore> Ipam<D> {
    /// Finds the blocks of addresses. All pools count, also disabled ones, as their addresses stay in use. The blocks of
    /// a pool that was deleted are found by listing all blocks.
    pub(crate) async fn locate(&self, addresses: &[IpAddr]) -> Result<Places, Error> {
        let mut answers = self.store.read(&Setting::wants(&self.owner, true)).await?;
        let setting = Setting::take(&self.owner, true, &mut answers);
        let (mut blocks, mut elsewhere) = (BTreeMap::new(), Vec::new());
        for &address in addresses {
            let pool = setting.pools().iter().find(|pool| pool.spec.cidr.contains(address));
            match pool.and_then(|pool| cidr::containing(address, pool.block_size())) {
                Some(block) => {
                    blocks.insert(address, block);
                }
                None => elsewhere.push(address),
            }
        }
        if !elsewhere.is_empty() {
            let listed = self.store.read(&[Want::List(Listing::Blocks)]).await?.entries();
            let by_start: BTreeMap<IpAddr, IpNetwork> = listed
                .into_iter()
                .filter_map(|entry| match entry.key {
                    Key::Block(block) => Some((block.network(), block)),
                    _ => None,
                })
                .collect();
            for address in elsewhere {
                let before = by_start.range(..=address).next_back();
                blocks.extend(before.filter(|(_, block)| block.contains(address)).map(|(_, &block)| (address, block)));
            }
        }
        Ok(Places { setting, blocks })
    }

    /// Reads the block of an address that was located, with the addresses free that have rested long enough.
    ///
    /// # Errors
    /// The address is not assigned, because its block does not exist.
    pub(crate) async fn read_block_of(&self, places: &Places, address: IpAddr) -> Result<Stored<Block>, Error> {
        let block = places.block_of(address).ok_or(Error::Unassigned { address })?;
        let stored = self.store.read(&[Want::Get(Key::Block(block))]).await?.get::<Block>()?;
        let mut stored = stored.ok_or(Error::Unassigned { address })?;
        block::warm_up(&mut stored.value, places.setting.cooldown(self.now));
        Ok(stored)
    }
}
