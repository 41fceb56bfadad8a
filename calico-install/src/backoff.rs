//! Pauses between attempts, and how often a failure is told.

use std::time::Duration;

use crate::random::random;

/// The first pause, and the longest. Each is up to a quarter shorter, so that the nodes of a cluster do not ask in step.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How often at most a failure is told.
const TELL: Duration = Duration::from_secs(60);

/// One thing that is tried until it succeeds. Times are those of the monotonic clock.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
    next: Duration,
    told: Option<Duration>,
}

impl Backoff {
    /// The time until the next attempt.
    pub fn left(&self, now: Duration) -> Duration {
        self.next.saturating_sub(now)
    }

    /// The time until the next attempt, after one that failed.
    pub fn retry(&self, now: Duration) -> Option<Duration> {
        (self.failures > 0).then(|| self.left(now))
    }

    /// Lets the next attempt be at once: something has changed.
    pub fn hurry(&mut self) {
        self.failures = 0;
        self.next = Duration::ZERO;
    }

    /// Notes a failure, and answers whether it is to be told.
    pub fn failed(&mut self, now: Duration) -> bool {
        let pause = PAUSE.0.saturating_mul(1 << self.failures.min(6)).min(PAUSE.1);
        self.next = now + pause.mul_f64(1.0 - random() / 4.0);
        self.failures += 1;
        let tell = self.told.is_none_or(|told| now >= told + TELL);
        if tell {
            self.told = Some(now);
        }
        tell
    }

    /// Notes that it went well, and answers whether a failure had been told before.
    pub fn succeeded(&mut self) -> bool {
        std::mem::take(self).told.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_do_not_try_again_in_step() {
        let pause = || {
            let mut backoff = Backoff::default();
            for _ in 0..7 {
                backoff.failed(Duration::ZERO);
            }
            backoff.left(Duration::ZERO)
        };
        let first = pause();
        assert!((0..20).any(|_| pause() != first));
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_the_first_failure_is_told_then_one_a_minute() {
        let mut backoff = Backoff::default();
        let mut now = Duration::ZERO;
        let mut told = Vec::new();
        for pause in [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0] {
            if backoff.failed(now) {
                told.push(now);
            }
            let left = backoff.left(now);
            assert!((pause * 0.7499..=pause).contains(&left.as_secs_f64()), "{left:?} of {pause} s");
            now += left;
        }
        assert_eq!(told[0], Duration::ZERO);
        assert!(told.len() >= 2 && told.windows(2).all(|pair| pair[1] - pair[0] >= TELL), "{told:?}");
        assert_eq!(backoff.retry(now), Some(Duration::ZERO));
        backoff.hurry();
        assert_eq!(backoff.retry(now), None);
        assert_eq!(backoff.left(now), Duration::ZERO);
        assert!(backoff.succeeded() && !backoff.succeeded());
    }
}
