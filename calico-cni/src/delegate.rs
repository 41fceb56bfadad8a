//! Address management by another executable: any plugin that `ipam.type` names, or our own where the configuration
//! asks for it.

use std::path::PathBuf;

use calico_datastore::Deadline;
use cni_spec::error::code;
use cni_spec::{Command, Error, Request, Success, delegate};

/// An IPAM plugin to be executed.
pub struct Delegate<'a> {
    program: PathBuf,
    request: &'a Request,
    args: String,
}

impl<'a> Delegate<'a> {
    /// Looks the plugin up in `CNI_PATH`.
    pub fn find(plugin: &str, request: &'a Request) -> Result<Delegate<'a>, Error> {
        let program = delegate::find(plugin, &request.path)?;
        Ok(Delegate { program, request, args: crate::tolerant_args(request) })
    }

    /// Its ADD, with our configuration as it came.
    pub async fn add(&self, deadline: Deadline) -> Result<Success, Error> {
        let printed = self.run(Command::Add, deadline).await?;
        let success = Success::parse(&printed, self.request.version)?;
        if success.ips.is_empty() {
            return Err(Error::internal("IPAM plugin returned no IP addresses in result"));
        }
        Ok(success)
    }

    /// Its DEL.
    pub async fn del(&self, deadline: Deadline) -> Result<(), Error> {
        self.run(Command::Del, deadline).await.map(drop)
    }

    async fn run(&self, command: Command, deadline: Deadline) -> Result<Vec<u8>, Error> {
        let child = delegate::exec(&self.program, self.request, command, &self.args, &self.request.stdin);
        deadline.bound(child).await.unwrap_or_else(|| {
            let text = format!(
                "timed out after {:.0?} while waiting for {command} of the IPAM plugin {}",
                deadline.limit,
                self.program.display()
            );
            Err(Error::new(code::TRY_AGAIN, text))
        })
    }
}
