//! The order in which a host looks through the blocks of a pool for a free one.
//!
//! Each host starts at its own block, so that hosts rarely compete for one, and goes round from
//! there. The start is a function of the host's name: processes that look for a block at the same
//! time on one host then meet at the same block instead of claiming one each.
//!
//! The order is that of Calico's Go library (`randomBlockGenerator`), start included.

use crate::go_rand::GoRand;
use calico_model::cidr;
use ipnetwork::IpNetwork;
use std::collections::VecDeque;
use std::ops::RangeInclusive;

/// The blocks of a pool in one host's order, as an iterator.
#[derive(Debug, Clone)]
pub struct Blocks {
    pool: IpNetwork,
    block_size: u8,
    /// The indexes that are left, at most two ranges.
    left: VecDeque<RangeInclusive<u128>>,
}

/// All blocks of `pool` in the order in which `host` tries them, made as they are asked for.
///
/// `block_size` is the prefix length of a block, the pool's `blockSize`. There are no blocks if it
/// is shorter than the pool's own prefix or longer than an address; the API server admits neither.
///
/// For blocks of a single address the start is drawn anew each time, as upstream does, from
/// `now_nanos`: nanoseconds since the Unix epoch. Other blocks ignore it.
pub fn blocks(pool: IpNetwork, block_size: u8, host: &str, now_nanos: i64) -> Blocks {
    let (pool, bits) = (cidr::masked(&pool), cidr::version(&pool).bits());
    let seed = if block_size == bits { now_nanos } else { i64::from(fnv1_32(host.as_bytes())) };
    let mut left = VecDeque::new();
    if (pool.prefix()..=bits).contains(&block_size) {
        let last = last_index(block_size - pool.prefix());
        let start = start_index(seed, last);
        left.push_back(start..=last);
        left.extend(start.checked_sub(1).map(|end| 0..=end));
    }
    Blocks { pool, block_size, left }
}

/// The blocks of a size that lie in a range, in the order of their addresses.
pub fn in_order(range: IpNetwork, block_size: u8) -> Blocks {
    let (pool, mut left) = (cidr::masked(&range), VecDeque::new());
    if (pool.prefix()..=cidr::version(&pool).bits()).contains(&block_size) {
        left.push_back(0..=last_index(block_size - pool.prefix()));
    }
    Blocks { pool, block_size, left }
}

impl Blocks {
    /// Passes over the blocks that lie in `range`, as far as they come next in the order. There may be more of them than
    /// anyone can count.
    pub fn leave(&mut self, range: &IpNetwork) {
        let (start, shift) = (cidr::to_number(self.pool.ip()), self.shift());
        let last_address = cidr::to_number(range.broadcast());
        let Some(last) = last_address.checked_sub(start).map(|offset| offset.checked_shr(shift).unwrap_or(0)) else {
            return;
        };
        let Some(next) = self.left.pop_front() else { return };
        if last < *next.start() {
            self.left.push_front(next);
        } else if last < *next.end() {
            self.left.push_front(last + 1..=*next.end());
        }
    }

    /// The number of bits of an address within a block.
    fn shift(&self) -> u32 {
        u32::from(cidr::version(&self.pool).bits() - self.block_size)
    }
}

impl Iterator for Blocks {
    type Item = IpNetwork;

    fn next(&mut self) -> Option<IpNetwork> {
        let index = loop {
            match self.left.front_mut()?.next() {
                Some(index) => break index,
                None => self.left.pop_front(),
            };
        };
        // A block of the whole address space has no bits left to shift: its only index is 0.
        let offset = index.checked_shl(self.shift()).unwrap_or(0);
        let address = cidr::from_number(cidr::version(&self.pool), cidr::to_number(self.pool.ip()) + offset)?;
        cidr::containing(address, self.block_size)
    }
}

/// The index of the last of 2^`bits` blocks.
fn last_index(bits: u8) -> u128 {
    u128::MAX.checked_shr(128 - u32::from(bits)).unwrap_or(0)
}

/// The index of the block to start with.
fn start_index(seed: i64, last: u128) -> u128 {
    // Only the pool ::/0 with blocks of one address has more blocks than a u128 counts. Its seed is
    // the time, so nobody can tell that the very last block is never drawn.
    let count = last.saturating_add(1);
    GoRand::new(seed).below(count)
}

/// The 32-bit FNV-1 hash, Go's `fnv.New32`.
fn fnv1_32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(2_166_136_261, |hash: u32, byte| hash.wrapping_mul(16_777_619) ^ u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::{blocks, fnv1_32, last_index, start_index};
    use ipnetwork::IpNetwork;
    use std::collections::BTreeSet;

    fn cidr(text: &str) -> IpNetwork {
        text.parse().expect("a CIDR")
    }

    /// The blocks of a pool whose order does not depend on the time.
    fn order(pool: &str, block_size: u8, host: &str) -> impl Iterator<Item = String> {
        blocks(cidr(pool), block_size, host, 0).map(|block| block.to_string())
    }

    #[test]
    fn hashes_as_go_does() {
        for (host, hash) in [
            ("node1", 3_957_252_814),
            ("testHost", 2_118_914_743),
            ("node-1", 568_266_919),
            ("load-balancer", 4_270_604_816),
        ] {
            assert_eq!(fnv1_32(host.as_bytes()), hash, "{host}");
        }
    }

    /// Drawn with Go, for 2^bits blocks.
    #[test]
    fn starts_where_go_starts() {
        let vectors: [(&str, &[(u8, u128)]); 5] = [
            ("testHost", &[(0, 0), (2, 2), (4, 7), (10, 18), (18, 120_001)]),
            (
                "node1",
                &[
                    (2, 2),
                    (4, 7),
                    (10, 666),
                    (18, 71_252),
                    (62, 2_989_989_156_771_927_636),
                    (90, 1_132_868_948_416_679_577_045_564_058),
                ],
            ),
            ("node-1", &[(4, 15), (10, 338), (18, 40_414)]),
            ("ip-10-0-0-1.ec2.internal", &[(2, 3), (4, 11), (10, 555), (18, 213_547)]),
            ("load-balancer", &[(4, 10), (10, 586), (18, 164_426)]),
        ];
        for (host, starts) in vectors {
            let seed = i64::from(fnv1_32(host.as_bytes()));
            for &(bits, start) in starts {
                let drawn = start_index(seed, last_index(bits));
                assert_eq!(drawn, start, "{host}, 2^{bits} blocks");
            }
        }
    }

    /// The blocks that the Go plugin claimed for a host of this name.
    #[test]
    fn begins_with_the_block_upstream_claims() {
        for (pool, block_size, first) in [
            ("192.168.0.0/16", 26, "192.168.84.128/26"),
            ("fd80:24e2:f998:72d6::/64", 122, "fd80:24e2:f998:72d6:94fa:7820:5b81:7500/122"),
        ] {
            assert_eq!(order(pool, block_size, "node-1").next().as_deref(), Some(first));
        }
    }

    #[test]
    fn goes_round_the_pool() {
        let expected = ["10.0.0.128/26", "10.0.0.192/26", "10.0.0.0/26", "10.0.0.64/26"];
        assert!(order("10.0.0.0/24", 26, "node1").eq(expected));
        // An address with host bits stands for its network.
        assert!(order("10.0.0.77/24", 26, "node1").eq(expected));
    }

    #[test]
    fn visits_every_block_once() {
        for (pool, block_size) in [("192.168.0.0/16", 26), ("fd00::/112", 122), ("::/0", 10)] {
            let pool = cidr(pool);
            let all: Vec<_> = blocks(pool, block_size, "node-1", 0).collect();
            let distinct: BTreeSet<_> = all.iter().copied().collect();
            assert_eq!(all.len(), 1 << (block_size - pool.prefix()));
            assert_eq!(distinct.len(), all.len());
            assert!(all.iter().all(|block| pool.contains(block.ip())));
            assert!(all.iter().all(|block| block.network() == block.ip()));
        }
    }

    #[test]
    fn goes_to_the_neighbour_in_a_huge_pool() {
        let mut blocks = blocks(cidr("fd00::/20"), 122, "node-1", 0);
        let mut next = || match blocks.next() {
            Some(IpNetwork::V6(block)) => block.ip().to_bits(),
            other => panic!("{other:?} is no IPv6 block"),
        };
        assert_eq!(next() + 64, next());
    }

    #[test]
    fn blocks_of_one_address_start_by_the_time() {
        for (pool, size) in [("10.0.0.0/16", 32), ("fd00::/64", 128), ("::/0", 128)] {
            let first = |host, now| blocks(cidr(pool), size, host, now).next();
            assert!(first("node-1", 1).is_some());
            assert_eq!(first("node-1", 1), first("testHost", 1));
            assert_ne!(first("node-1", 1), first("node-1", 2));
        }
    }

    #[test]
    fn a_pool_of_one_block() {
        for (pool, block_size) in [("10.0.0.0/26", 26), ("0.0.0.0/0", 0), ("::/0", 0)] {
            assert!(order(pool, block_size, "node-1").eq([pool]));
        }
    }

    #[test]
    fn no_blocks_of_an_impossible_size() {
        for (pool, block_size) in [("10.0.0.0/24", 23), ("10.0.0.0/24", 33), ("::/64", 129)] {
            assert_eq!(order(pool, block_size, "node-1").next(), None);
        }
    }

    #[test]
    fn ranges_of_any_size_are_passed_over() {
        let all: Vec<IpNetwork> = blocks(cidr("10.0.0.0/24"), 28, "node1", 0).collect();
        let mut left = blocks(cidr("10.0.0.0/24"), 28, "node1", 0);
        assert_eq!(left.next(), Some(all[0]));
        let half = cidr("10.0.0.128/25");
        let mut rest = Vec::new();
        while let Some(block) = left.next() {
            if half.contains(block.ip()) {
                left.leave(&half);
            } else {
                rest.push(block);
            }
        }
        let expected: Vec<IpNetwork> = all[1..].iter().copied().filter(|block| !half.contains(block.ip())).collect();
        assert_eq!(rest, expected);
        let mut huge = blocks(cidr("fd00::/64"), 122, "node1", 0);
        huge.leave(&cidr("fd00::/64"));
        huge.leave(&cidr("fd00::/64"));
        assert_eq!(huge.next(), None);
    }
}
