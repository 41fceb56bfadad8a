//! Folders in which others change something: secrets that are renewed, and files of ours that are removed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use tokio::sync::watch::{self, Receiver};

use crate::files::{PROBE, UNFINISHED};

/// How long what belongs together may take: a secret is renewed in several steps.
const TOGETHER: Duration = Duration::from_millis(50);

/// What tells that something may have changed; tests replace it.
#[allow(async_fn_in_trait, reason = "everything runs on one thread; no future needs to be Send")]
pub trait Changes {
    /// Waits until somebody has changed something.
    async fn changed(&mut self);

    /// Takes note of folders that have come, or come into the place of others.
    fn refresh(&self);
}

/// A watch on folders.
pub struct Watch {
    /// Absent where the kernel gives no more of them: then only the regular look finds what changes.
    inotify: Option<Arc<Inotify>>,
    folders: Vec<PathBuf>,
    seen: Receiver<()>,
}

impl Watch {
    /// Watches folders. Those that are absent are watched once they are there, see [`Changes::refresh`].
    ///
    /// A thread waits for what happens: the process ends with it still waiting.
    ///
    /// # Errors
    /// The kernel has no more watches: what happens in some of the folders, or in all, is never told.
    pub fn of(folders: Vec<PathBuf>) -> (Watch, Option<std::io::Error>) {
        let (changed, seen) = watch::channel(());
        let (inotify, error) = match Inotify::init(InitFlags::IN_CLOEXEC) {
            Ok(inotify) => (Some(Arc::new(inotify)), None),
            Err(error) => (None, Some(error.into())),
        };
        if let Some(inotify) = inotify.clone() {
            std::thread::spawn(move || {
                while let Ok(events) = inotify.read_events() {
                    if events.iter().any(is_of_interest) && changed.send(()).is_err() {
                        return;
                    }
                }
            });
        }
        let watch = Watch { inotify, folders, seen };
        let error = error.or(watch.add().err());
        (watch, error)
    }

    /// Watches the folders that are there.
    fn add(&self) -> std::io::Result<()> {
        let flags = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        let mut result = Ok(());
        for folder in &self.folders {
            if let Some(inotify) = &self.inotify {
                // What is watched already is not watched twice.
                match inotify.add_watch(folder, flags) {
                    Ok(_) | Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                    Err(error) => result = Err(error.into()),
                }
            }
        }
        result
    }
}

impl Changes for Watch {
    fn refresh(&self) {
        // It was told at first.
        let _ = self.add();
    }

    async fn changed(&mut self) {
        if self.seen.changed().await.is_err() {
            // The thread has ended.
            return std::future::pending().await;
        }
        tokio::time::sleep(TOGETHER).await;
        // What has happened meanwhile is seen by what is done next.
        self.seen.mark_unchanged();
    }
}

/// Whether it is not just our own unfinished files, or the end of a watch.
fn is_of_interest(event: &InotifyEvent) -> bool {
    let name = event.name.as_ref().map(|name| name.to_string_lossy()).unwrap_or_default();
    !name.starts_with(UNFINISHED) && name != PROBE && !event.mask.contains(AddWatchFlags::IN_IGNORED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[tokio::test]
    async fn changes_of_others_are_seen_and_a_folder_that_comes_later() {
        let scratch = Scratch::new();
        let late = scratch.path("late");
        let (mut watch, error) = Watch::of(vec![scratch.path(""), late.clone()]);
        assert!(error.is_none());
        scratch.write("file", "one");
        watch.changed().await;
        // Our own are not, what is written after them is.
        scratch.write(".calico-install-1", "half");
        scratch.write(PROBE, "");
        std::fs::remove_file(scratch.path("file")).unwrap();
        watch.changed().await;
        std::fs::create_dir(&late).unwrap();
        watch.changed().await;
        watch.refresh();
        scratch.write("late/file", "two");
        watch.changed().await;
        std::fs::rename(scratch.path("late/file"), scratch.path("late/other")).unwrap();
        watch.changed().await;
        scratch.write("late/.calico-install-2", "half");
        let quiet = tokio::time::timeout(Duration::from_millis(200), watch.changed()).await;
        assert!(quiet.is_err());
    }
}
