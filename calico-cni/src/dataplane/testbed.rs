//! A host and a container for tests: network namespaces of threads. They vanish with the test process, whatever happens
//! to the test.

use std::future::Future;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};

use super::{Addressing, Error, Kernel, Link, Prepared};

pub const HOST_IFNAME: &str = "caliabcdef01234";
pub const IPV4: &str = "192.168.84.128";
pub const IPV6: &str = "fd80:24e2:f998:72d6:94fa:7820:5b81:7500";

type Job = Box<dyn FnOnce() + Send>;

/// A thread in a network namespace of its own.
pub struct Place {
    /// The namespace's file, for as long as this lives.
    pub netns: PathBuf,
    jobs: mpsc::Sender<Job>,
}

impl Place {
    pub fn new() -> Place {
        Place::with(CloneFlags::CLONE_NEWNET)
    }

    pub fn with(flags: CloneFlags) -> Place {
        assert_eq!(
            std::fs::metadata("/proc/self").unwrap().uid(),
            0,
            "the dataplane tests make network namespaces: run them as root"
        );
        let (jobs, given) = mpsc::channel::<Job>();
        let (ready, is_ready) = mpsc::channel();
        thread::spawn(move || {
            unshare(flags).expect("unshare: the dataplane tests need CAP_SYS_ADMIN");
            let thread = std::fs::read_link("/proc/thread-self").unwrap();
            ready.send(Path::new("/proc").join(thread).join("ns/net")).unwrap();
            for job in given {
                job();
            }
        });
        Place { netns: is_ready.recv().unwrap(), jobs }
    }

    /// Runs `work` in the namespace.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (answer, answered) = mpsc::channel();
        self.jobs.send(Box::new(move || drop(answer.send(work())))).unwrap();
        answered.recv().expect("the work panicked")
    }

    /// Runs a command in the namespace and returns its lines, trimmed.
    pub fn lines(&self, command: &str) -> Vec<String> {
        let command = command.to_owned();
        self.run(move || {
            let mut words = command.split(' ');
            let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
            assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap().lines().map(|line| line.trim().to_owned()).collect()
        })
    }

    /// The only element of what `ip -j -d` prints.
    pub fn json(&self, command: &str) -> serde_json::Value {
        let text = self.lines(&format!("ip -j -d {command}")).join("");
        serde_json::from_str::<Vec<serde_json::Value>>(&text).unwrap().remove(0)
    }

    pub fn has_link(&self, name: &str) -> bool {
        self.run({
            let name = name.to_owned();
            move || Command::new("ip").args(["link", "show", &name]).output().unwrap().status.success()
        })
    }

    /// Waits, at most a second, until no address is tentative.
    pub fn settle(&self) {
        for _ in 0..100 {
            if self.lines("ip addr show tentative").is_empty() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Reads settings below /proc/sys/net.
    pub fn sysctls(&self, names: &[&str]) -> Vec<String> {
        let names: Vec<String> = names.iter().map(|name| format!("/proc/sys/net/{name}")).collect();
        self.run(move || {
            names.iter().map(|name| std::fs::read_to_string(name).expect(name).trim().to_owned()).collect()
        })
    }

    pub fn set_sysctl(&self, name: &str, value: &'static str) {
        let path = format!("/proc/sys/net/{name}");
        self.run(move || std::fs::write(path, value).unwrap());
    }
}

/// A host, a container and the kernel thread between them.
pub struct Bed {
    pub host: Place,
    pub container: Place,
    pub kernel: Kernel,
}

impl Bed {
    pub fn new() -> Bed {
        Bed::on(Place::new())
    }

    pub fn on(host: Place) -> Bed {
        let container = Place::new();
        let kernel = start(&host, &container.netns);
        Bed { host, container, kernel }
    }

    pub fn prepare(&self, link: Link) -> Result<Prepared, Error> {
        wait(self.kernel.prepare(link))
    }

    /// Finishes with the recorded runs' default routes.
    pub fn finish(&self, addresses: &[&str]) -> Result<(), Error> {
        wait(self.kernel.finish(addressing(addresses)))
    }
}

/// A kernel thread whose host is `host`.
pub fn start(host: &Place, netns: &Path) -> Kernel {
    let netns = netns.to_owned();
    host.run(move || Kernel::start(netns)).unwrap()
}

pub fn ipv4_link() -> Link {
    Link { ifname: "eth0".into(), host_ifname: HOST_IFNAME.into(), queues: 1, ipv4: true, ..Link::default() }
}

pub fn dual_link() -> Link {
    Link { ipv6: true, ..ipv4_link() }
}

pub fn addressing(addresses: &[&str]) -> Addressing {
    Addressing {
        addresses: addresses.iter().map(|address| address.parse::<IpAddr>().unwrap()).collect(),
        routes: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
        host_routes: true,
        allow_ip_forwarding: false,
    }
}

pub fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
