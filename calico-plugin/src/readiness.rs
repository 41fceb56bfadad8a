//! Whether the cluster's datastore may be used: checked before the first write of every ADD and DEL (invariant 4 of the
//! design), because a datastore that is being migrated must not change.

use calico_datastore::{Answers, Want};
use calico_model::{ClusterInformation, Key, Kind};

use crate::error::Error;

/// What to read for [`check`].
pub fn want() -> Want {
    Want::Get(key())
}

fn key() -> Key {
    Key::resource(Kind::ClusterInformation, "default")
}

/// Takes the answer to [`want`].
pub fn check(answers: &mut Answers) -> Result<(), Error> {
    let stored = answers.get::<ClusterInformation>().map_err(|error| Error::ClusterInformation(error.to_string()))?;
    let Some(stored) = stored else {
        return Err(Error::Uninitialised(key()));
    };
    match stored.value.spec.datastore_ready {
        Some(true) => Ok(()),
        Some(false) => Err(Error::NotReady { advice: "the datastore is locked, for a migration or an upgrade" }),
        None => Err(Error::NotReady {
            advice: "ClusterInformation default has no datastoreReady: the cluster was never initialised",
        }),
    }
}
