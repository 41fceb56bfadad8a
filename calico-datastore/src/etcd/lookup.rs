//! The SRV records of one name, from the name servers of this host.

use std::time::Duration;

use super::dns::{Answer, Question, Record};
use super::resolv_conf::ResolvConf;
use crate::deadline::Deadline;

/// Why there are no records.
#[derive(Debug)]
pub struct Nothing {
    /// What was asked for, of whom, and what each of them said.
    pub text: String,
    /// Whether it is known that there are none. If not, nobody could tell.
    pub is_certain: bool,
}

/// Records with hosts in them, for a name that may be relative.
pub async fn lookup(conf: &ResolvConf, name: &str, deadline: Deadline) -> Result<Vec<Record>, Nothing> {
    let mut texts = Vec::new();
    for name in conf.names(name) {
        let question = match Question::new(&name) {
            Ok(question) => question,
            Err(reason) => {
                texts.push(reason);
                continue;
            }
        };
        let (text, is_certain) = match ask_all(conf, &question, deadline).await {
            Ok((server, Answer::Records(records))) => match with_hosts(records) {
                Ok(records) => return Ok(records),
                // It is the name that was meant.
                Err(reason) => {
                    texts.push(format!("{name}: {server} {reason}"));
                    return Err(Nothing { text: texts.join("; "), is_certain: true });
                }
            },
            Ok((server, Answer::NoRecords)) => (format!("{name}: {server} says that it has no SRV records"), true),
            Ok((server, Answer::NoName)) => (format!("{name}: {server} says NXDOMAIN: there is no such name"), true),
            Err(text) => (format!("{name}: {text}"), false),
        };
        texts.push(text);
        // As long as it is open whether the name exists, no other may take its place: that would be another cluster's.
        if !is_certain {
            return Err(Nothing { text: texts.join("; "), is_certain });
        }
    }
    Err(Nothing { text: texts.join("; "), is_certain: true })
}

/// The first answer, and whose it is; else what became of each server.
async fn ask_all(conf: &ResolvConf, question: &Question, deadline: Deadline) -> Result<(String, Answer), String> {
    let mut troubles = vec![String::new(); conf.servers.len()];
    for _ in 0..conf.attempts {
        for (number, server) in conf.servers.iter().enumerate() {
            let patience = patience(conf, conf.servers.len() - number, deadline.left());
            match question.ask(*server, patience).await {
                Ok(answer) => return Ok((server.ip().to_string(), answer)),
                Err(trouble) => troubles[number] = format!("{} {trouble}", server.ip()),
            }
        }
    }
    Err(troubles.join(", "))
}

/// How long a server may take where so many are still to be asked: of the time that is left, one more share is for
/// connecting to what is found.
fn patience(conf: &ResolvConf, servers: usize, left: Duration) -> Duration {
    conf.timeout.min(left / u32::try_from(servers + 1).unwrap_or(u32::MAX))
}

/// Those of the records that name a host. The error is in words that continue a server's name.
fn with_hosts(mut records: Vec<Record>) -> Result<Vec<Record>, String> {
    if records.iter().all(|record| record.target.is_empty()) {
        return Err("says that this service is not offered there (the target of its record is \".\")".to_owned());
    }
    let described = records.iter().find(|record| !record.target.is_empty()).map(|record| record.target.clone());
    records.retain(|record| is_host_name(&record.target));
    match records.is_empty() {
        false => Ok(records),
        true => Err(format!("has records whose targets are no host names: {:?}", described.unwrap_or_default())),
    }
}

/// Whether a name, without a dot at the end, is one for hosts or services.
pub fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_shared_by_those_who_need_it() {
        let conf = ResolvConf::default();
        let seconds = |servers, left| patience(&conf, servers, Duration::from_secs(left)).as_secs();
        assert_eq!((seconds(1, 10), seconds(1, 6), seconds(1, 100)), (5, 3, 5));
        assert_eq!((seconds(2, 9), seconds(3, 8), seconds(3, 0)), (3, 2, 0));
    }

    #[test]
    fn host_names() {
        let long = format!("{}.org", "a".repeat(63));
        for name in ["a", "etcd-0.example.org", "10.0.0.1", "_x._tcp.example.org", long.as_str()] {
            assert!(is_host_name(name), "{name}");
        }
        let (label, all) = (format!("{}.org", "a".repeat(64)), vec!["abcdefg"; 32].join("."));
        for name in ["", ".", "a.", ".a", "a..b", "a b", "a/b", "a:1", "a@b", "é.org", "a\\.b", &label, &all] {
            assert!(!is_host_name(name), "{name}");
        }
    }

    fn record(target: &str) -> Record {
        Record { priority: 0, weight: 0, port: 2379, target: target.to_owned() }
    }

    #[test]
    fn targets_that_are_no_hosts_are_left_out() {
        let hosts = with_hosts(vec![record("a/b"), record("a.example.org"), record("")]).unwrap();
        assert_eq!(hosts, [record("a.example.org")]);
        assert!(with_hosts(vec![record("")]).unwrap_err().contains("not offered there"));
        assert!(with_hosts(vec![record(""), record("a/b")]).unwrap_err().ends_with("no host names: \"a/b\""));
    }
}
