//! One operation of address management that the plugins have no command for. Tests run this on a host that reaches an etcd.
//!
//! `ipam URL NODE claim CIDR`: claims the blocks in CIDR for NODE, and prints how many it has then.
//! `ipam URL NODE release CIDR`: gives up NODE's blocks in CIDR in which no address is in use, and prints what became of each.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use calico_datastore::etcd::{Etcd, Members, Settings};
use calico_datastore::{Deadline, Timed};
use calico_ipam::Ipam;

const TIME: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, node, operation, cidr] = arguments.as_slice() else {
        eprintln!("usage: ipam URL NODE claim|release CIDR");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match runtime.block_on(run(url, node, operation, cidr)) {
        Ok(answer) => {
            let _ = writeln!(std::io::stdout(), "{answer}");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

async fn run(url: &str, node: &str, operation: &str, cidr: &str) -> Result<String, String> {
    let cidr = cidr.parse().map_err(|e| format!("{cidr}: {e}"))?;
    let settings = Settings::to(Members::Listed(vec![url.to_owned()]));
    let deadline = Deadline::after(TIME);
    let store = Etcd::open(&settings, deadline).await.map_err(|e| e.to_string())?;
    let ipam = Ipam::new(Timed::new(&store, deadline), node, SystemTime::now());
    match operation {
        "claim" => {
            let claims = ipam.claim_affinities(cidr, None).await.map_err(|e| e.to_string())?;
            Ok(format!("claimed {}", claims.claimed.len()))
        }
        "release" => {
            let releases = ipam.release_affinities(cidr, true).await.map_err(|e| e.to_string())?;
            match releases.malformed.first() {
                Some(malformed) => Err(malformed.to_string()),
                None => Ok(releases.ends.iter().map(|(_, block, end)| format!("{block} {end:?}\n")).collect()),
            }
        }
        _ => Err(format!("{operation} is no operation: there are claim and release")),
    }
}
