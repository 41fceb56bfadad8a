//! A folder for a test, removed with everything in it however the test ends.

use std::path::PathBuf;

pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Scratch {
        let folder = std::env::temp_dir().join(format!("calico-log-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Scratch(folder)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The files in one of its folders, by name, with what is in them.
    pub fn files(&self, folder: &str) -> Vec<(String, String)> {
        let entries = std::fs::read_dir(self.path(folder)).unwrap().map(Result::unwrap);
        let text = |path: PathBuf| std::fs::read_to_string(path).unwrap();
        let mut files: Vec<_> =
            entries.map(|entry| (entry.file_name().into_string().unwrap(), text(entry.path()))).collect();
        files.sort();
        files
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
