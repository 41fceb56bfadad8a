//! Pools as people name them: by name, or by CIDR.

use calico_model::{IpPool, cidr};
use ipnetwork::IpNetwork;

use crate::error::Error;
use crate::suggest;

/// The pool that a text names: a CIDR where it has a slash, or else a name.
pub fn named<'a>(pools: &'a [IpPool], text: &str) -> Result<&'a IpPool, Error> {
    let found = if text.contains('/') {
        let wanted: IpNetwork =
            text.parse().map_err(|error| Error::new(format_args!("{text:?} is neither a CIDR nor a name: {error}")))?;
        let wanted = cidr::masked(&wanted);
        pools.iter().find(|pool| pool.cidr() == wanted)
    } else {
        pools.iter().find(|pool| pool.metadata.name == text)
    };
    found.ok_or_else(|| Error::new(format_args!("there is no IP pool {text}")).with_detail(instead(pools, text)))
}

/// What may have been meant by the name or CIDR of a pool that does not exist.
pub fn instead(pools: &[IpPool], text: &str) -> String {
    /// More would not help anybody.
    const MOST: usize = 20;
    let texts: Vec<(String, String)> =
        pools.iter().map(|pool| (pool.metadata.name.clone(), pool.cidr().to_string())).collect();
    let known = texts.iter().flat_map(|(name, cidr)| [name.as_str(), cidr.as_str()]);
    if let Some(meant) = suggest::closest(text, known) {
        return format!("did you mean {meant}?");
    }
    let mut list: Vec<String> = texts.iter().take(MOST).map(|(name, cidr)| format!("{name} ({cidr})")).collect();
    match texts.len() {
        0 => return "there are no pools".to_owned(),
        all if all > MOST => list.push(format!("and {} more", all - MOST)),
        _ => {}
    }
    format!("there are: {}", list.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_name_or_cidr() {
        let pools = [("blue", "10.1.0.0/16"), ("red", "fd00::/64")]
            .map(|(name, cidr)| IpPool::routed(name, cidr.parse().unwrap()));
        for (text, name) in [("blue", "blue"), ("10.1.2.3/16", "blue"), ("fd00:0::/64", "red")] {
            assert_eq!(named(&pools, text).unwrap().metadata.name, name);
        }
        let details = |text: &str| {
            let Error { text, details } = named(&pools, text).unwrap_err();
            (text, details.join("\n"))
        };
        assert_eq!(details("bleu"), ("there is no IP pool bleu".to_owned(), "did you mean blue?".to_owned()));
        assert_eq!(details("xyz").1, "there are: blue (10.1.0.0/16), red (fd00::/64)");
        assert!(details("10.1.0.0/33").0.contains("neither a CIDR nor a name"));
    }
}
