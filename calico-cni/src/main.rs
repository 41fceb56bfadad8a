//! The executable `calico`: networks a container.

mod add;
mod check;
mod dataplane;
mod del;
mod delegate;
mod endpoint;
mod host_local;
mod pod;
mod undo;

use std::process::ExitCode;

use calico_plugin::process::{self, Job};
use cni_spec::{Error, Plugin, Request, Success, Version};

struct Calico;

impl Plugin for Calico {
    fn name(&self) -> &str {
        "Calico CNI"
    }

    fn about(&self) -> String {
        format!("Calico CNI plugin {}", env!("CARGO_PKG_VERSION"))
    }

    fn default_version(&self) -> Version {
        Version::V0_2_0
    }

    fn add(&self, request: &Request) -> Result<Success, Error> {
        add::add(request)
    }

    fn del(&self, request: &Request) -> Result<(), Error> {
        del::del(request)
    }

    fn check(&self, request: &Request) -> Result<String, Error> {
        check::check(request)
    }
}

fn main() -> ExitCode {
    const TEST: Job = Job {
        flag: "t",
        about: "Test datastore connection",
        run: || calico_plugin::connection_test::run(&mut std::io::stdin()),
    };
    process::run(&Calico, env!("CARGO_PKG_VERSION"), "calico", &TEST)
}

/// `CNI_ARGS` as this plugin and the IPAM plugin it executes see them: callers pass arguments meant for others.
fn tolerant_args(request: &Request) -> String {
    match request.args.as_str() {
        "" => "IgnoreUnknown=1".to_owned(),
        args => format!("IgnoreUnknown=1;{args}"),
    }
}
