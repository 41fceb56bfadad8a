//! Address management by another executable: any plugin that `ipam.type` names, or our own where the configuration
//! asks for it.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use calico_datastore::Deadline;
use calico_ipam::plugin::Call;
use calico_plugin::config::IpamConf;
use calico_plugin::lock;
use calico_plugin::log::Value::{Plain, Text};
use cni_spec::error::code;
use cni_spec::{Command, Error, Request, Success, delegate};

use crate::host_local::{HostLocal, PodCidrs};

/// An IPAM plugin to be executed.
pub struct Delegate<'a> {
    call: &'a Call,
    program: PathBuf,
    request: &'a Request,
    /// The configuration it gets: ours as it came, unless it was changed for it.
    stdin: RefCell<Vec<u8>>,
    args: String,
    /// How long it may wait for the host lock beyond the time of its call.
    patience: Duration,
    /// Whether its ADD was started.
    has_begun: Cell<bool>,
}

impl<'a> Delegate<'a> {
    /// Looks the configured plugin up in `CNI_PATH`.
    pub fn find(call: &'a Call, request: &'a Request) -> Result<Delegate<'a>, Error> {
        let conf = &call.conf;
        let advice = "ipam.type names the executable of an IPAM plugin in a folder of CNI_PATH, such as calico-ipam";
        let found = delegate::find(&conf.ipam.plugin, &request.path);
        let program = found.map_err(|error| error.with_details(advice))?;
        let own = conf.ipam.plugin == IpamConf::OWN_PLUGIN;
        let patience = if own { lock::PATIENCE } else { Duration::ZERO };
        let args = crate::tolerant_args(request);
        // Whatever is released by the container's ID needs no node: DEL must not need the API.
        let stdin = match HostLocal::of(call, &request.config).filter(|_| call.ids.pod.is_some()) {
            Some(host_local) if host_local.has_placeholders()? => host_local.with(&PodCidrs::any())?,
            _ => request.stdin.clone(),
        };
        Ok(Delegate { call, program, request, stdin: stdin.into(), args, patience, has_begun: Cell::new(false) })
    }

    /// Gives it another configuration from now on.
    pub fn configure(&self, stdin: Vec<u8>) {
        self.stdin.replace(stdin);
    }

    /// The deadline of a call that starts now: the configured time, and what our own plugin may wait for the host lock.
    pub fn deadline(&self) -> Deadline {
        Deadline::after(self.call.conf.timeout.saturating_add(self.patience))
    }

    /// Whether its ADD was started: then it may hold addresses, however that ended.
    pub fn has_begun(&self) -> bool {
        self.has_begun.get()
    }

    /// Its ADD.
    pub async fn add(&self, deadline: Deadline) -> Result<Success, Error> {
        self.add_with(&self.args, deadline).await
    }

    /// Its ADD of one given address.
    pub async fn add_address(&self, address: IpAddr, deadline: Deadline) -> Result<Success, Error> {
        self.add_with(&format!("{};IP={address}", self.args), deadline).await
    }

    async fn add_with(&self, args: &str, deadline: Deadline) -> Result<Success, Error> {
        let printed = self.run(Command::Add, args, deadline, || self.has_begun.set(true)).await?;
        let version = self.request.version;
        let success = Success::parse(&printed, version).map_err(|error| {
            let advice =
                format!("{} answered so, which was asked for a result of version {version}", self.program.display());
            error.with_details(advice)
        })?;
        if success.ips.is_empty() {
            let advice = format!("{} answered so: see its settings under ipam", self.program.display());
            return Err(Error::internal("IPAM plugin returned no IP addresses in result").with_details(advice));
        }
        Ok(success)
    }

    /// Its CHECK.
    pub async fn check(&self, deadline: Deadline) -> Result<(), Error> {
        self.run(Command::Check, &self.args, deadline, || {}).await.map(drop)
    }

    /// Its DEL.
    pub async fn del(&self, deadline: Deadline) -> Result<(), Error> {
        self.run(Command::Del, &self.args, deadline, || {}).await.map(drop)
    }

    async fn run(
        &self,
        command: Command,
        args: &str,
        deadline: Deadline,
        begins: impl FnOnce(),
    ) -> Result<Vec<u8>, Error> {
        let stdin = self.stdin.borrow().clone();
        let work = async {
            let running = delegate::start(&self.program, self.request, command, args).await?;
            begins();
            running.finish(&stdin).await
        };
        let result = deadline.bound(work).await.unwrap_or_else(|| {
            let text = format!(
                "timed out after {:.0?} while waiting for {command} of the IPAM plugin {}",
                deadline.limit,
                self.program.display()
            );
            let advice = "it was ended; see what it waits for, or give it more time with timeout_seconds";
            Err(Error::new(code::TRY_AGAIN, text).with_details(advice))
        });
        // Its error goes on as it is, and does not say whose it is.
        result.inspect_err(|error| {
            let plugin = self.program.to_string_lossy();
            let fields = [
                ("command", Text(command.as_str())),
                ("container", Text(&self.request.container_id)),
                ("error", Plain(error)),
                ("plugin", Text(&plugin)),
            ];
            self.call.log.error("the IPAM plugin failed", &fields);
        })
    }
}
