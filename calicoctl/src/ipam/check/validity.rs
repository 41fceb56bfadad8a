//! Whether a block agrees with itself, in the established implementation's words.

use std::time::SystemTime;

use calico_model::{Block, timestamp};

/// The first rule that a block breaks, in their order; `None` where it keeps all.
pub fn broken_rule(block: &Block, now: SystemTime) -> Option<String> {
    let is_attribute = |index: i64| usize::try_from(index).is_ok_and(|index| index < block.attributes.len());
    let allocated = || block.allocations.iter().enumerate().filter_map(|(ordinal, index)| Some((ordinal, (*index)?)));
    if let Some((ordinal, index)) = allocated().find(|&(_, index)| !is_attribute(index)) {
        return Some(format!("allocation {ordinal} indexes a nonexistent attribute {index}"));
    }
    let mut is_used = vec![false; block.attributes.len()];
    allocated().for_each(|(_, index)| is_used[index as usize] = true);
    if let Some(index) = is_used.iter().position(|used| !used) {
        return Some(format!("attribute index {index} exists but is not indexed by an allocation"));
    }
    let is_later = |text: &str| timestamp::parse_rfc3339(text).is_some_and(|at| at > now);
    let later = block.attributes.iter().position(|it| it.released_at.as_deref().is_some_and(is_later));
    if let Some(index) = later {
        return Some(format!("attribute index {index} has releasedAt in the future, suggesting clock skew"));
    }
    let size = block.size();
    let mut is_free = vec![false; size];
    for &ordinal in &block.unallocated {
        let Some(free) = usize::try_from(ordinal).ok().and_then(|ordinal| is_free.get_mut(ordinal)) else {
            return Some(format!("ordinal {ordinal} appears in the Unallocated array but is out of the block"));
        };
        if std::mem::replace(free, true) {
            return Some(format!("ordinal {ordinal} appears more than once in Unallocated array"));
        }
    }
    if let Some((ordinal, _)) = allocated().find(|&(ordinal, _)| is_free.get(ordinal) == Some(&true)) {
        return Some(format!("ordinal {ordinal} is allocated but appears in Unallocated"));
    }
    let (free, allocated) = (block.unallocated.len(), allocated().count());
    let sum = free + allocated;
    (sum != size).then(|| {
        format!("expected {size} addresses in this block, but Unallocated ({free}) + Allocated ({allocated}) = {sum}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule() {
        let good = r#"{"cidr":"10.0.0.0/30","allocations":[0,null,null,null],"unallocated":[1,2,3],"attributes":[{}]}"#;
        let rule = |from: &str, to: &str| {
            let text = good.replace(from, to);
            broken_rule(&serde_json::from_str(&text).unwrap(), SystemTime::UNIX_EPOCH)
        };
        assert_eq!(rule("", ""), None);
        for (from, to, expected) in [
            ("[0,null", "[4,null", "allocation 0 indexes a nonexistent attribute 4"),
            ("[{}]", "[{},{}]", "attribute index 1 exists but is not indexed by an allocation"),
            (
                "[{}]",
                r#"[{"releasedAt":"2026-01-02T03:04:05Z"}]"#,
                "attribute index 0 has releasedAt in the future, suggesting clock skew",
            ),
            ("[1,2,3]", "[1,2,9]", "ordinal 9 appears in the Unallocated array but is out of the block"),
            ("[1,2,3]", "[1,2,2]", "ordinal 2 appears more than once in Unallocated array"),
            ("[1,2,3]", "[0,2,3]", "ordinal 0 is allocated but appears in Unallocated"),
            ("[1,2,3]", "[1,2]", "expected 4 addresses in this block, but Unallocated (2) + Allocated (1) = 3"),
        ] {
            assert_eq!(rule(from, to).as_deref(), Some(expected));
        }
    }
}
