//! The same without kustomize.

use crate::{delete, empty_plane, manifests, overlay, rendered};

const OVERLAYS: [&str; 3] = ["alone", "alone-etcd", "operator"];

#[test]
fn plain_files_are_those_of_the_overlays() {
    for name in OVERLAYS {
        let file = manifests(&format!("{name}.yaml"));
        let text = std::fs::read_to_string(&file).unwrap();
        let (comment, objects) = text.split_once('\n').unwrap();
        assert!(comment.starts_with('#') && comment.contains(&format!("overlays/{name}")), "{comment}");
        assert!(objects == rendered(&overlay(name)), "{} is not that of now: run `make manifests`", file.display());
    }
}

#[test]
fn plain_files_are_accepted() {
    let plane = empty_plane();
    for name in OVERLAYS {
        let file = manifests(&format!("{name}.yaml")).to_string_lossy().into_owned();
        plane.kubectl(&["apply", "--server-side", "--validate=strict", "--dry-run=server", "-f", &file]);
        // As most people do it.
        plane.kubectl(&["apply", "--validate=strict", "-f", &file]);
        delete(&plane, ["-f", &file]);
    }
}
