//! Random numbers that can be had again: the seed is printed, and taken from `E2E_SEED` if that is set.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::report::note;

/// A generator of random numbers (SplitMix64).
pub struct Random(u64);

impl Random {
    /// A generator for the named test. Prints its seed.
    pub fn for_test(name: &str) -> Random {
        let seed = match std::env::var("E2E_SEED") {
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("E2E_SEED={text} is not a number")),
            Err(_) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                u64::try_from(now.as_nanos() & u128::from(u32::MAX)).unwrap_or_default()
            }
        };
        note(&format!("{name}: E2E_SEED={seed}"));
        Random(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A duration below `limit`, down to the microsecond.
    pub fn below(&mut self, limit: Duration) -> Duration {
        let micros = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros(self.number() % micros)
    }
}
