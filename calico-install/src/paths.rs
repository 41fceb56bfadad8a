//! Where everything is inside the installer's container.

use std::path::{Path, PathBuf};

/// The paths, below one root.
#[derive(Debug, Clone)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    /// The paths below a root: `/`, but for tests.
    pub fn below(root: impl Into<PathBuf>) -> Paths {
        Paths { root: root.into() }
    }

    /// A path as it is in the container.
    pub fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The folder of the image's own plugins.
    pub fn image_plugins(&self) -> PathBuf {
        self.at("/opt/cni/bin")
    }

    /// Where an executable of ours is in the image: the first of these that is there.
    pub fn own_executable(&self, name: &str) -> [PathBuf; 2] {
        [self.at("/usr/bin").join(name), self.image_plugins().join(name)]
    }

    /// The host's folders of plugins. The second is there on some hosts only.
    pub fn plugin_folders(&self) -> [PathBuf; 2] {
        [self.at("/host/opt/cni/bin"), self.at("/host/secondary-bin-dir")]
    }

    /// The host's folder of CNI configurations.
    pub fn net_dir(&self) -> PathBuf {
        self.at("/host/etc/cni/net.d")
    }

    /// The kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.net_dir().join(KUBECONFIG)
    }

    /// The folder of the certificates for etcd.
    pub fn tls_folder(&self) -> PathBuf {
        self.net_dir().join(TLS_FOLDER)
    }

    /// The folder in which the kubelet keeps the token of the pod's service account fresh.
    pub fn service_account(&self) -> PathBuf {
        self.at("/var/run/secrets/kubernetes.io/serviceaccount")
    }

    /// The file by which the plugins know the node's name.
    pub fn nodename(&self) -> PathBuf {
        self.at("/var/lib/calico/nodename")
    }
}

/// The name of the kubeconfig in the folder of CNI configurations.
pub const KUBECONFIG: &str = "calico-kubeconfig";

/// The name of the folder of the certificates for etcd, there.
pub const TLS_FOLDER: &str = "calico-tls";

/// The names of the three files in it, as in its source.
pub const TLS_FILES: [&str; 3] = ["etcd-ca", "etcd-cert", "etcd-key"];

/// The name of a file or a folder, for a message.
pub fn shown(path: &Path) -> String {
    path.display().to_string()
}
