//! The back end in this process.

use std::time::Duration;

use calico_datastore::kubernetes::{Kubernetes, Settings};
use calico_datastore::{Answers, Datastore, Deadline, Error, Outcome, Revision, Stored, Want, Write};
use calico_model::kubernetes::Group;
use calico_model::{Key, Listing, Object};
use e2e::{ApiGroup, ControlPlane, PLUGIN_ACCOUNT};
use tokio::runtime::Runtime;

const TIME: Duration = Duration::from_secs(30);

/// The group of a control plane's custom resources.
pub fn group_of(plane: &ControlPlane) -> Group {
    match plane.group() {
        ApiGroup::Crd => Group::V1,
        ApiGroup::V3 => Group::V3,
    }
}

/// Connects. What group was found is kept on the host, and this process is on the machine itself: it has to be told.
pub async fn open(settings: &Settings, group: Group) -> Kubernetes {
    Kubernetes::open(settings, Some(group), Deadline::after(TIME)).await.unwrap_or_else(|e| panic!("{e}"))
}

/// A connection, for tests that wait for each answer.
pub struct Opened {
    runtime: Runtime,
    store: Kubernetes,
}

impl Opened {
    /// Connects as the plugin does.
    pub fn to(plane: &ControlPlane) -> Opened {
        Opened::with(plane, group_of(plane))
    }

    /// Connects as the plugin does, for a group.
    pub fn with(plane: &ControlPlane, group: Group) -> Opened {
        Opened::by(&plane.settings_of(PLUGIN_ACCOUNT), group)
    }

    /// Connects as the administrator, who may list nodes and pods, which the plugin may not.
    pub fn by_admin(plane: &ControlPlane) -> Opened {
        Opened::by(&plane.settings(), group_of(plane))
    }

    fn by(settings: &Settings, group: Group) -> Opened {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Opened { store: runtime.block_on(open(settings, group)), runtime }
    }

    /// Any work on the store.
    pub fn run<T>(&self, work: impl AsyncFnOnce(&Kubernetes) -> T) -> T {
        self.runtime.block_on(work(&self.store))
    }

    pub fn read(&self, wants: &[Want]) -> Answers {
        self.runtime.block_on(self.store.read(wants)).unwrap_or_else(|e| panic!("{e}"))
    }

    pub fn try_get<T: TryFrom<Object>>(&self, key: &Key) -> Result<Option<Stored<T>>, Error> {
        self.read(&[Want::Get(key.clone())]).get()
    }

    #[track_caller]
    pub fn get<T: TryFrom<Object>>(&self, key: &Key) -> Option<Stored<T>> {
        self.try_get(key).unwrap_or_else(|e| panic!("{e}"))
    }

    /// The revision of what is there, readable or not.
    pub fn revision(&self, key: &Key) -> Option<Revision> {
        self.read(&[Want::Get(key.clone())]).entries().pop().map(|entry| entry.revision)
    }

    /// The keys of a listing, readable or not.
    pub fn keys(&self, listing: Listing) -> Vec<Key> {
        self.read(&[Want::List(listing)]).entries().into_iter().map(|entry| entry.key).collect()
    }

    pub fn try_commit(&self, writes: &[Write]) -> Result<Outcome, Error> {
        self.runtime.block_on(self.store.commit(writes))
    }

    pub fn commit(&self, writes: &[Write]) -> Outcome {
        self.try_commit(writes).unwrap_or_else(|e| panic!("{e}"))
    }

    #[track_caller]
    pub fn applied(&self, writes: &[Write]) -> Vec<Revision> {
        match self.commit(writes) {
            Outcome::Applied(revisions) => revisions,
            other => panic!("{other:?}"),
        }
    }

    /// Asserts that a write finds something else than it expects.
    #[track_caller]
    pub fn conflicts(&self, write: Write) {
        assert_eq!(self.commit(&[write]), Outcome::Conflict { index: 0, applied: vec![] });
    }
}
