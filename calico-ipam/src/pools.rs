//! Which pools an allocation may use, and why not the others.

use std::collections::BTreeMap;
use std::fmt;

use calico_model::pool::Use;
use calico_model::selector::Selector;
use calico_model::{IpPool, IpVersion, cidr};
use ipnetwork::IpNetwork;

use crate::HostReserve;
use crate::error::Error;
use crate::inputs::Inputs;

/// What an allocation asks of the pools of one family.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish<'a> {
    pub version: IpVersion,
    /// What the addresses are for.
    pub intended_use: &'a Use,
    /// The pools that are asked for; none for all that may be used without being asked for.
    pub requested: &'a [IpNetwork],
    /// The labels of the namespace, if there is one.
    pub namespace: &'a BTreeMap<String, String>,
    /// What is set aside in each new block.
    pub reserve: Option<&'a HostReserve>,
}

/// What was decided about one pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The pool's name.
    pub pool: String,
    /// The pool's addresses.
    pub cidr: IpNetwork,
    /// Whether it may be used, and if not, why.
    pub answer: Answer,
}

/// Whether a pool may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It may.
    Chosen,
    /// It is enabled; nothing else was asked.
    Available,
    /// It is disabled, or being deleted, or not allocatable, as this says.
    Unavailable(String),
    /// Its blocks have a size that blocks cannot have, or too few addresses for what is set aside in each.
    BlockSize(u8),
    /// Others were asked for.
    NotRequested,
    /// It is used only when it is asked for: its `assignmentMode` is this.
    Manual(String),
    /// Its node selector does not match this node's labels.
    NodeSelector(String),
    /// Its namespace selector does not match the namespace's labels.
    NamespaceSelector(String),
    /// It is for these uses only.
    Uses(Vec<Use>),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) {}", self.pool, self.cidr, self.answer)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Chosen => f.write_str("may be used"),
            Answer::Available => f.write_str("is enabled"),
            Answer::Unavailable(why) => f.write_str(why),
            Answer::BlockSize(size) => write!(f, "has blocks of the size /{size}, which cannot be used"),
            Answer::NotRequested => f.write_str("was not asked for"),
            Answer::Manual(mode) => {
                write!(f, "has the assignmentMode {mode}: it is used only when it is asked for")
            }
            Answer::NodeSelector(selector) => write!(f, "is not for this node: nodeSelector {selector}"),
            Answer::NamespaceSelector(selector) => {
                write!(f, "is not for this namespace: namespaceSelector {selector}")
            }
            Answer::Uses(uses) => write!(f, "is for other uses: allowedUses [{}]", list(uses)),
        }
    }
}

/// Verdicts as part of a sentence.
pub(crate) fn all(verdicts: &[Verdict]) -> String {
    match verdicts {
        [] => "there are none".to_owned(),
        verdicts => verdicts.iter().map(Verdict::to_string).collect::<Vec<_>>().join("; "),
    }
}

/// Uses as the established implementation lists them.
pub(crate) fn list(uses: &[Use]) -> String {
    uses.iter().cloned().map(String::from).collect::<Vec<_>>().join(" ")
}

/// The pools to allocate from, in order, and what was decided about each pool of the family.
#[derive(Debug)]
pub(crate) struct Selection {
    pub pools: Vec<IpPool>,
    pub verdicts: Vec<Verdict>,
}

impl Selection {
    /// Whether a block lies in one of the pools.
    pub fn contains(&self, block: &IpNetwork) -> bool {
        self.pools.iter().any(|pool| cidr::contains(&pool.cidr(), block))
    }
}

/// The enabled pools of a family, in the order of their names.
pub(crate) fn enabled(pools: &[IpPool], version: IpVersion) -> impl Iterator<Item = &IpPool> {
    pools.iter().filter(move |pool| pool.version() == version && pool.is_enabled())
}

/// Which pools of a family are available at all.
pub(crate) fn availability(pools: &[IpPool], version: IpVersion) -> Vec<Verdict> {
    let verdict = |pool: &IpPool| {
        let answer = pool.unavailable().map_or(Answer::Available, Answer::Unavailable);
        Verdict { pool: pool.metadata.name.clone(), cidr: pool.cidr(), answer }
    };
    pools.iter().filter(|pool| pool.version() == version).map(verdict).collect()
}

/// Chooses pools. Those that are asked for are used whatever their selectors and mode say, in the order they are asked for.
///
/// # Errors
/// No pool is left, or one that is asked for cannot be used, or a selector cannot be read. The text is the established
/// implementation's; [`Error::advice`] has the verdicts.
pub(crate) fn select(inputs: &Inputs, owner: &str, wish: Wish<'_>) -> Result<Selection, Error> {
    if wish.requested.iter().any(|pool| cidr::version(pool) != wish.version) {
        return Err(Error::WrongFamily { version: wish.version, other: IpVersion::other(wish.version) });
    }
    let of_family = || inputs.pools.iter().filter(|pool| pool.version() == wish.version);
    let mut verdicts = Vec::new();
    for pool in of_family() {
        let (name, cidr) = (pool.metadata.name.clone(), pool.cidr());
        verdicts.push(Verdict { pool: name, cidr, answer: judge(pool, inputs, wish)? });
    }
    let fits = |verdict: &Verdict| !matches!(verdict.answer, Answer::Unavailable(_) | Answer::BlockSize(_));
    if !verdicts.iter().any(fits) {
        return Err(Error::NoPool { version: wish.version, verdicts });
    }
    for &cidr in wish.requested {
        if !verdicts.iter().any(|verdict| verdict.cidr == cidr && fits(verdict)) {
            return Err(Error::PoolNotEnabled { cidr, verdicts });
        }
    }
    let for_other_uses = |verdict: &Verdict| matches!(verdict.answer, Answer::Uses(_));
    let is_chosen = |verdict: &&Verdict| verdict.answer == Answer::Chosen;
    let chosen: Vec<IpNetwork> = match wish.requested {
        [] => verdicts.iter().filter(is_chosen).map(|verdict| verdict.cidr).collect(),
        requested => {
            let may_be_used = |cidr: &&IpNetwork| verdicts.iter().filter(is_chosen).any(|v| v.cidr == **cidr);
            requested.iter().filter(may_be_used).copied().collect()
        }
    };
    if chosen.is_empty() && verdicts.iter().any(for_other_uses) {
        return Err(Error::NoPoolForUse { intended_use: wish.intended_use.clone(), verdicts });
    }
    if chosen.is_empty() {
        return Err(Error::NoPoolForNode { node: owner.to_owned(), verdicts });
    }
    let pools = chosen.iter().filter_map(|cidr| of_family().find(|pool| pool.cidr() == *cidr && pool.is_enabled()));
    Ok(Selection { pools: pools.cloned().collect(), verdicts })
}

fn judge(pool: &IpPool, inputs: &Inputs, wish: Wish<'_>) -> Result<Answer, Error> {
    if let Some(why) = pool.unavailable() {
        return Ok(Answer::Unavailable(why));
    }
    if !has_usable_blocks(pool) || !leaves_room(pool, wish.reserve)? {
        return Ok(Answer::BlockSize(pool.block_size()));
    }
    if !wish.requested.is_empty() {
        if !wish.requested.contains(&pool.cidr()) {
            return Ok(Answer::NotRequested);
        }
    } else {
        if !pool.is_automatic() {
            return Ok(Answer::Manual(pool.spec.assignment_mode.clone()));
        }
        if !selector(pool, "node", &pool.spec.node_selector)?.matches(&inputs.labels) {
            return Ok(Answer::NodeSelector(pool.spec.node_selector.clone()));
        }
        if !selector(pool, "namespace", &pool.spec.namespace_selector)?.matches(wish.namespace) {
            return Ok(Answer::NamespaceSelector(pool.spec.namespace_selector.clone()));
        }
    }
    if !pool.allows(wish.intended_use) {
        return Ok(Answer::Uses(pool.spec.allowed_uses.clone()));
    }
    Ok(Answer::Chosen)
}

fn selector(pool: &IpPool, kind: &'static str, text: &str) -> Result<Selector, Error> {
    Selector::parse(text).map_err(|error| Error::Selector {
        pool: pool.metadata.name.clone(),
        kind,
        selector: text.to_owned(),
        reason: error.to_string(),
    })
}

/// Whether blocks of the pool's size lie in the pool and have a size that blocks may have: /20 to /32, /116 to /128.
pub(crate) fn has_usable_blocks(pool: &IpPool) -> bool {
    let bits = pool.version().bits();
    (pool.cidr().prefix().max(bits - 12)..=bits).contains(&pool.block_size())
}

/// Whether a block has more addresses than are set aside in it.
fn leaves_room(pool: &IpPool, reserve: Option<&HostReserve>) -> Result<bool, Error> {
    let Some(reserve) = reserve else { return Ok(true) };
    let aside = reserve.start.saturating_add(reserve.end);
    let needed = u8::try_from(usize::BITS - aside.leading_zeros()).unwrap_or(u8::MAX);
    match pool.version().bits().checked_sub(needed) {
        Some(longest) if aside > 0 && longest > 0 => Ok(pool.block_size() <= longest),
        _ => Err(Error::WrongReserve),
    }
}

/// That the blocks of a pool have a size that blocks cannot have.
pub(crate) fn unusable_blocks(pool: &IpPool) -> Verdict {
    let (name, answer) = (pool.metadata.name.clone(), Answer::BlockSize(pool.block_size()));
    Verdict { pool: name, cidr: pool.cidr(), answer }
}

/// The enabled pool that a block, or a range of blocks, lies in.
pub(crate) fn around<'a>(pools: &'a [IpPool], range: &IpNetwork) -> Option<&'a IpPool> {
    enabled(pools, cidr::version(range)).find(|pool| cidr::contains(&pool.cidr(), range))
}

/// Whether the pool that a block lies in, if it is enabled, is for some nodes only.
pub(crate) fn chooses_nodes(pools: &[IpPool], block: &IpNetwork) -> bool {
    around(pools, block).is_some_and(|pool| !matches!(pool.spec.node_selector.trim(), "" | "all()"))
}

/// Whether the pool that a block lies in, if it is enabled, does not choose the node with these labels any more. A selector
/// that cannot be read takes nothing away.
pub(crate) fn is_deselected(pools: &[IpPool], labels: &BTreeMap<String, String>, block: &IpNetwork) -> bool {
    let pool = around(pools, block);
    pool.is_some_and(|pool| Selector::parse(&pool.spec.node_selector).is_ok_and(|chosen| !chosen.matches(labels)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use calico_model::IpamConfig;
    use calico_model::reservation::Reservations;

    fn pool(name: &str, cidr: &str) -> IpPool {
        IpPool::routed(name, cidr.parse().unwrap())
    }

    fn changed(name: &str, cidr: &str, change: impl FnOnce(&mut IpPool)) -> IpPool {
        let mut pool = pool(name, cidr);
        change(&mut pool);
        pool
    }

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn inputs(pools: &[IpPool]) -> Inputs {
        Inputs {
            config: IpamConfig::default(),
            labels: labels(&[("zone", "a")]),
            pools: pools.to_vec(),
            malformed_pools: Vec::new(),
            reservations: Reservations::default(),
            malformed_reservations: Vec::new(),
            affinities: Vec::new(),
            are_early: false,
        }
    }

    fn select_for(
        pools: &[IpPool],
        requested: &[&str],
        intended_use: Use,
        namespace: &[(&str, &str)],
    ) -> Result<Vec<String>, Error> {
        let requested: Vec<IpNetwork> = requested.iter().map(|cidr| cidr.parse().unwrap()).collect();
        let wish = Wish {
            version: IpVersion::V4,
            intended_use: &intended_use,
            requested: &requested,
            namespace: &labels(namespace),
            reserve: None,
        };
        let selection = select(&inputs(pools), "node-1", wish)?;
        Ok(selection.pools.into_iter().map(|pool| pool.metadata.name).collect())
    }

    fn chosen(pools: &[IpPool], requested: &[&str]) -> Result<Vec<String>, Error> {
        select_for(pools, requested, Use::Workload, &[])
    }

    #[test]
    fn automatic_pools_of_the_family_in_name_order() {
        let manual = changed("b", "10.1.0.0/16", |pool| pool.spec.assignment_mode = "Manual".into());
        let pools = [pool("a", "10.0.0.0/16"), manual, pool("c", "fd00::/64"), pool("d", "10.2.0.0/16")];
        assert_eq!(chosen(&pools, &[]).unwrap(), ["a", "d"]);
        assert_eq!(
            chosen(&pools, &["10.1.0.0/16", "10.0.0.0/16"]).unwrap(),
            ["b", "a"],
            "in the order they are asked for"
        );
    }

    #[test]
    fn selectors_choose_nodes_and_namespaces() {
        let of_zone = |name, cidr, zone| changed(name, cidr, |p| p.spec.node_selector = format!("zone == '{zone}'"));
        let mut for_team = pool("t", "10.3.0.0/16");
        for_team.spec.namespace_selector = "team in {'x', 'y'}".into();
        let pools = [of_zone("a", "10.1.0.0/16", "a"), of_zone("b", "10.2.0.0/16", "b"), for_team];
        assert_eq!(chosen(&pools, &[]).unwrap(), ["a"]);
        assert_eq!(select_for(&pools, &[], Use::Workload, &[("team", "y")]).unwrap(), ["a", "t"]);
        // Who asks for a pool gets it.
        assert_eq!(chosen(&pools, &["10.2.0.0/16", "10.3.0.0/16"]).unwrap(), ["b", "t"]);
        let error = chosen(&pools[1..], &[]).unwrap_err();
        assert_eq!(error.to_string(), "no configured Calico pools for node node-1");
        let advice = error.advice();
        assert!(advice.contains("b (10.2.0.0/16) is not for this node: nodeSelector zone == 'b'"), "{advice}");
        assert!(advice.contains("t (10.3.0.0/16) is not for this namespace: namespaceSelector team in"), "{advice}");
        let labels = labels(&[("zone", "a")]);
        for (block, gone) in
            [("10.1.0.0/26", false), ("10.2.0.0/26", true), ("10.3.0.0/26", false), ("10.9.0.0/26", false)]
        {
            assert_eq!(is_deselected(&pools, &labels, &block.parse().unwrap()), gone, "{block}");
        }
    }

    #[test]
    fn an_unreadable_selector_is_named() {
        let odd = changed("odd", "10.1.0.0/16", |pool| pool.spec.node_selector = "zone = 'a'".into());
        let error = chosen(&[pool("a", "10.0.0.0/16"), odd.clone()], &[]).unwrap_err();
        assert!(error.to_string().contains("node selector \"zone = 'a'\" of pool odd"), "{error}");
        // It does not matter to who asks for pools.
        assert_eq!(chosen(std::slice::from_ref(&odd), &["10.1.0.0/16"]).unwrap(), ["odd"]);
        assert!(!is_deselected(&[odd], &BTreeMap::new(), &"10.1.0.0/26".parse().unwrap()));
    }

    #[test]
    fn refusals_use_the_known_texts() {
        let off = changed("off", "10.0.0.0/16", |pool| pool.spec.disabled = true);
        let text = |pools: &[IpPool], requested: &[&str]| {
            let error = chosen(pools, requested).unwrap_err();
            (error.to_string(), error.advice())
        };
        let (known, advice) = text(&[], &[]);
        assert_eq!(known, "cannot find a qualified ippool");
        assert!(advice.contains("there are none"), "{advice}");
        let (known, advice) = text(std::slice::from_ref(&off), &[]);
        assert_eq!(known, "cannot find a qualified ippool");
        assert!(advice.contains("off (10.0.0.0/16) is disabled"), "{advice}");
        for size in [15, 16, 33] {
            let odd = changed("odd", "10.4.0.0/16", |pool| pool.spec.block_size = size);
            let (known, advice) = text(&[odd], &[]);
            assert_eq!(known, "cannot find a qualified ippool");
            assert!(advice.contains(&format!("blocks of the size /{size}")), "{advice}");
        }
        let on = pool("on", "10.5.0.0/16");
        let (known, advice) = text(&[off, on.clone()], &["10.0.0.0/16"]);
        assert_eq!(known, "the given pool (10.0.0.0/16) does not exist, or is not enabled");
        assert!(advice.contains("on (10.5.0.0/16) was not asked for"), "{advice}");
        let manual = changed("m", "10.5.0.0/16", |pool| pool.spec.assignment_mode = "Manual".into());
        let (known, advice) = text(&[manual], &[]);
        assert_eq!(known, "no configured Calico pools for node node-1");
        assert!(advice.contains("m (10.5.0.0/16) has the assignmentMode Manual"), "{advice}");
        let tunnels = changed("on", "10.5.0.0/16", |pool| pool.spec.allowed_uses = vec![Use::Tunnel]);
        let (known, advice) = text(&[tunnels], &[]);
        assert_eq!(known, "cannot find a qualified ippool, no pools match the required use (Workload)");
        assert!(advice.contains("allowedUses [Tunnel]"), "{advice}");
    }

    #[test]
    fn uses_are_those_that_the_pool_allows() {
        let balancers = changed("lb", "10.1.0.0/16", |pool| pool.spec.allowed_uses = vec![Use::LoadBalancer]);
        let old = changed("old", "10.2.0.0/16", |pool| pool.spec.allowed_uses = vec![]);
        let pools = [balancers, old];
        for (intended_use, names) in [(Use::Workload, "old"), (Use::Tunnel, "old"), (Use::LoadBalancer, "lb")] {
            assert_eq!(select_for(&pools, &[], intended_use, &[]).unwrap(), [names]);
        }
        let error = select_for(&pools, &["10.1.0.0/16"], Use::Tunnel, &[]).unwrap_err().to_string();
        assert_eq!(error, "cannot find a qualified ippool, no pools match the required use (Tunnel)");
    }

    #[test]
    fn what_is_set_aside_needs_room() {
        let select = |start, end, size| {
            let pool = changed("p", "10.0.0.0/24", |pool| pool.spec.block_size = size);
            let reserve = HostReserve { start, end, handle: "h".into(), note: String::new() };
            let (none, version) = (BTreeMap::new(), IpVersion::V4);
            let wish = Wish {
                version,
                intended_use: &Use::Workload,
                requested: &[],
                namespace: &none,
                reserve: Some(&reserve),
            };
            select(&inputs(&[pool]), "n", wish)
                .map(|selection| selection.pools.len())
                .map_err(|error| error.to_string())
        };
        assert_eq!(select(3, 1, 29), Ok(1));
        assert_eq!(select(3, 1, 30), Err("cannot find a qualified ippool".into()));
        assert_eq!(select(0, 0, 26), Err("HostReservedAttr has wrong parameters".into()));
    }
}
