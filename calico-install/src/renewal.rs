//! When a token is to be renewed: at a third of its life, by whichever clock says so first. The wall clock may be set, and the
//! other one stands still while the machine is suspended.

use std::time::{Duration, SystemTime};

use crate::clock::Moment;

/// The shortest time between two renewals, as the node agent's.
const SHORTEST: Duration = Duration::from_secs(5);

/// A moment to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    wall: SystemTime,
    monotonic: Duration,
}

impl Due {
    /// A time from now on.
    pub fn after(now: Moment, time: Duration) -> Due {
        // No clock reaches that far.
        let wall = now.wall.checked_add(time).unwrap_or(now.wall + Duration::from_secs(1 << 32));
        Due { wall, monotonic: now.monotonic.saturating_add(time) }
    }

    /// Whether it has come.
    pub fn has_come(&self, now: Moment) -> bool {
        self.left(now).is_zero()
    }

    /// The time until then, if no clock is set.
    pub fn left(&self, now: Moment) -> Duration {
        let by_wall = self.wall.duration_since(now.wall).unwrap_or_default();
        by_wall.min(self.monotonic.saturating_sub(now.monotonic))
    }
}

/// How long after it was issued a token is renewed: at a third of its life, or after `wanted`, but before the end of its life;
/// up to a tenth earlier, so that the nodes of a cluster do not ask all at once. `random` is from 0 to 1.
pub fn interval(life: Duration, wanted: Option<Duration>, random: f64) -> Duration {
    let base = wanted.unwrap_or(life / 3).min(life / 2);
    base.mul_f64(1.0 - random.clamp(0.0, 1.0) / 10.0).max(SHORTEST)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_third_of_the_life_and_up_to_a_tenth_less() {
        let day = 24 * HOUR;
        assert_eq!(interval(day, None, 0.0), 8 * HOUR);
        assert_eq!(interval(day, None, 1.0), Duration::from_secs(8 * 3240));
        assert_eq!(interval(day, Some(HOUR), 0.0), HOUR);
        // Not longer than the token lives, and not all the time.
        assert_eq!(interval(HOUR, Some(day), 0.0), HOUR / 2);
        assert_eq!(interval(HOUR, Some(Duration::from_millis(1)), 0.5), SHORTEST);
    }

    #[test]
    fn the_first_clock_decides() {
        let now = Moment { wall: UNIX_EPOCH + 1000 * HOUR, monotonic: HOUR };
        let due = Due::after(now, 8 * HOUR);
        let at = |wall: Duration, monotonic| due.left(Moment { wall: UNIX_EPOCH + wall, monotonic });
        assert_eq!(at(1000 * HOUR, HOUR), 8 * HOUR);
        assert_eq!(at(1001 * HOUR, HOUR), 7 * HOUR);
        assert_eq!(at(2000 * HOUR, HOUR), Duration::ZERO);
        // The wall clock was set back for years.
        assert_eq!(at(HOUR, 8 * HOUR), HOUR);
        assert_eq!(at(HOUR, 9 * HOUR), Duration::ZERO);
        assert!(!Due::after(now, Duration::MAX).has_come(now));
    }
}
