//! Changing what an address says about its owners, while it stays assigned: a virtual machine that migrates has the pod
//! it runs in and the one it moves to.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use calico_datastore::{Datastore, Outcome, Write};
use calico_model::Attribute;

use crate::error::Error;
use crate::query::holder_of;
use crate::{Ipam, RETRIES, block};

/// What to change. `None` leaves the attributes as they are, an empty map clears them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnerUpdate {
    /// The attributes of the owner that uses the address.
    pub active: Option<BTreeMap<String, String>>,
    /// The attributes of the owner that may take it over.
    pub alternate: Option<BTreeMap<String, String>>,
}

/// An owner as a precondition names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectedOwner {
    /// The pod with this namespace and name.
    Pod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// None: there are no attributes at all.
    Nobody,
}

impl ExpectedOwner {
    fn is(&self, attributes: &BTreeMap<String, String>) -> bool {
        match self {
            ExpectedOwner::Nobody => attributes.is_empty(),
            ExpectedOwner::Pod { namespace, name } => {
                attributes.get("pod") == Some(name) && attributes.get("namespace") == Some(namespace)
            }
        }
    }

    /// The owner that attributes name.
    fn found_in(attributes: &BTreeMap<String, String>) -> ExpectedOwner {
        let of = |key| attributes.get(key).cloned().unwrap_or_default();
        match attributes.is_empty() {
            true => ExpectedOwner::Nobody,
            false => ExpectedOwner::Pod { namespace: of("namespace"), name: of("pod") },
        }
    }
}

impl fmt::Display for ExpectedOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExpectedOwner::Pod { namespace, name } => write!(f, "pod {namespace}/{name}"),
            ExpectedOwner::Nobody => f.write_str("nobody"),
        }
    }
}

/// What must be so for a change to be made. `None` expects nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnerExpectation {
    /// Who uses the address.
    pub active: Option<ExpectedOwner>,
    /// Who may take it over.
    pub alternate: Option<ExpectedOwner>,
}

impl OwnerExpectation {
    fn check(&self, address: IpAddr, attribute: &Attribute) -> Result<(), Error> {
        for (owner, expected, attributes) in [
            ("active", &self.active, &attribute.secondary),
            ("alternate", &self.alternate, &attribute.alternate_owner_attrs),
        ] {
            if let Some(expected) = expected.as_ref().filter(|expected| !expected.is(attributes)) {
                let (expected, found) = (expected.to_string(), ExpectedOwner::found_in(attributes).to_string());
                return Err(Error::OwnerDiffers { address, owner, expected, found });
            }
        }
        Ok(())
    }
}

impl OwnerUpdate {
    fn apply(&self, attribute: &Attribute) -> Attribute {
        let mut changed = attribute.clone();
        if let Some(active) = &self.active {
            changed.secondary.clone_from(active);
        }
        if let Some(alternate) = &self.alternate {
            changed.alternate_owner_attrs.clone_from(alternate);
        }
        changed
    }
}

impl<D: Datastore> Ipam<D> {
    /// Changes the owners of an address of `handle`, both at once, if they are those expected. Addresses that share the
    /// attribute keep it as it was.
    ///
    /// # Errors
    /// The address is free, rests, or is another handle's; an owner is not the one expected ([`Error::OwnerDiffers`]): the
    /// caller looks at the owners again and decides anew.
    pub async fn set_owner_attributes(
        &self,
        address: IpAddr,
        handle: &str,
        update: &OwnerUpdate,
        expected: &OwnerExpectation,
    ) -> Result<(), Error> {
        let places = self.locate(&[address]).await?;
        let handle = calico_model::handle::sanitised(handle);
        let (mut last, mut answer_lost) = (String::new(), false);
        for _ in 0..RETRIES {
            let mut stored = self.read_block_of(&places, address).await?;
            let (ordinal, attribute) = holder_of(&stored.value, address)?;
            if attribute.handle() != Some(handle) {
                let holder = attribute.handle().map(str::to_owned);
                return Err(Error::NotOfHandle { address, handle: handle.to_owned(), holder });
            }
            let changed = update.apply(attribute);
            if answer_lost && changed == *attribute {
                return Ok(());
            }
            expected.check(address, attribute)?;
            if changed == *attribute {
                return Ok(());
            }
            block::replace_attribute(&mut stored.value, ordinal, &changed);
            let write = Write::update(stored.key, stored.revision, stored.value);
            last = match self.store.commit(std::slice::from_ref(&write)).await? {
                Outcome::Applied(_) => return Ok(()),
                Outcome::Conflict { .. } => format!("another writer changed {}", write.key),
                Outcome::Unknown(reason) => {
                    answer_lost = true;
                    reason
                }
            };
        }
        Err(Error::RetriesUsedUp { last })
    }
}
