//! Another release of the executables.

use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::{Installed, Plugins, executables_folder, reference_plugin, tool};

/// A folder of executables that differ from ours in nothing but their last byte, and the image of them.
pub struct Release(PathBuf);

impl Release {
    /// Builds it.
    pub fn build(name: &str) -> Release {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let release = Release(folder);
        for name in ["calico", "calico-ipam", "calico-install"] {
            let mut content = std::fs::read(executables_folder().join(name)).unwrap();
            content.push(b'\n');
            std::fs::write(release.0.join(name), content).unwrap();
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../image/build.sh");
        let plugins = reference_plugin(Plugins::V1_9, "portmap");
        let built = Command::new(script).arg(&release.0).arg(plugins.parent().unwrap()).output().unwrap();
        assert!(built.status.success(), "{built:?}");
        release
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// The image, as an archive. Its name is that of ours.
    pub fn image(&self) -> PathBuf {
        self.0.join("calico-install-image.tar")
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether the node has the executables of a folder, byte for byte.
pub fn is_installed(cluster: &Installed, folder: &Path) -> bool {
    ["calico", "calico-ipam"].iter().all(|name| {
        let installed = cluster.worker.program(&tool("cat")).arg(format!("/opt/cni/bin/{name}")).output().unwrap();
        installed.stdout == std::fs::read(folder.join(name)).unwrap()
    })
}

/// Asserts it.
#[track_caller]
pub fn assert_installed(cluster: &Installed, folder: &Path) {
    assert!(is_installed(cluster, folder), "the node has others than those of {}", folder.display());
}
