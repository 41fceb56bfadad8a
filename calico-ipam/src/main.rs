//! The executable `calico-ipam`: address management for any caller that executes an IPAM plugin.

use std::process::ExitCode;

use calico_ipam::{check, plugin, upgrade};
use calico_plugin::process::{self, Job};
use cni_spec::{Error, Plugin, Request, Success, Version};

struct CalicoIpam;

impl Plugin for CalicoIpam {
    fn name(&self) -> &str {
        "Calico CNI IPAM"
    }

    fn about(&self) -> String {
        format!("Calico CNI IPAM {}", env!("CARGO_PKG_VERSION"))
    }

    fn default_version(&self) -> Version {
        Version::V0_1_0
    }

    fn add(&self, request: &Request) -> Result<Success, Error> {
        plugin::add(request)
    }

    fn del(&self, request: &Request) -> Result<(), Error> {
        plugin::del(request)
    }

    fn check(&self, request: &Request) -> Result<String, Error> {
        check::check(request).map(|()| String::new())
    }
}

fn main() -> ExitCode {
    const UPGRADE: Job = Job { flag: "upgrade", about: "Upgrade from host-local", run: upgrade::run };
    process::run(&CalicoIpam, env!("CARGO_PKG_VERSION"), "calico-ipam", &UPGRADE)
}
