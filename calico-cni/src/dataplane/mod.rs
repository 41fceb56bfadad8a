//! The Linux dataplane: a container's pair of interfaces, its routes and its kernel settings.
//!
//! All of it happens on one thread made for it. Entering a network namespace changes the namespace of the whole thread,
//! and removing a veth blocks for many milliseconds; neither may happen to the thread that drives the datastore's
//! connections. The thread does its jobs in the order they are given.
//!
//! An ADD is `prepare`, which needs no address, then `finish`. A DEL is `take_down`, at once, and `delete`, beside
//! other work. A CHECK is `verify`.

mod addresses;
mod error;
mod links;
mod namespace;
mod netkit;
mod routes;
mod socket;
mod sysctl;
mod verify;
mod veth;
mod worker;

#[cfg(test)]
mod testbed;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;
use tokio::sync::oneshot;

pub use error::{Error, REMAKE};
pub use links::FoundLink;
pub use verify::Expected;
use worker::Worker;

/// What the pair of interfaces shall be.
#[derive(Debug, Clone, Default)]
pub struct Link {
    /// Whether it shall be netkit rather than veth, where the kernel has it.
    pub netkit: bool,
    /// The container end's name (`CNI_IFNAME`).
    pub ifname: String,
    /// The host end's name.
    pub host_ifname: String,
    /// The MTU of both ends in bytes; `None` and 0 leave the kernel's default of 1500.
    pub mtu: Option<u32>,
    /// Transmit and receive queues of both ends; 0 leaves the kernel's default.
    pub queues: u32,
    /// The container end's MAC address; `None` lets the kernel choose one.
    pub mac: Option<[u8; 6]>,
    /// Whether the container will get an IPv4 address.
    pub ipv4: bool,
    /// Whether the container will get an IPv6 address.
    pub ipv6: bool,
    /// Whether a host link that has the host end's name already is removed first. It may be the working interface of
    /// another container.
    pub replace_host_link: bool,
}

/// The interfaces [`Kernel::prepare`] made.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The container end's MAC address, lower case with colons.
    pub mac: String,
    /// What did not work and need not: to be logged.
    pub warnings: Vec<String>,
}

/// What [`Kernel::finish`] gives a prepared container.
#[derive(Debug, Clone, Default)]
pub struct Addressing {
    /// The container's addresses, in the order they are set.
    pub addresses: Vec<IpAddr>,
    /// Destinations the container reaches through its gateway. Those of a family without an address are left out.
    pub routes: Vec<IpNetwork>,
    /// Whether the host gets a route to each address.
    pub host_routes: bool,
    /// Whether the container may forward. When not, forwarding is turned off, not left alone.
    pub allow_ip_forwarding: bool,
}

/// What a container reaches through its gateway unless something else is configured: everything.
pub fn default_routes() -> Vec<IpNetwork> {
    ["0.0.0.0/0", "::/0"].iter().filter_map(|net| net.parse().ok()).collect()
}

/// What [`Kernel::take_down`] found at the other end of the container's interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostEnd {
    /// No such namespace, interface or host end.
    None,
    /// This host link, which is down now.
    Down(String),
    /// This host link, which is another container's and was left alone.
    OfAnother(String),
}

/// Whether the caller of a job has stopped waiting for it.
type IsLeft<'a> = &'a dyn Fn() -> bool;

type Job = Box<dyn FnOnce(&mut Worker) + Send>;

/// The kernel thread of one container. Dropping this lets the thread end after its last job.
///
/// A job that has been given is done to its end, also when the caller stops waiting, but for what it only waits for:
/// [`Kernel::undo`] as the next job finds a known state. The process must wait for the answer of its last job before it ends.
pub struct Kernel {
    jobs: mpsc::Sender<Job>,
    /// Microseconds that jobs took.
    busy: Arc<AtomicU64>,
}

impl Kernel {
    /// Starts the thread. The host's namespace is the one the calling thread is in; `netns` is the container's.
    ///
    /// Nothing is opened yet: a namespace that cannot be entered is the error of each job that needs it.
    pub fn start(netns: PathBuf) -> Result<Kernel, Error> {
        let (jobs, given) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name("kernel".into())
            .spawn(move || {
                let mut worker = Worker::new(netns);
                for job in given {
                    job(&mut worker);
                }
            })
            .map_err(|error| Error::Thread(format!("could not be started: {error}")))?;
        Ok(Kernel { jobs, busy: Arc::default() })
    }

    /// The host's link of this name, if there is one. Does not need the container's namespace.
    pub async fn host_link(&self, name: String) -> Result<Option<FoundLink>, Error> {
        self.give(move |worker, _| worker.host_link(&name)).await
    }

    /// Makes the pair and does everything else that needs no address: MAC, settings, both ends up.
    ///
    /// A failure leaves what was made so far; [`Kernel::undo`] removes it.
    pub async fn prepare(&self, link: Link) -> Result<Prepared, Error> {
        self.give(move |worker, is_left| worker.prepare(&link, is_left)).await
    }

    /// Gives a prepared container its addresses and routes, and the host its routes to them.
    ///
    /// Call it only with addresses that are committed to this container. A failure leaves what was done so far;
    /// [`Kernel::undo`] removes it.
    pub async fn finish(&self, addressing: Addressing) -> Result<(), Error> {
        self.give(move |worker, _| worker.finish(&addressing)).await
    }

    /// Removes the pair this thread made, with all its routes; nothing if it made none. An interface it found is never
    /// touched. Blocks 15–20 ms.
    pub async fn undo(&self) -> Result<(), Error> {
        self.give(|worker, _| worker.undo()).await
    }

    /// The host end of the container's interface, found as its peer, whatever its name. `None`: no such namespace,
    /// interface or host end.
    pub async fn host_end(&self, ifname: String) -> Result<Option<FoundLink>, Error> {
        self.give(move |worker, _| worker.host_end(&ifname)).await
    }

    /// Takes the host end of the container's interface down, and with it every route to the container, in a fraction of
    /// a millisecond.
    ///
    /// The host end is the peer of the container's interface, whatever its name: the name it was given may belong to
    /// the container's successor. Only one that has another container's name is left alone: the namespace's path may
    /// have passed to that one.
    pub async fn take_down(&self, ifname: String, own_host_end: String) -> Result<HostEnd, Error> {
        self.give(move |worker, _| worker.take_down(&ifname, &own_host_end)).await
    }

    /// Finds the first difference between what a container's network has to be and what it is. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Differs`], or what kept it from being found out.
    pub async fn verify(&self, expected: Expected) -> Result<(), Error> {
        self.give(move |worker, _| worker.verify(&expected)).await
    }

    /// Removes a link of the host by name: that of a pair with its other end, wherever that is. `false`: there is none.
    pub async fn delete_host_link(&self, name: String) -> Result<bool, Error> {
        self.give(move |worker, _| worker.delete_host_link(&name)).await
    }

    /// Removes the container's interface, with its host end. Blocks 15–20 ms. `false`: no such namespace or
    /// interface, which is no error.
    pub async fn delete(&self, ifname: String) -> Result<bool, Error> {
        self.give(move |worker, _| worker.delete(&ifname)).await
    }

    /// The time that the jobs so far took in the kernel, whatever their callers did meanwhile.
    pub fn busy(&self) -> Duration {
        Duration::from_micros(self.busy.load(Ordering::Relaxed))
    }

    async fn give<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Worker, IsLeft<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let ended = || Error::Thread("ended before it could answer; its panic message is on stderr".into());
        let (answer, answered) = oneshot::channel();
        let busy = self.busy.clone();
        let job = Box::new(move |worker: &mut Worker| {
            let started = Instant::now();
            let result = work(worker, &|| answer.is_closed());
            busy.fetch_add(started.elapsed().as_micros() as u64, Ordering::Relaxed);
            // Nobody waits any more: the work is done all the same.
            let _ = answer.send(result);
        });
        self.jobs.send(job).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}
