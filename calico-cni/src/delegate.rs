//! Address management by another executable: any plugin that `ipam.type` names, or our own where the configuration
//! asks for it.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

use calico_datastore::Deadline;
use calico_ipam::plugin::Call;
use calico_plugin::config::IpamConf;
use calico_plugin::lock;
use calico_plugin::log::Value::{Plain, Text};
use cni_spec::error::code;
use cni_spec::{Command, Error, Request, Success, delegate};

/// An IPAM plugin to be executed.
pub struct Delegate<'a> {
    call: &'a Call,
    program: PathBuf,
    request: &'a Request,
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
        Ok(Delegate { call, program, request, args, patience, has_begun: Cell::new(false) })
    }

    /// The deadline of a call that starts now: the configured time, and what our own plugin may wait for the host lock.
    pub fn deadline(&self) -> Deadline {
        Deadline::after(self.call.conf.timeout.saturating_add(self.patience))
    }

    /// Whether its ADD was started: then it may hold addresses, however that ended.
    pub fn has_begun(&self) -> bool {
        self.has_begun.get()
    }

    /// Its ADD, with our configuration as it came.
    pub async fn add(&self, deadline: Deadline) -> Result<Success, Error> {
        let printed = self.run(Command::Add, deadline, || self.has_begun.set(true)).await?;
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
        self.run(Command::Check, deadline, || {}).await.map(drop)
    }

    /// Its DEL.
    pub async fn del(&self, deadline: Deadline) -> Result<(), Error> {
        self.run(Command::Del, deadline, || {}).await.map(drop)
    }

    async fn run(&self, command: Command, deadline: Deadline, begins: impl FnOnce()) -> Result<Vec<u8>, Error> {
        let work = async {
            let running = delegate::start(&self.program, self.request, command, &self.args).await?;
            begins();
            running.finish(&self.request.stdin).await
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
