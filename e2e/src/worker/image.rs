//! An image of busybox: what pods of tests are made of, and what holds their namespaces.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tar::{Builder, Header};

use crate::executables::tool;

/// The image's name.
pub const BUSYBOX: &str = "localhost/busybox:e2e";

/// An archive of one image, as the OCI's image layout says. Its file system is this machine's static busybox; started without a
/// command it does nothing, until it is killed.
pub(super) fn busybox(folder: &Path) -> PathBuf {
    let path = folder.join("busybox.tar");
    let layer = layer();
    let config = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {"Entrypoint": ["/bin/busybox"], "Cmd": ["sleep", "infinity"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]}
    });
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described("application/vnd.oci.image.config.v1+json", &config),
        "layers": [described("application/vnd.oci.image.layer.v1.tar", &layer)]
    });
    let manifest = manifest.to_string().into_bytes();
    let mut entry = described("application/vnd.oci.image.manifest.v1+json", &manifest);
    entry["annotations"] = json!({"io.containerd.image.name": BUSYBOX, "org.opencontainers.image.ref.name": BUSYBOX});
    let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();

    let file = std::fs::File::create(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut archive = Builder::new(file);
    put(&mut archive, "oci-layout", br#"{"imageLayoutVersion": "1.0.0"}"#, 0o644);
    put(&mut archive, "index.json", index.as_bytes(), 0o644);
    for blob in [&layer, &config, &manifest] {
        put(&mut archive, &format!("blobs/{}", digest(blob).replace(':', "/")), blob, 0o644);
    }
    archive.finish().expect("the archive can be written");
    path
}

fn layer() -> Vec<u8> {
    let busybox = std::fs::read(tool("busybox")).expect("a tool can be read");
    let mut layer = Builder::new(Vec::new());
    put(&mut layer, "bin/busybox", &busybox, 0o755);
    for applet in ["cat", "sh", "sleep"] {
        let mut header = Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        layer.append_link(&mut header, format!("bin/{applet}"), "busybox").expect("memory can be written");
    }
    layer.into_inner().expect("memory can be written")
}

fn put<W: std::io::Write>(archive: &mut Builder<W>, path: &str, content: &[u8], mode: u32) {
    let mut header = Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    archive.append_data(&mut header, path, content).unwrap_or_else(|e| panic!("{path}: {e}"));
}

fn described(media_type: &str, blob: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(blob), "size": blob.len()})
}

fn digest(blob: &[u8]) -> String {
    let sum: String = hmac_sha256::Hash::hash(blob).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{sum}")
}

/// As Go calls it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
