//! The cluster-wide settings of address management.

use calico_datastore::{Datastore, Expect, Outcome, Stored, Want, Write};
use calico_model::{IpamConfig, Key};

use crate::error::Error;
use crate::{Ipam, RETRIES};

impl<D: Datastore> Ipam<D> {
    /// The settings; the defaults where none are stored. Nothing is written.
    pub async fn settings(&self) -> Result<IpamConfig, Error> {
        Ok(self.read_settings().await?.map(|stored| stored.value).unwrap_or_default())
    }

    /// Changes settings, and answers what is stored then. The others, and those this code does not know, stay as they
    /// are. `change` is called again when another writer changed the settings meanwhile.
    ///
    /// # Errors
    /// The settings that would result contradict each other; nothing is written.
    pub async fn change_settings(&self, change: impl Fn(&mut IpamConfig)) -> Result<IpamConfig, Error> {
        let mut last = String::new();
        for _ in 0..RETRIES {
            let stored = self.read_settings().await?;
            let mut changed = stored.as_ref().map(|stored| stored.value.clone()).unwrap_or_default();
            change(&mut changed);
            validate(&changed)?;
            if stored.as_ref().is_some_and(|stored| stored.value == changed) {
                return Ok(changed);
            }
            let expect = stored.map_or(Expect::Absent, |stored| Expect::At(stored.revision));
            last = match self.store.commit(&[Write::put(Key::IpamConfig, expect, changed.clone())]).await? {
                Outcome::Applied(_) => return Ok(changed),
                Outcome::Conflict { .. } => format!("another writer changed {}", Key::IpamConfig),
                Outcome::Unknown(reason) => reason,
            };
        }
        Err(Error::RetriesUsedUp { last })
    }

    async fn read_settings(&self) -> Result<Option<Stored<IpamConfig>>, Error> {
        Ok(self.store.read(&[Want::Get(Key::IpamConfig)]).await?.get()?)
    }
}

fn validate(config: &IpamConfig) -> Result<(), Error> {
    if !config.strict_affinity && !config.auto_allocate_blocks {
        return Err(Error::NeitherStrictNorAutomatic);
    }
    if config.max_blocks_per_host > 0 && !config.strict_affinity {
        return Err(Error::LimitWithoutStrictAffinity);
    }
    Ok(())
}
