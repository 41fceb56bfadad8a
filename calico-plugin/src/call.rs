//! Running one call: on one thread, ended by a signal, and undone when it does not succeed.

use std::future::Future;
use std::pin::Pin;

use tokio::signal::unix::{SignalKind, signal};

use crate::error::Error;
use crate::signals;

/// Runs `work` on this thread to its end, or until the process is asked to end: then `work` is dropped where it waits,
/// and the signal is its error.
pub async fn until_signal<T, E: From<Error>>(work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Runtime)?;
    signals::release();
    tokio::select! {
        biased;
        _ = terminate.recv() => Err(Error::Signal("SIGTERM").into()),
        _ = interrupt.recv() => Err(Error::Signal("SIGINT").into()),
        result = work => result,
    }
}

/// Runs a call on a runtime of its own, to its end: what of it may be cut short it says itself, by [`until_signal`].
pub fn block_on<T>(work: impl Future<Output = Result<T, cni_spec::Error>>) -> Result<T, cni_spec::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    let result = runtime.block_on(work);
    // A name that is being looked up is waited for by a thread that cannot be stopped: the process does not wait for it.
    runtime.shutdown_background();
    result
}

/// Polls `work`, and turns a panic in it into an error, so that what the work had done can be undone by whoever holds
/// the record of it.
pub async fn catch_panic<T>(
    command: &str,
    work: impl Future<Output = Result<T, cni_spec::Error>>,
) -> Result<T, cni_spec::Error> {
    let mut work = Box::pin(work);
    std::future::poll_fn(move |context| {
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| Pin::as_mut(&mut work).poll(context)));
        polled.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let text = text.unwrap_or_else(|| "no message".to_owned());
            std::task::Poll::Ready(Err(cni_spec::Error::internal(format!(
                "Calico CNI panicked during {command}: {text}"
            ))))
        })
    })
    .await
}
