//! The end that a signal asks for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use calico_plugin::Log;
use calico_plugin::log::Value;
use nix::sys::signal::{SigSet, Signal};
use tokio::sync::Notify;

/// How long what is under way may take to end. A file system that hangs must not hold up the pod's end; files appear
/// complete or not at all, whenever the process ends.
const GRACE: Duration = Duration::from_secs(2);

/// Whether to end.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    is_requested: AtomicBool,
    notify: Notify,
}

impl Stop {
    /// Ends by SIGTERM and SIGINT, which must be [held back](calico_plugin::signals::hold) before any thread is started.
    /// Where what is under way does not end within [`GRACE`], the process ends with `code`.
    pub fn by_signals(log: fn() -> Log, code: i32) -> Stop {
        let stop = Stop::default();
        let requested = stop.clone();
        std::thread::spawn(move || {
            let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
            if let Ok(signal) = signals.wait() {
                log().info("ending", &[("signal", Value::Plain(&signal))]);
                requested.request();
                std::thread::sleep(GRACE);
                std::process::exit(code);
            }
        });
        stop
    }

    /// Asks for the end.
    pub fn request(&self) {
        self.0.is_requested.store(true, Ordering::Release);
        // Kept for one that begins to wait only now.
        self.0.notify.notify_one();
    }

    /// Whether the end was asked for.
    pub fn is_requested(&self) -> bool {
        self.0.is_requested.load(Ordering::Acquire)
    }

    /// Waits until the end is asked for. One task may wait.
    pub async fn requested(&self) {
        while !self.is_requested() {
            self.0.notify.notified().await;
        }
    }
}
