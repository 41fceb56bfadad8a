//! The process: attempts until one succeeds, or until it is asked to end.

use std::time::Duration;

use calico_datastore::kubernetes::{self, Cluster, Kubernetes};
use calico_datastore::{Deadline, Store};
use calico_model::kubernetes::Group;
use calico_plugin::config::DatastoreConf;
use calico_plugin::log::Level;
use calico_plugin::log::Value::{Plain, Text};
use calico_plugin::{Log, Variables, call};
use cni_spec::Answer;

use super::error::Error;
use super::migration::{LIMIT, Migration, Places};

/// The time between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// After how many attempts that failed alike that is said again.
const SAID_AGAIN: usize = 30;

/// The time to open the datastore in when the process is asked to end.
const FAREWELL: Duration = Duration::from_secs(5);

/// Takes over the addresses of the node that `KUBERNETES_NODE_NAME` names, however often that must be tried. Logs to stderr.
///
/// The exit status is 0 when nothing is left to do; 1 if the process was asked to end before, or the environment cannot be
/// used.
pub fn run() -> Answer {
    let log = Log::open("ipam", Level::Info, None);
    let node = std::env::var("KUBERNETES_NODE_NAME").unwrap_or_default();
    if node.is_empty() {
        let advice = "set it to spec.nodeName of this pod";
        log.error("KUBERNETES_NODE_NAME is not set: which node's addresses?", &[("advice", Text(advice))]);
        return Answer { exit: 1, ..Answer::default() };
    }
    let result = call::block_on(async { Ok(until_done(&log, &node).await) });
    let exit = match result {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => {
            log.error("ending before the addresses are taken over", &[("error", Plain(&error))]);
            1
        }
        Err(error) => {
            log.error("cannot begin", &[("error", Plain(&error))]);
            1
        }
    };
    Answer { exit, ..Answer::default() }
}

async fn until_done(log: &Log, node: &str) -> Result<(), Error> {
    let (settings, group) = DatastoreConf::kubernetes_of_environment(&Variables::of_process())?;
    let api = Api { settings, group, log, node, places: Places::default() };
    let ended = call::until_signal(async {
        api.attempts().await;
        Ok(())
    });
    match ended.await {
        Ok(()) => Ok(()),
        Err(error) => {
            // If nobody starts it again, the whole cluster would wait.
            let opened = Deadline::after(FAREWELL).bound(api.open_datastore()).await;
            if let Some(Err(error)) = opened {
                let advice = "if it is not started again: calicoctl datastore migrate unlock";
                let fields = [("advice", Text(advice)), ("error", Plain(&error))];
                log.error("could not look whether the datastore is to be opened", &fields);
            }
            Err(error)
        }
    }
}

/// How the API is reached, and for what.
struct Api<'a> {
    settings: kubernetes::Settings,
    group: Option<Group>,
    log: &'a Log,
    node: &'a str,
    places: Places,
}

impl Api<'_> {
    /// Tries until it succeeds.
    async fn attempts(&self) {
        let (mut said, mut alike) = (String::new(), 0);
        loop {
            let Err(error) = self.attempt().await else { return };
            let (text, advice) = (error.to_string(), error.advice());
            alike = if text == said { alike + 1 } else { 0 };
            if alike % SAID_AGAIN == 0 {
                let fields = [("advice", Text(&advice)), ("error", Plain(&text))];
                self.log.error("the addresses are not taken over yet: trying again", &fields);
            }
            said = text;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn attempt(&self) -> Result<(), Error> {
        if self.places.are_done() {
            // A node that starts needs no API for that.
            return Ok(());
        }
        let (store, cluster) = self.connect().await?;
        self.migration(&store, &cluster).attempt().await
    }

    async fn open_datastore(&self) -> Result<(), Error> {
        if !self.places.may_be_closed() {
            return Ok(());
        }
        let (store, cluster) = self.connect().await?;
        self.migration(&store, &cluster).open().await
    }

    async fn connect(&self) -> Result<(Store, Cluster), Error> {
        let deadline = Deadline::after(LIMIT);
        let store = Store::Kubernetes(Kubernetes::open(&self.settings, self.group, deadline).await?);
        let cluster = Cluster::open(&self.settings, &store, deadline).await?;
        Ok((store, cluster))
    }

    fn migration<'m>(&'m self, store: &'m Store, orchestrator: &'m Cluster) -> Migration<'m, Store, Cluster> {
        Migration { store, orchestrator, node: self.node, places: &self.places, log: self.log }
    }
}
