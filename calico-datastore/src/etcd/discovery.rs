//! Finding etcd's members by the SRV records of a domain, with the names, the order and the schemes of etcd's own
//! clients.

use std::path::Path;

use super::dns::Record;
use super::lookup::{Nothing, is_host_name, lookup};
use super::resolv_conf::ResolvConf;
use crate::deadline::Deadline;
use crate::error::Error;

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// What to do where no members are recorded.
const ABSENT: &str = "add SRV records of etcd's members to the domain, for either service (with -ssl: https), or correct etcd_discovery_srv";

/// What to do where nobody can tell.
const UNANSWERED: &str =
    "check the name servers in /etc/resolv.conf and the way to them, or list the members in etcd_endpoints instead";

/// The members' URLs in the order in which they are to be tried: those with https before those with http, each by
/// priority and, among equals, by weights and the process's ID.
pub async fn find(domain: &str, process: u32, deadline: Deadline) -> Result<Vec<String>, Error> {
    if !is_host_name(domain.strip_suffix('.').unwrap_or(domain)) {
        // Not shown: in a URL, which is the likely mistake, there may be a password.
        return Err(Error::Invalid {
            store: "etcd".to_owned(),
            reason: "etcd_discovery_srv is no domain name".to_owned(),
            advice: "give a domain such as example.org, in ASCII, without scheme and port".into(),
        });
    }
    let conf = ResolvConf::read(Path::new(RESOLV_CONF));
    let names = [format!("_etcd-client-ssl._tcp.{domain}"), format!("_etcd-client._tcp.{domain}")];
    let (https, http) = tokio::join!(lookup(&conf, &names[0], deadline), lookup(&conf, &names[1], deadline));
    match (https, http) {
        (Err(https), Err(http)) => Err(nothing(domain, &https, &http)),
        (https, http) => {
            let urls = |scheme: &'static str, records: Vec<Record>| {
                let ordered = ordered(records, process).into_iter();
                ordered.map(move |record| format!("{scheme}://{}:{}", record.target, record.port))
            };
            let (https, http) = (https.unwrap_or_default(), http.unwrap_or_default());
            Ok(urls("https", https).chain(urls("http", http)).collect())
        }
    }
}

fn nothing(domain: &str, https: &Nothing, http: &Nothing) -> Error {
    let advice = if https.is_certain && http.is_certain { ABSENT } else { UNANSWERED };
    let store = format!("etcd by the SRV records of {domain}");
    Error::Unreachable { doing: "find", store, reason: format!("{}; {}", https.text, http.text), advice: advice.into() }
}

/// Records in the order in which they are to be tried (RFC 2782). What is left to chance is a function of `seed` and of
/// the set of records, which servers give in any order.
fn ordered(found: Vec<Record>, seed: u32) -> Vec<Record> {
    let mut records = Vec::with_capacity(found.len());
    for record in found {
        // One that is there already is only a repetition.
        if let Err(place) = records.binary_search(&record) {
            records.insert(place, record);
        }
    }
    let mut state = u64::from(seed);
    for start in 0..records.len() {
        let priority = records[start].priority;
        let equals = records[start..].iter().take_while(|record| record.priority == priority);
        // A weight of 0 is a small share, unless all are 0.
        let shares: Vec<u64> = equals.map(|record| u64::from(record.weight) * 1000 + 1).collect();
        let mut point = scattered(&mut state) % shares.iter().sum::<u64>();
        let is_beyond = |share: &&u64| match point.checked_sub(**share) {
            Some(rest) => {
                point = rest;
                true
            }
            None => false,
        };
        let chosen = start + shares.iter().take_while(is_beyond).count();
        records[start..=chosen].rotate_right(1);
    }
    records
}

/// The next number of a sequence in which neighbouring beginnings have nothing in common (SplitMix64).
fn scattered(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(priority: u16, weight: u16, target: &str) -> Record {
        Record { priority, weight, port: 2379, target: target.to_owned() }
    }

    fn targets(records: &[Record], seed: u32) -> String {
        ordered(records.to_vec(), seed).iter().map(|record| record.target.as_str()).collect()
    }

    /// How often each target is the first, of 1000 processes.
    fn firsts<const N: usize>(records: &[Record], names: [&str; N]) -> [usize; N] {
        names.map(|name| (0..1000).filter(|seed| targets(records, *seed).starts_with(name)).count())
    }

    #[test]
    fn priorities_come_first() {
        let records = [record(20, 65535, "c"), record(10, 0, "b"), record(0, 0, "a"), record(65535, 1, "d")];
        assert!((0..1000).all(|seed| targets(&records, seed) == "abcd"));
        assert_eq!(targets(&[], 0), "");
    }

    #[test]
    fn the_order_of_the_answer_does_not_matter() {
        let records = [record(1, 2, "a"), record(1, 1, "b"), record(1, 7, "c"), record(1, 2, "a")];
        let turned: Vec<Record> = records.iter().rev().cloned().collect();
        for seed in 0..100 {
            let order = targets(&records, seed);
            assert_eq!(order.len(), 3, "{order}");
            assert_eq!(order, targets(&turned, seed));
        }
    }

    #[test]
    fn weights_are_shares() {
        let [a, b] = firsts(&[record(1, 3, "a"), record(1, 1, "b")], ["a", "b"]);
        assert!(a + b == 1000 && (700..800).contains(&a), "{a} {b}");
        let [a, b] = firsts(&[record(1, 1, "a"), record(1, 0, "b")], ["a", "b"]);
        assert!(a + b == 1000 && a > 990, "{a} {b}");
        let heavy = [record(1, 65535, "a"), record(1, 65535, "b")];
        assert!(firsts(&heavy, ["a", "b"]).iter().all(|count| *count > 450));
    }

    #[test]
    fn without_weights_all_are_equal() {
        let records = ["a", "b", "c"].map(|name| record(1, 0, name));
        assert!(firsts(&records, ["a", "b", "c"]).iter().all(|count| (280..390).contains(count)));
        assert!(firsts(&records, ["abc", "acb"]).iter().all(|count| (130..200).contains(count)));
    }

    #[test]
    fn what_is_no_domain_is_not_asked_for() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for domain in ["", ".", "https://me:swordfish@example.org", "example.org:2379", "a..b", "exämple.org", "a,b"] {
            let deadline = || Deadline::after(std::time::Duration::from_secs(1));
            let error = runtime.block_on(async { find(domain, 1, deadline()).await }).unwrap_err().to_string();
            assert!(!error.contains("swordfish"), "{error}");
            assert!(error.contains("etcd_discovery_srv is no domain name; give a domain"), "{domain:?}: {error}");
        }
    }
}
