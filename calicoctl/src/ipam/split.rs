//! `ipam split`: makes several smaller pools of one.

mod parts;

use calico_datastore::{Datastore, Outcome, Stored, Want, Write};
use calico_model::{ClusterInformation, IpPool, Key, Kind, Listing};

use super::pools;
use crate::cli::SplitArgs;
use crate::console::Console;
use crate::error::Error;
use crate::session::Session;

/// How many pools are created by one commit.
const BATCH: usize = 64;

/// What kube-controllers sets on pools that it deletes only when they have no blocks.
const FINALIZER: &str = "projectcalico.org/ippool-finalizer";

/// Splits the pool. Its blocks stay, in the parts that they lie in.
pub async fn run(session: &Session, console: &Console, arguments: &SplitArgs) -> Result<(), Error> {
    let number = parts::number(&arguments.number)?;
    let wants =
        [Want::Get(Key::resource(Kind::ClusterInformation, "default")), Want::List(Listing::Resources(Kind::IpPool))];
    let mut answers = session.store().read(&wants).await?;
    let cluster: Option<Stored<ClusterInformation>> = answers.get()?;
    if cluster.and_then(|cluster| cluster.value.spec.datastore_ready) != Some(false) {
        return Err(Error::new(
            "datastore is not locked. Run the `calicoctl datastore migrate lock` command in order split the IP pools",
        ));
    }
    let pools: Vec<Stored<IpPool>> = answers.list();
    let old = find(&pools, arguments)?;
    let parts = parts::of(&old.value, number)?;
    check(&pools, old, &parts)?;
    let split = Split { session, old: old.clone(), parts };
    split.perform(console).await?;
    console.data(&split.done())
}

/// The pool that is meant.
fn find<'a>(pools: &'a [Stored<IpPool>], arguments: &SplitArgs) -> Result<&'a Stored<IpPool>, Error> {
    let instead = |text: &str| {
        let known: Vec<IpPool> = pools.iter().map(|stored| stored.value.clone()).collect();
        pools::instead(&known, text)
    };
    match (&arguments.name, &arguments.cidr) {
        (Some(name), None) => pools.iter().find(|stored| stored.value.metadata.name == *name).ok_or_else(|| {
            let key = Key::resource(Kind::IpPool, name);
            let text = format!("unable to find IP pool with name {name}: resource does not exist: {key}");
            Error::new(text).with_detail(instead(name))
        }),
        (None, Some(cidr)) => pools.iter().find(|stored| stored.value.cidr().to_string() == *cidr).ok_or_else(|| {
            Error::new(format_args!("unable to find IP pool covering the specified CIDR {cidr}"))
                .with_detail(instead(cidr))
        }),
        _ => Err(Error::new("the pool to split must be given, with either --name or --cidr")),
    }
}

/// Refuses what would fail half-way.
fn check(pools: &[Stored<IpPool>], old: &Stored<IpPool>, parts: &[IpPool]) -> Result<(), Error> {
    let (name, metadata) = (&old.value.metadata.name, &old.value.metadata.extra);
    if metadata.get("deletionTimestamp").is_some_and(|time| !time.is_null()) {
        return Err(Error::new(format_args!("IP pool {name} is being deleted")));
    }
    let finalizers = metadata.get("finalizers").and_then(|list| list.as_array());
    if finalizers.is_some_and(|list| list.iter().any(|entry| entry == FINALIZER)) {
        let text = format!("IP pool {name} cannot be split: it would stay beside its parts as long as it has blocks");
        return Err(
            Error::new(text).with_detail(format_args!("kube-controllers keeps it, by the finalizer {FINALIZER}"))
        );
    }
    let taken = parts.iter().map(|part| &part.metadata.name);
    let mut taken = taken.filter(|name| pools.iter().any(|stored| stored.value.metadata.name == **name));
    match taken.next() {
        Some(taken) => Err(Error::new(format_args!("there is an IP pool {taken} already: nothing is changed"))),
        None => Ok(()),
    }
}

/// A pool that is to be replaced by its parts.
struct Split<'a> {
    session: &'a Session,
    /// As it was found.
    old: Stored<IpPool>,
    parts: Vec<IpPool>,
}

/// What is there after an attempt.
struct State {
    created: Vec<String>,
    old: Option<Stored<IpPool>>,
}

impl Split<'_> {
    /// Disables the pool, creates the parts, and deletes the pool.
    async fn perform(&self, console: &Console) -> Result<(), Error> {
        let replaced = match self.disable().await {
            Ok(disabled) => self.replace(&disabled, console).await,
            Err(error) => Err(error),
        };
        let Err(error) = replaced else { return Ok(()) };
        // Whatever was answered: what is stored decides.
        let state = match self.look().await {
            Ok(state) => state,
            Err(_) => {
                let text = "it is not known what was changed: see `calicoctl get ippools -o wide`";
                return Err(error.with_detail(text).with_detail(self.plan()));
            }
        };
        if state.created.len() == self.parts.len() && state.old.is_none() {
            return Ok(());
        }
        Err(self.put_back(state, error).await)
    }

    /// The pool, disabled: no part may give an address that the whole gives at the same time.
    async fn disable(&self) -> Result<Stored<IpPool>, Error> {
        let mut disabled = self.old.clone();
        if disabled.value.spec.disabled {
            return Ok(disabled);
        }
        disabled.value.spec.disabled = true;
        disabled.revision = self.update(&disabled).await?;
        Ok(disabled)
    }

    async fn update(&self, pool: &Stored<IpPool>) -> Result<calico_datastore::Revision, Error> {
        let write = Write::update(pool.key.clone(), pool.revision, pool.value.clone());
        let revisions = self.commit(&[write]).await?;
        revisions.first().copied().ok_or_else(|| Error::new(format_args!("no revision was answered for {}", pool.key)))
    }

    /// Creates the parts and deletes the pool: as far as they go, in one commit.
    async fn replace(&self, old: &Stored<IpPool>, console: &Console) -> Result<(), Error> {
        let creations = self.parts.iter().map(|part| {
            let key = Key::resource(Kind::IpPool, &part.metadata.name);
            Write::create(key, part.clone())
        });
        let writes: Vec<Write> = creations.chain([Write::delete(old.key.clone(), old.revision)]).collect();
        for (index, writes_together) in writes.chunks(BATCH).enumerate() {
            console.progress("creating pools", index * BATCH, self.parts.len());
            self.commit(writes_together).await?;
        }
        Ok(())
    }

    async fn commit(&self, writes: &[Write]) -> Result<Vec<calico_datastore::Revision>, Error> {
        match self.session.store().commit(writes).await? {
            Outcome::Applied(revisions) => Ok(revisions),
            Outcome::Conflict { index, .. } => {
                Err(Error::new(format_args!("another writer changed {} meanwhile", writes[index].key)))
            }
            Outcome::Unknown(reason) => Err(Error::new(reason)),
        }
    }

    /// What is there by now, with nothing under way any more.
    async fn look(&self) -> Result<State, Error> {
        self.session.store().settle().await?;
        let wants = [Want::List(Listing::Resources(Kind::IpPool))];
        let pools: Vec<Stored<IpPool>> = self.session.store().read(&wants).await?.list();
        let is_there = |part: &&IpPool| {
            let same = |pool: &IpPool| pool.metadata.name == part.metadata.name && pool.cidr() == part.cidr();
            pools.iter().any(|stored| same(&stored.value))
        };
        let created = self.parts.iter().filter(is_there).map(|part| part.metadata.name.clone()).collect();
        Ok(State { created, old: pools.into_iter().find(|stored| stored.key == self.old.key) })
    }

    /// Enables the pool again where nothing else was changed, and says what is left to do where something was.
    async fn put_back(&self, state: State, error: Error) -> Error {
        let name = &self.old.value.metadata.name;
        let (created, all) = (state.created.len(), self.parts.len());
        let Some(mut old) = state.old else {
            let missing = self.parts.iter().filter(|part| !state.created.contains(&part.metadata.name));
            let missing: Vec<String> =
                missing.map(|part| format!("{} ({})", part.metadata.name, part.cidr())).collect();
            let error =
                error.with_detail(format_args!("IP pool {name} is gone, and {created} of {all} parts are there"));
            return error.with_detail(format_args!("create those that are missing: {}", missing.join(", ")));
        };
        if created > 0 {
            let text = format!(
                "IP pool {name} is disabled and still there, beside {created} of {all} parts, which were created: "
            );
            let advice = format!("to start again, delete these parts, and enable {name} unless you try again at once");
            return error.with_detail(text + &state.created.join(", ")).with_detail(advice);
        }
        // Nobody else has disabled it: it was enabled when it was read.
        if self.old.value.spec.disabled || !old.value.spec.disabled {
            return error.with_detail(format_args!("nothing was changed: IP pool {name} is as it was"));
        }
        old.value.spec.disabled = false;
        match self.update(&old).await {
            Ok(_) => error.with_detail(format_args!("nothing was changed: IP pool {name} is enabled again")),
            Err(again) => {
                let text = format!("IP pool {name} is disabled, and could not be enabled again: {again}");
                error.with_detail(text).with_detail(format_args!(
                    "enable it: calicoctl patch ippool {name} -p '{{\"spec\":{{\"disabled\":false}}}}'"
                ))
            }
        }
    }

    fn plan(&self) -> String {
        let (name, all) = (&self.old.value.metadata.name, self.parts.len());
        let ends = [self.parts.first(), self.parts.last()].map(|part| part.map_or("", |part| &part.metadata.name));
        format!("IP pool {name} was to be disabled, then replaced by the {all} pools {} to {}", ends[0], ends[1])
    }

    fn done(&self) -> String {
        let (name, all) = (&self.old.value.metadata.name, self.parts.len());
        let mut text = format!("IP Pool {name} was successfully split into {all} smaller pools.\n");
        for part in &self.parts {
            text += &format!("Created {} with CIDR {}.\n", part.metadata.name, part.cidr());
        }
        text + "Please refer to the documentation for final steps.\n"
    }
}

#[cfg(test)]
mod tests;
