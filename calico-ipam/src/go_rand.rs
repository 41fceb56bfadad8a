//! The random number generator of Go's `math/rand`, for a given seed.
//!
//! Calico picks the block a host tries first with this generator. A host must come to the same
//! block whichever implementation it runs, or a node that changes over starts a second block.
//!
//! The generator is an additive lagged Fibonacci one: x\[n\] = x\[n-607\] + x\[n-273\] mod 2^64.

use crate::go_rand_seed::SEED_TABLE;

/// The longer lag, which is also the number of words of state.
const LEN: usize = 607;
/// The shorter lag.
const TAP: usize = 273;

/// The source that Go's `rand.NewSource(seed)` returns.
pub struct GoRand {
    state: [u64; LEN],
    tap: usize,
    feed: usize,
}

impl GoRand {
    /// Go's `rand.NewSource(seed)`.
    pub fn new(seed: i64) -> Self {
        let mut state = seed_words(seed, 40, 20);
        for (word, mask) in state.iter_mut().zip(&SEED_TABLE) {
            *word ^= mask;
        }
        Self { state, tap: 0, feed: LEN - TAP }
    }

    /// Go's `Uint64` of the source.
    fn uint64(&mut self) -> u64 {
        self.tap = previous(self.tap);
        self.feed = previous(self.feed);
        let sum = self.state[self.feed].wrapping_add(self.state[self.tap]);
        self.state[self.feed] = sum;
        sum
    }

    /// Go's `Int63`.
    fn int63(&mut self) -> u64 {
        self.uint64() & (u64::MAX >> 1)
    }

    /// Go's `Uint32`: the upper 32 of the 63 bits.
    fn uint32(&mut self) -> u32 {
        (self.int63() >> 31) as u32
    }

    /// Go's `big.Int.Rand`, as built for 64-bit machines: a number below `limit`, or 0 for 0.
    ///
    /// A limit that is a power of two has one bit more than the numbers below it, so about half of
    /// the draws are thrown away. The sequence depends on that.
    pub fn below(&mut self, limit: u128) -> u128 {
        if limit == 0 {
            return 0;
        }
        let bits = u128::BITS - limit.leading_zeros();
        let mask = u128::MAX >> limit.leading_zeros();
        loop {
            let mut drawn = 0;
            for word in 0..bits.div_ceil(64) {
                for half in 0..2 {
                    drawn |= u128::from(self.uint32()) << (64 * word + 32 * half);
                }
            }
            drawn &= mask;
            if drawn < limit {
                return drawn;
            }
        }
    }
}

fn previous(index: usize) -> usize {
    index.checked_sub(1).unwrap_or(LEN - 1)
}

/// Fills a state from `seed`: three numbers of a small generator make each word.
fn seed_words(seed: i64, first_shift: u32, second_shift: u32) -> [u64; LEN] {
    // Lehmer's generator with the multiplier 48271; 0 would stay 0, so Go has a stand-in for it.
    const MODULUS: u32 = (1 << 31) - 1;
    let mut x = match seed.rem_euclid(i64::from(MODULUS)) {
        0 => 89_482_311,
        seed => seed as u64,
    };
    let mut next = || {
        x = x * 48_271 % u64::from(MODULUS);
        x
    };
    for _ in 0..20 {
        next();
    }
    std::array::from_fn(|_| (next() << first_shift) ^ (next() << second_shift) ^ next())
}

/// Where `SEED_TABLE` comes from: it is the state of the same recurrence, filled from seed 1 with
/// the shifts 20 and 10, after 7.8e12 steps.
///
/// That many steps take hours, so the distance is jumped. The recurrence means z^607 = z^334 + 1
/// for the operator z that moves one step on. So z^N is a polynomial c of degree below 607, found
/// by repeated squaring, and x\[N+m\] is the sum of c\[j\] * x\[m+j\].
#[cfg(test)]
mod seed_table {
    use super::{LEN, SEED_TABLE, TAP, seed_words};
    use std::fmt::Write;

    const STEPS: u64 = 7_800_000_000_000;

    /// Set this environment variable to rewrite the file instead of comparing it.
    const UPDATE: &str = "UPDATE_GO_RAND_SEED";

    /// The place of x\[m\] in the state, for the last 607 numbers: m of -606 to 0 after no steps.
    fn place(m: i64) -> usize {
        ((LEN - TAP) as i64 - m).rem_euclid(LEN as i64) as usize
    }

    /// The coefficients of `a` squared, reduced with z^607 = z^334 + 1.
    fn square(a: &[u64]) -> Vec<u64> {
        let mut product = vec![0u64; 2 * LEN];
        for (i, x) in a.iter().enumerate() {
            for (slot, y) in product[i..].iter_mut().zip(a) {
                *slot = slot.wrapping_add(x.wrapping_mul(*y));
            }
        }
        reduce(product)
    }

    fn reduce(mut a: Vec<u64>) -> Vec<u64> {
        while a.len() > LEN {
            let top = a.pop().unwrap_or(0);
            let base = a.len() - LEN;
            for degree in [base, base + LEN - TAP] {
                a[degree] = a[degree].wrapping_add(top);
            }
        }
        a
    }

    fn derive() -> Vec<u64> {
        let mut power = vec![0; LEN];
        power[0] = 1;
        for bit in (0..u64::BITS - STEPS.leading_zeros()).rev() {
            power = square(&power);
            if STEPS >> bit & 1 == 1 {
                power.insert(0, 0);
                power = reduce(power);
            }
        }

        // x[-606] to x[606]; the first 607 are the state at the start.
        let start = seed_words(1, 20, 10);
        let mut x: Vec<u64> = (-(LEN as i64) + 1..=0).map(|m| start[place(m)]).collect();
        for n in LEN..2 * LEN - 1 {
            x.push(x[n - LEN].wrapping_add(x[n - TAP]));
        }

        let mut table = vec![0; LEN];
        for (first, window) in x.windows(LEN).enumerate() {
            let m = first as i64 - (LEN as i64 - 1);
            table[place(STEPS as i64 + m)] =
                power.iter().zip(window).fold(0u64, |sum, (c, x)| sum.wrapping_add(c.wrapping_mul(*x)));
        }
        table
    }

    fn render(table: &[u64]) -> String {
        let mut text = format!(
            "//! The constants that Go's `math/rand` mixes into a seed.\n\
             //!\n\
             //! Generated by the test `go_rand::seed_table::is_up_to_date`, which also says how they\n\
             //! are derived; do not edit. To write this file anew:\n\
             //!\n\
             //! ```text\n\
             //! {UPDATE}=1 cargo test -p calico-ipam --lib seed_table::is_up_to_date\n\
             //! ```\n\
             \n\
             /// Go calls this table `rngCooked`.\n\
             pub static SEED_TABLE: [u64; {LEN}] = [\n"
        );
        for word in table {
            writeln!(text, "    {word:#018x},").expect("a String takes any text");
        }
        text + "];\n"
    }

    #[test]
    fn is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/go_rand_seed.rs");
        let derived = derive();
        if std::env::var_os(UPDATE).is_some() {
            std::fs::write(path, render(&derived)).expect("go_rand_seed.rs can be written");
            return;
        }
        assert_eq!(derived, SEED_TABLE);
        let file = std::fs::read_to_string(path).expect("go_rand_seed.rs can be read");
        assert_eq!(file, render(&derived));
    }

    /// Guards the derivation itself with a few of the values in Go.
    #[test]
    fn has_the_values_of_go() {
        let expected = [
            (0, -4_181_792_142_133_755_926_i64),
            (1, -4_576_982_950_128_230_565),
            (2, 1_395_769_623_340_756_751),
            (605, 9_103_922_860_780_351_547),
            (606, 4_152_330_101_494_654_406),
        ];
        for (index, value) in expected {
            assert_eq!(SEED_TABLE[index] as i64, value, "word {index}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::GoRand;

    #[test]
    fn draws_what_go_draws() {
        let mut random = GoRand::new(1);
        let drawn: Vec<u32> = (0..3).map(|_| random.uint32()).collect();
        assert_eq!(drawn, [2_596_996_162, 4_039_455_774, 2_854_263_694]);
    }

    #[test]
    fn seeds_are_taken_modulo_a_prime() {
        const MODULUS: i64 = (1 << 31) - 1;
        for (seed, same) in [(0, MODULUS), (0, 89_482_311), (-1, MODULUS - 1)] {
            let (mut a, mut b) = (GoRand::new(seed), GoRand::new(same));
            assert_eq!(a.uint64(), b.uint64(), "{seed} and {same}");
        }
    }

    #[test]
    fn stays_below_the_limit() {
        let mut random = GoRand::new(7);
        for limit in [1, 2, 3, 1 << 64, (1 << 64) + 1, 1 << 127, u128::MAX] {
            for _ in 0..100 {
                assert!(random.below(limit) < limit);
            }
        }
        assert_eq!(random.below(0), 0);
    }
}
