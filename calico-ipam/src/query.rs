//! Who has which address.

use std::collections::BTreeMap;
use std::net::IpAddr;

use calico_datastore::{Datastore, Stored, Want};
use calico_model::{Attribute, Block, Handle, Inconsistency, IpVersion, Key, cidr};
use ipnetwork::IpNetwork;

use crate::error::Error;
use crate::{Allocation, BATCH, Ipam, release};

/// What is known of an address that is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressUse {
    /// The handle that releases it; none of an address that was assigned without.
    pub handle: Option<String>,
    /// The attributes of its holder: `node`, `pod`, `namespace`, `timestamp`, `type`.
    pub attributes: BTreeMap<String, String>,
    /// The same of the second holder, during a virtual machine's migration.
    pub alternate: BTreeMap<String, String>,
    /// Tells this allocation of the address from a later one.
    pub sequence: u64,
    /// The block it is in.
    pub block: IpNetwork,
}

impl<D: Datastore> Ipam<D> {
    /// The addresses that are assigned to a handle, as the blocks say. Of an entry that names no block there are none: a
    /// handle may count too much.
    pub async fn addresses_of(&self, handle: &Stored<Handle>) -> Result<Vec<IpAddr>, Error> {
        let allocations = self.allocations_of(handle, &IpVersion::BOTH).await?;
        Ok(allocations.into_iter().map(|allocation| allocation.address).collect())
    }

    /// The addresses of the given families that are assigned to a handle, with their blocks.
    pub async fn allocations_of(
        &self,
        handle: &Stored<Handle>,
        families: &[IpVersion],
    ) -> Result<Vec<Allocation>, Error> {
        let Key::Handle(id) = &handle.key else { return Ok(Vec::new()) };
        let mut blocks = release::blocks_of(&handle.value);
        blocks.retain(|block| families.contains(&cidr::version(block)));
        let mut allocations = Vec::new();
        for batch in blocks.chunks(BATCH) {
            let wants: Vec<Want> = batch.iter().map(|&block| Want::Get(Key::Block(block))).collect();
            let mut answers = self.store.read(&wants).await?;
            for &block in batch {
                let Some(stored) = answers.get::<Block>()? else { continue };
                let addresses = stored.value.ordinals_of(id).filter_map(|ordinal| stored.value.address(ordinal));
                allocations.extend(addresses.map(|address| Allocation { address, block }));
            }
        }
        Ok(allocations)
    }

    /// Who has an address, also where its pool is disabled or gone.
    ///
    /// # Errors
    /// [`Error::Unassigned`] where nobody has it, [`Error::InCooldown`] where it was released and rests.
    pub async fn use_of(&self, address: IpAddr) -> Result<AddressUse, Error> {
        let places = self.locate(&[address]).await?;
        let block = self.read_block_of(&places, address).await?.value;
        let (ordinal, attribute) = holder_of(&block, address)?;
        Ok(AddressUse {
            handle: attribute.handle().map(str::to_owned),
            attributes: attribute.secondary.clone(),
            alternate: attribute.alternate_owner_attrs.clone(),
            sequence: sequence_of(&block, ordinal),
            block: cidr::masked(&block.cidr),
        })
    }
}

/// The ordinal and the attribute of an address that is in use.
pub(crate) fn holder_of(block: &Block, address: IpAddr) -> Result<(usize, &Attribute), Error> {
    let ordinal = block.ordinal(address).filter(|&ordinal| block.allocations.get(ordinal).is_some_and(Option::is_some));
    let ordinal = ordinal.ok_or(Error::Unassigned { address })?;
    match block.attribute_of(ordinal) {
        None => Err(Error::Inconsistent { block: block.cidr, reason: Inconsistency::NoAttribute { ordinal } }),
        Some(attribute) if attribute.is_cooling() => Err(Error::InCooldown { address }),
        Some(attribute) => Ok((ordinal, attribute)),
    }
}

/// The block's sequence number when an ordinal was handed out; 0 where none is recorded, as in blocks of old releases.
pub(crate) fn sequence_of(block: &Block, ordinal: usize) -> u64 {
    block.sequence_number_for_allocation.get(&ordinal.to_string()).copied().unwrap_or(0)
}
