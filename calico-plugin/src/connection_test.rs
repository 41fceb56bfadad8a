//! `calico -t`: whether the datastore of a network configuration can be used.

use std::io::Read;
use std::time::Duration;

use calico_datastore::kubernetes::{self, Cluster};
use calico_datastore::{Datastore, Deadline, Timed};
use cni_spec::error::code;
use cni_spec::request::LONGEST_CONFIG;
use cni_spec::{Answer, Error as CniError, Fields};

use crate::config::{ClusterConf, wrong};
use crate::datastore::DatastoreConf;
use crate::error::Error;
use crate::variables::Variables;
use crate::{call, readiness};

/// The time for all of it, as upstream's.
const LIMIT: Duration = Duration::from_secs(2);

/// The code of a failed test, as upstream's: the specification leaves those from 100 on to plugins.
const NOT_CONNECTED: u32 = 100;

/// Reads a network configuration, of which only the keys of the datastore matter, connects, and looks whether the
/// datastore is ready. Nothing is printed on stdout on success. An embedded store that is absent is not created.
pub fn run(stdin: &mut impl Read) -> Answer {
    match call::block_on(test(stdin)) {
        Ok(stderr) => Answer { stderr, ..Answer::default() },
        Err(error) => {
            let details = match error.details.as_str() {
                "" => error.msg,
                advice => format!("{}; {advice}", error.msg),
            };
            let failed = CniError::new(NOT_CONNECTED, "data store connection failed").with_details(details);
            Answer { stdout: failed.to_json(), stderr: String::new(), exit: 1 }
        }
    }
}

/// Answers what is to be told to a person all the same.
async fn test(stdin: &mut impl Read) -> Result<String, CniError> {
    let mut text = String::new();
    let unreadable = |error: String| CniError::new(code::DECODING_FAILURE, format!("failed to load netconf: {error}"));
    // What is cut off is no JSON.
    stdin.take(LONGEST_CONFIG).read_to_string(&mut text).map_err(|error| unreadable(error.to_string()))?;
    if text.trim().is_empty() {
        return Err(unreadable("stdin is empty, expected a JSON object".to_owned()));
    }
    let config = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
    let fields = Fields::of(&config, "").map_err(wrong)?;
    let variables = Variables::of_process();
    let conf = DatastoreConf::read(&fields, &variables)?;

    if let DatastoreConf::Local(path) = &conf
        && !path.exists()
    {
        return Ok(format!("there is no store {} yet: the first ADD creates it\n", path.display()));
    }
    let deadline = Deadline::after(LIMIT);
    let store = conf.open(deadline).await?;
    let read = Timed::new(&store, deadline).read(&[readiness::want()]).await;
    let mut answers = read.map_err(|error| {
        let advice = match error {
            calico_datastore::Error::TimedOut { .. } => calico_datastore::Error::TIMEOUT_ADVICE,
            _ => "",
        };
        CniError::from(Error::ClusterInformation(error.to_string())).with_details(advice)
    })?;
    readiness::check(&mut answers)?;

    let cluster = ClusterConf::read(&fields, &variables)?;
    if cluster.is_configured {
        // What runtimes ask pods of: only the file counts, as upstream has it.
        let settings = kubernetes::Settings { kubeconfig: cluster.settings.kubeconfig, ..Default::default() };
        let version = async { Cluster::open(&settings, &store, deadline).await?.version().await };
        version.await.map_err(Error::Datastore)?;
    }
    Ok(String::new())
}
