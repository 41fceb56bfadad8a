//! Runs commands, several at once, and keeps account of those that fail.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc;

use super::commands::Task;
use super::kubectl::Kubectl;
use crate::console::Console;

/// What is being collected.
pub struct Collection<'a> {
    /// How the commands are run.
    pub kubectl: &'a Kubectl,
    /// The folder of the archive.
    pub folder: PathBuf,
    /// How many commands at once.
    pub parallelism: usize,
    /// Who is told how far it has come, and what failed.
    pub console: &'a Console,
    /// What failed, a line each.
    pub failures: Vec<String>,
}

impl Collection<'_> {
    /// Runs all of these commands. None of them fails the collection.
    pub fn run(&mut self, doing: &str, tasks: Vec<Task>) {
        let (all, threads) = (tasks.len(), self.parallelism.min(tasks.len()));
        let (kubectl, folder, console) = (self.kubectl, &self.folder, self.console);
        let queue = Mutex::new(tasks.into_iter());
        let (sender, receiver) = mpsc::channel();
        let failures = &mut self.failures;
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let (sender, queue) = (sender.clone(), &queue);
                scope.spawn(move || {
                    let next = || queue.lock().ok()?.next();
                    while let Some(task) = next() {
                        let output = folder.join(&task.file);
                        let made = output.parent().map_or(Ok(()), std::fs::create_dir_all);
                        let result = made.map_err(|error| error.to_string());
                        let result = result.and_then(|()| kubectl.run(&task.arguments, &output));
                        let _ = sender.send((task, result));
                    }
                });
            }
            drop(sender);
            for (done, (task, result)) in receiver.iter().enumerate() {
                if let Err(reason) = result {
                    let failure = format!("kubectl {}: {reason}", task.arguments.join(" "));
                    console.note(&failure);
                    failures.push(failure);
                }
                console.progress(doing, done + 1, all);
            }
        });
        console.clear();
    }

    /// Runs one command, and answers what it has printed.
    pub fn ask(&mut self, doing: &str, task: Task) -> String {
        let output = self.folder.join(&task.file);
        self.run(doing, vec![task]);
        let printed = std::fs::read(output).unwrap_or_default();
        String::from_utf8_lossy(&printed).into_owned()
    }
}
