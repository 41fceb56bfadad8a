//! Random cases, the same for the same seed.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::ops::{Step, steps};

/// Which cases, and how many.
#[derive(Debug, Clone, Copy)]
pub struct Cases {
    seed: u64,
    count: u32,
}

impl Cases {
    /// Those that `MODEL_SEED` and `MODEL_CASES` name.
    pub fn from_environment(count: u32) -> Cases {
        let number = |name: &str, default: u64| {
            std::env::var(name)
                .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
        };
        let cases = Cases {
            seed: number("MODEL_SEED", 20_261_123),
            count: u32::try_from(number("MODEL_CASES", u64::from(count))).unwrap(),
        };
        println!("MODEL_SEED={} MODEL_CASES={}", cases.seed, cases.count);
        cases
    }

    /// Runs them, and panics with the smallest that fails.
    pub fn run(self, deaths: bool, run: impl Fn(&[Step], u64) + Send) {
        with_much_stack(|| self.run_here(deaths, run));
    }

    fn run_here(self, deaths: bool, run: impl Fn(&[Step], u64)) {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.seed.to_le_bytes());
        let config = Config { cases: self.count, failure_persistence: None, ..Config::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
        let result = runner.run(&(steps(), any::<u64>()), |(mut steps, seed)| {
            if !deaths {
                steps.iter_mut().for_each(|step| step.death = None);
            }
            run(&steps, seed);
            Ok(())
        });
        if let Err(error) = result {
            panic!("{error}");
        }
    }
}

/// Runs what needs more stack than a test's thread has, in a build that is not optimised.
pub fn with_much_stack(work: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(32 << 20).spawn_scoped(scope, work).unwrap();
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}
