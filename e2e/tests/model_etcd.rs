//! Allocation against the model, on etcd.

use std::path::Path;

use e2e::{Etcd, Options, note};

/// `MODEL_SEED` and `MODEL_CASES` are as for the model on the embedded store.
#[test]
fn allocation_on_etcd_keeps_to_the_model() {
    let etcd = Etcd::start(Options::default());
    let mut model = etcd.servers().program(Path::new(env!("CARGO_BIN_EXE_model")));
    for name in ["MODEL_SEED", "MODEL_CASES"] {
        model.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    let output = model.arg(etcd.endpoint(0)).output().expect("nsenter can be started");
    String::from_utf8_lossy(&output.stdout).lines().for_each(note);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
