//! Which pools an allocation may use.

use calico_model::pool::Use;
use calico_model::{IpPool, IpVersion};
use ipnetwork::IpNetwork;

use crate::error::Error;

/// The enabled pools of a family, in the order of their names.
pub(crate) fn enabled(pools: &[IpPool], version: IpVersion) -> Vec<&IpPool> {
    pools.iter().filter(|pool| pool.version() == version && pool.is_enabled()).collect()
}

/// The pools to allocate from, in order. Requested pools are used whatever their selectors and mode say.
pub(crate) fn select(
    pools: &[IpPool],
    version: IpVersion,
    requested: &[IpNetwork],
    node: &str,
) -> Result<Vec<IpPool>, Error> {
    let enabled = enabled(pools, version);
    let fitting: Vec<&IpPool> = enabled.iter().copied().filter(|pool| has_usable_blocks(pool)).collect();
    if fitting.is_empty() {
        return Err(Error::NoPool { version });
    }
    let mut chosen = Vec::new();
    for cidr in requested {
        let Some(pool) = fitting.iter().find(|pool| pool.cidr() == *cidr) else {
            let enabled = enabled.iter().map(|pool| pool.cidr()).collect();
            return Err(Error::PoolNotEnabled { cidr: *cidr, enabled });
        };
        chosen.push(*pool);
    }
    if requested.is_empty() {
        for pool in fitting.iter().filter(|pool| pool.is_automatic()) {
            matches_everything(pool, "node", &pool.spec.node_selector)?;
            matches_everything(pool, "namespace", &pool.spec.namespace_selector)?;
            chosen.push(pool);
        }
    }
    if chosen.is_empty() {
        let manual = fitting.iter().map(|pool| pool.metadata.name.clone()).collect();
        return Err(Error::NoPoolForNode { node: node.to_owned(), manual });
    }
    chosen.retain(|pool| pool.allows(&Use::Workload));
    if chosen.is_empty() {
        return Err(Error::NoPoolForUse);
    }
    Ok(chosen.into_iter().cloned().collect())
}

/// Whether blocks of the pool's size lie in the pool and have a size that blocks may have: /20 to /32, /116 to /128.
pub(crate) fn has_usable_blocks(pool: &IpPool) -> bool {
    let bits = pool.version().bits();
    (pool.cidr().prefix().max(bits - 12)..=bits).contains(&pool.block_size())
}

fn matches_everything(pool: &IpPool, kind: &'static str, selector: &str) -> Result<(), Error> {
    if matches!(selector.trim(), "" | "all()") {
        return Ok(());
    }
    Err(Error::Selector { pool: pool.metadata.name.clone(), kind, selector: selector.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(name: &str, cidr: &str) -> IpPool {
        IpPool::routed(name, cidr.parse().unwrap())
    }

    fn names(chosen: Result<Vec<IpPool>, Error>) -> Vec<String> {
        chosen.unwrap().into_iter().map(|p| p.metadata.name).collect()
    }

    #[test]
    fn automatic_pools_of_the_family_in_name_order() {
        let mut manual = pool("b", "10.1.0.0/16");
        manual.spec.assignment_mode = "Manual".into();
        let pools = [pool("a", "10.0.0.0/16"), manual, pool("c", "fd00::/64"), pool("d", "10.2.0.0/16")];
        assert_eq!(names(select(&pools, IpVersion::V4, &[], "n")), ["a", "d"]);
        let requested = ["10.1.0.0/16".parse().unwrap(), "10.0.0.0/16".parse().unwrap()];
        assert_eq!(names(select(&pools, IpVersion::V4, &requested, "n")), ["b", "a"]);
    }

    #[test]
    fn refusals_use_the_known_texts() {
        let mut off = pool("off", "10.0.0.0/16");
        off.spec.disabled = true;
        let text = |pools: &[IpPool], requested: &[IpNetwork]| {
            select(pools, IpVersion::V4, requested, "node-1").unwrap_err().to_string()
        };
        assert_eq!(text(&[], &[]), "cannot find a qualified ippool");
        assert_eq!(text(&[off.clone()], &[]), "cannot find a qualified ippool");
        for size in [15, 16, 33] {
            let mut odd = pool("odd", "10.4.0.0/16");
            odd.spec.block_size = size;
            assert_eq!(text(&[odd], &[]), "cannot find a qualified ippool");
        }
        let on = pool("on", "10.5.0.0/16");
        assert_eq!(
            text(&[off.clone(), on.clone()], &[off.cidr()]),
            "the given pool (10.0.0.0/16) does not exist, or is not enabled"
        );
        let mut manual = on.clone();
        manual.spec.assignment_mode = "Manual".into();
        assert_eq!(text(&[manual], &[]), "no configured Calico pools for node node-1");
        let mut tunnels = on.clone();
        tunnels.spec.allowed_uses = vec![Use::Tunnel];
        assert!(text(&[tunnels], &[]).ends_with("no pools match the required use (Workload)"));
        let mut picky = on;
        picky.spec.node_selector = "zone == 'a'".into();
        assert!(text(&[picky], &[]).contains("selector \"zone == 'a'\" of pool on"));
    }
}
