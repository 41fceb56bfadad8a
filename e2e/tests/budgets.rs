//! Sizes, which are asserted, and times, which are shown: a busy machine is not a fault.

use std::path::Path;
use std::time::Duration;

use e2e::{Call, Host, Ran, Runner, dual_stack, executable, median, note};

/// The most an executable may have, and the most memory a `VERSION` may need, in bytes.
const LARGEST_EXECUTABLE: u64 = 6 << 20;
const LARGEST_PEAK: u64 = 10 << 20;
const RUNS: usize = 20;

fn mib(bytes: u64) -> String {
    format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20)
}

/// A run, which must succeed.
fn measured(runner: &mut Runner, call: &Call) -> Ran {
    let ran = runner.run(&[call.to_measure()]).remove(0);
    assert_eq!(ran.exit, Some(0), "{ran:#?}");
    ran
}

/// The median duration and the largest peak of some runs.
fn summary(runs: &[Ran]) -> (Duration, u64) {
    let peak = runs.iter().map(|ran| ran.peak).max().unwrap_or_default();
    (median(runs.iter().map(Ran::wall).collect()), peak)
}

// One test, so that nothing else of this file runs while it measures.
#[test]
fn sizes_and_times() {
    for name in ["calico", "calico-ipam"] {
        let size = std::fs::metadata(executable(name)).unwrap().len();
        note(&format!("{name}: {} (limit {})", mib(size), mib(LARGEST_EXECUTABLE)));
        assert!(size <= LARGEST_EXECUTABLE);
    }

    let host = Host::start();
    let mut runner = Runner::start(&host, Path::new(env!("CARGO_BIN_EXE_runner")));
    for name in ["calico", "calico-ipam"] {
        let runs: Vec<Ran> = (0..RUNS).map(|_| measured(&mut runner, &host.call(name, "VERSION"))).collect();
        let (wall, peak) = summary(&runs);
        note(&format!(
            "{name} VERSION: {wall:.1?} (budget 3 ms), {} resident (limit {})",
            mib(peak),
            mib(LARGEST_PEAK)
        ));
        assert!(peak <= LARGEST_PEAK);
    }

    let netconf = dual_stack();
    let namespace = host.container("budget");
    let (mut adds, mut dels, mut kernel, mut beside, mut in_call) = (vec![], vec![], vec![], vec![], vec![]);
    for n in 0..RUNS {
        let container = namespace.renamed(&format!("budget{n}"));
        let add = measured(&mut runner, &container.add(&netconf));
        let of_kernel = logged(&add.stderr, "ADD done", "ms_kernel").expect("ADD logs how long the kernel worked");
        kernel.push(of_kernel);
        beside.push(add.wall().saturating_sub(of_kernel));
        let of = |phase| logged(&add.stderr, phase, "ms").unwrap_or_else(|| panic!("{phase}: {add:#?}"));
        let unlocked = of("opened the datastore") + of("took the host lock");
        in_call.push(of("ADD done").saturating_sub(unlocked + of_kernel));
        adds.push(add);
        dels.push(measured(&mut runner, &container.del(&netconf)));
    }
    for (verb, runs) in [("ADD", &adds), ("DEL", &dels)] {
        let (wall, peak) = summary(runs);
        note(&format!("{verb}, both families, embedded store: {wall:.1?}, {} resident", mib(peak)));
    }
    note(&format!(
        "ADD: {:.1?} beside the kernel's {:.1?} (budget 3 ms), {:.1?} of it between taking the host lock and answering",
        median(beside),
        median(kernel),
        median(in_call)
    ));
    host.assert_nothing_left();
}

/// A duration in the log line that ends a phase: `ms=1.23`.
fn logged(log: &str, phase: &str, field: &str) -> Option<Duration> {
    let line = log.lines().find(|line| line.contains(&format!(": {phase} ")))?;
    let value = line.split_whitespace().find_map(|word| word.strip_prefix(field)?.strip_prefix('='))?;
    Some(Duration::from_secs_f64(value.parse::<f64>().ok()? / 1e3))
}
