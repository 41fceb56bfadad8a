//! The image that puts the executables on nodes: what is in it, that it is the same for everybody, and that container
//! runtimes take it and start it.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use e2e::{
    Containerd, ContainerdRelease, Place, Plugins, Podman, executable, executables_folder, readme_list,
    reference_plugin, tool,
};
use serde_json::Value;

const NAME: &str = concat!("localhost/calico-install:", env!("CARGO_PKG_VERSION"));
const ARCHIVE: &str = "calico-install-image.tar";
const EXECUTABLES: [&str; 3] = ["calico", "calico-ipam", "calico-install"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// What `make image` left.
fn archive() -> PathBuf {
    let path = executables_folder().join(ARCHIVE);
    assert!(path.is_file(), "{} is absent: run `make image` first", path.display());
    path
}

/// A folder that is empty now.
fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("image").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    folder
}

/// The script of the checkout in a folder, for the executables in another.
fn build(checkout: &Path, executables: &Path) -> Command {
    let plugins = reference_plugin(Plugins::V1_9, "portmap");
    let mut command = Command::new(checkout.join("image/build.sh"));
    command.arg(executables).arg(plugins.parent().unwrap());
    command
}

fn succeed(output: &Output) -> String {
    assert!(output.status.success(), "{output:#?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn tar(arguments: &[&str], archive: &Path) -> Vec<u8> {
    let mut command = Command::new(tool("tar"));
    command.env("LC_ALL", "C").env("TZ", "UTC").args(arguments).arg("-f").arg(archive);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:#?}");
    output.stdout
}

/// A file of the archive, of which the digest names the blobs.
fn member(archive: &Path, name: &str) -> Vec<u8> {
    let output = Command::new(tool("tar")).arg("-xOf").arg(archive).arg(name).output().unwrap();
    assert!(output.status.success(), "{output:#?}");
    output.stdout
}

fn json_member(archive: &Path, name: &str) -> Value {
    serde_json::from_slice(&member(archive, name)).unwrap()
}

fn blob(descriptor: &Value) -> String {
    let digest = descriptor["digest"].as_str().unwrap_or_else(|| panic!("no digest: {descriptor}"));
    format!("blobs/{}", digest.replace(':', "/"))
}

/// The digest that runtimes and registries know an image by.
fn digest(archive: &Path) -> String {
    json_member(archive, "index.json")["manifests"][0]["digest"].as_str().unwrap().to_owned()
}

/// What `tar` lists: for each path its mode, with owner and, for a link, its target.
fn listed(layer: &Path) -> BTreeMap<String, String> {
    let text = String::from_utf8(tar(&["--numeric-owner", "--full-time", "-tv"], layer)).unwrap();
    let entry = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [mode, owner, _, day, time, path, rest @ ..] = &words[..] else { panic!("{line}") };
        assert_eq!((*day, *time), ("1970-01-01", "00:00:00"), "{line}");
        ((*path).to_owned(), [&[*mode, *owner], rest].concat().join(" "))
    };
    text.lines().map(entry).collect()
}

#[test]
fn everybody_makes_the_same() {
    let executables = scratch("elsewhere/executables");
    for name in EXECUTABLES {
        // Times and rights are others, too.
        let path = executables.join(name);
        std::fs::copy(executable(name), &path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
    }
    let checkout = scratch("elsewhere/checkout");
    std::fs::create_dir_all(checkout.join("e2e/tools")).unwrap();
    for part in ["image", "LICENSE", "Cargo.toml", "e2e/tools/plugins"] {
        let copied = Command::new(tool("cp")).arg("-r").arg(workspace().join(part)).arg(checkout.join(part)).status();
        assert!(copied.unwrap().success());
    }
    let command = build(&checkout, &executables);
    let mut elsewhere = Command::new(tool("sh"));
    elsewhere.args(["-c", "umask 077; exec \"$@\"", "sh"]).arg(command.get_program()).args(command.get_args());
    elsewhere.current_dir("/").env("TZ", "Asia/Kathmandu").env("LC_ALL", "C.UTF-8").env_remove("SOURCE_DATE_EPOCH");
    let printed = succeed(&elsewhere.output().unwrap());

    let (ours, theirs) = (archive(), executables.join(ARCHIVE));
    assert!(printed.contains(NAME) && printed.contains(&digest(&theirs)), "{printed}");
    assert_eq!(digest(&ours), digest(&theirs), "or bin has newer executables than its image: run `make image`");
    assert!(std::fs::read(&ours).unwrap() == std::fs::read(&theirs).unwrap(), "the archives differ");
    assert!(std::fs::metadata(&ours).unwrap().len() <= 20 << 20);
    assert_eq!(
        std::fs::read_dir(&executables).unwrap().count(),
        EXECUTABLES.len() + 2,
        "and nothing half-made is left"
    );
}

#[test]
fn its_files_are_these() {
    let archive = archive();
    let index = json_member(&archive, "index.json");
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
    let annotations = &index["manifests"][0]["annotations"];
    assert_eq!(annotations["org.opencontainers.image.ref.name"], NAME);
    assert_eq!(annotations["io.containerd.image.name"], NAME);
    let manifest = json_member(&archive, &blob(&index["manifests"][0]));
    let config = json_member(&archive, &blob(&manifest["config"]));
    assert_eq!(config["config"]["Entrypoint"], serde_json::json!(["/usr/bin/calico-install"]));
    assert_eq!((&config["os"], &config["architecture"]), (&"linux".into(), &"amd64".into()));

    let layer = scratch("files").join("layer");
    std::fs::write(&layer, member(&archive, &blob(&manifest["layers"][0]))).unwrap();
    let (licences, found): (BTreeMap<_, _>, BTreeMap<_, _>) =
        listed(&layer).into_iter().partition(|(path, _)| path.starts_with("licenses/"));
    let mut expected: Vec<(String, &str)> = ["opt/", "opt/cni/", "opt/cni/bin/", "usr/", "usr/bin/"]
        .map(|folder| (folder.to_owned(), "drwxr-xr-x 0/0"))
        .to_vec();
    for name in ["bandwidth", "calico", "calico-ipam", "host-local", "loopback", "portmap", "tuning"] {
        expected.push((format!("opt/cni/bin/{name}"), "-rwxr-xr-x 0/0"));
    }
    expected.push(("usr/bin/calico".to_owned(), "lrwxr-xr-x 0/0 -> ../../opt/cni/bin/calico"));
    expected.push(("usr/bin/calico-ipam".to_owned(), "lrwxr-xr-x 0/0 -> ../../opt/cni/bin/calico-ipam"));
    expected.push(("usr/bin/calico-install".to_owned(), "-rwxr-xr-x 0/0"));
    let expected: BTreeMap<String, String> = expected.into_iter().map(|(path, how)| (path, how.to_owned())).collect();
    assert_eq!(found, expected);

    assert!(licences.contains_key("licenses/LICENSE"), "{licences:#?}");
    let of_plugins = format!("licenses/go/github.com/containernetworking/plugins@v{}/LICENSE", plugins_version());
    assert!(licences.contains_key(&of_plugins), "{licences:#?}");
    let plain = |(path, how): (&String, &String)| {
        if path.ends_with('/') { how == "drwxr-xr-x 0/0" } else { how == "-rw-r--r-- 0/0" }
    };
    assert!(licences.iter().all(plain), "{licences:#?}");
}

fn plugins_version() -> String {
    let path = reference_plugin(Plugins::V1_9, "portmap");
    let folder = path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
    folder.strip_prefix("cni-plugins-").unwrap().to_owned()
}

#[test]
fn what_is_missing_or_too_large_is_said() {
    let folder = scratch("bad");
    let output = build(&workspace(), &folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("calico-install is missing: make build"), "{said}");

    for name in EXECUTABLES {
        std::fs::copy(executable(name), folder.join(name)).unwrap();
    }
    // Random bytes are not made smaller by anything.
    let large = "head -c 21000000 /dev/urandom >\"$1\"";
    let written = Command::new(tool("sh")).args(["-c", large, "sh"]).arg(folder.join("calico-install")).status();
    assert!(written.unwrap().success());
    let output = build(&workspace(), &folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("has become too large") && said.contains("of at most 20"), "{said}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), EXECUTABLES.len(), "and nothing half-made is left");
}

#[test]
fn containerd_takes_it_and_starts_it() {
    let archive = archive();
    for release in ContainerdRelease::ALL {
        let containerd = Containerd::start(release, &readme_list("local"));
        succeed(&containerd.ctr(&["--namespace", "k8s.io", "images", "import", archive.to_str().unwrap()]));
        let images = succeed(&containerd.ctr(&["--namespace", "k8s.io", "images", "list"]));
        let ours = images.lines().find(|line| line.starts_with(NAME));
        assert!(ours.is_some_and(|line| line.contains(&digest(&archive)) && line.contains("linux/amd64")), "{images}");
        for (name, program) in [
            ("installer", &["/usr/bin/calico-install", "--version"][..]),
            ("plugin", &["/usr/bin/calico", "-v"]),
            ("addresses", &["/usr/bin/calico-ipam", "-v"]),
        ] {
            let output = containerd.run_image(NAME, name, program);
            assert!(output.status.success(), "{release:?} {name}: {output:#?}");
        }
    }
}

#[test]
fn podman_takes_it_and_builds_it() {
    let archive = archive();
    let podman = Podman::start(&readme_list("local"));
    // Debian has it in a package of its own.
    let policy = "--signature-policy=/run/podman/policy.json";
    let anything = r#"echo '{"default": [{"type": "insecureAcceptAnything"}]}' >/run/podman/policy.json"#;
    podman.host().run("sh", &["-c", anything]);
    let loaded = podman.succeed(&["load", policy, "--input", archive.to_str().unwrap()]);
    assert!(loaded.contains(NAME), "{loaded}");

    let folder = executables_folder().join("calico-install-image");
    let file = workspace().join("image/Containerfile");
    let [file, folder] = [file, folder].map(|path| path.to_string_lossy().into_owned());
    podman.succeed(&["build", policy, "--file", &file, "--tag", "localhost/built:1", &folder]);
    for image in [NAME, "localhost/built:1"] {
        let inspected = podman.succeed(&["image", "inspect", "--format", "{{json .Config.Entrypoint}}", image]);
        assert_eq!(inspected.trim_end(), r#"["/usr/bin/calico-install"]"#, "{image}");
    }
    // The same files, with the same owners and rights.
    let files = |image: &str| {
        let mounted = podman.succeed(&["image", "mount", image]).trim_end().to_owned();
        let listed = podman.host().run("find", &[&mounted, "-printf", "%M %U %G %s %P %l\\n"]);
        let mut lines: Vec<String> = listed.lines().filter(|line| !line.starts_with('d')).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let (packed, built) = (files(NAME), files("localhost/built:1"));
    assert!(packed.len() > 10, "{packed:?}");
    assert_eq!(packed, built);
}
