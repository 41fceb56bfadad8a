//! `version`, and whether this program fits the cluster.

use std::time::Duration;

use calico_datastore::{Datastore, Want};
use calico_model::{ClusterInformation, Key, Kind};
use serde_json::Value;

use crate::cli::{Global, VersionArgs};
use crate::console::Console;
use crate::error::Error;
use crate::session::Session;
use crate::{config, go_duration};

/// The release of this program.
pub const CLIENT: &str = env!("CARGO_PKG_VERSION");

/// The releases of Calico whose objects this program knows.
const FITS: &str = "3";

/// What the cluster says of itself.
struct Cluster {
    version: String,
    cluster_type: String,
}

async fn read(session: &Session) -> Result<Cluster, calico_datastore::Error> {
    let key = Key::resource(Kind::ClusterInformation, "default");
    let information = session.store().read(&[Want::Get(key)]).await?.get::<ClusterInformation>()?;
    let text = |field: &str| {
        let extra = information.as_ref().map(|stored| &stored.value.spec.extra);
        extra.and_then(|extra| extra.get(field)).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    Ok(Cluster { version: text("calicoVersion"), cluster_type: text("clusterType") })
}

/// Refuses to work on a cluster whose objects this program may not know, unless that is wanted.
///
/// # Errors
/// The cluster is of a release of another kind.
pub async fn check(session: &Session, global: &Global) -> Result<(), Error> {
    if global.allow_version_mismatch {
        return Ok(());
    }
    // A cluster that cannot be asked is met again by the command itself, which has more to say.
    let Ok(Cluster { version, .. }) = read(session).await else { return Ok(()) };
    if fits(&version) {
        return Ok(());
    }
    let text = format!(
        "version mismatch.\nClient Version:   {CLIENT}, for Calico v{FITS}\nCluster Version:  {version}\nUse --allow-version-mismatch to override"
    );
    Err(Error::new(text))
}

/// Releases of one major version share their objects. What is no version, such as a build of one's own, is let through.
fn fits(version: &str) -> bool {
    let number = version.strip_prefix('v').unwrap_or(version);
    match number.split_once('.') {
        Some((major, _)) if major.parse::<u32>().is_ok() => major == FITS,
        _ => true,
    }
}

/// `version`.
pub async fn run(console: &Console, global: &Global, arguments: &VersionArgs) -> Result<(), Error> {
    let client = format!(
        "Client Version:    {CLIENT}\nGit commit:        {}\n",
        option_env!("CALICO_COMMIT").unwrap_or("unknown")
    );
    let pause = match &arguments.poll {
        None => None,
        Some(text) => {
            let invalid = || Error::new(format_args!("invalid poll duration specified: {text}"));
            Some(go_duration::parse(text).ok().filter(|pause| !pause.is_zero()).ok_or_else(invalid)?)
        }
    };
    console.data(&client)?;
    if arguments.client {
        return Ok(());
    }
    let configured = config::read(global);
    let opened = match configured {
        Ok(configured) => Session::open(configured, global.timeout, false).await,
        Err(error) => Err(error),
    };
    let session = match opened {
        Ok(session) => session,
        Err(error) => {
            console.note("Unable to detect installed Calico version");
            console.note(format_args!("  {error}"));
            return Ok(());
        }
    };
    let mut last = String::new();
    loop {
        match read(&session).await {
            Ok(Cluster { version, cluster_type }) => {
                let known = |text: String| if text.is_empty() { "unknown".to_owned() } else { text };
                let now =
                    format!("Cluster Version:   {}\nCluster Type:      {}\n", known(version), known(cluster_type));
                if now != last {
                    console.data(&now)?;
                    last = now;
                }
            }
            Err(error) if pause.is_none() => {
                return Err(Error::new(format_args!("unable to retrieve Cluster Version or Type: {error}")));
            }
            Err(error) => console.note(format_args!("unable to retrieve Cluster Version or Type: {error}")),
        }
        let Some(pause) = pause else { return Ok(()) };
        tokio::time::sleep(pause.max(Duration::from_millis(100))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_releases_of_calico_3_fit() {
        for version in ["v3.30.1", "3.32.0-0.dev", "", "master", "v3.33.0"] {
            assert!(fits(version), "{version}");
        }
        assert!(!fits("v4.0.0") && !fits("2.6.1"));
    }
}
