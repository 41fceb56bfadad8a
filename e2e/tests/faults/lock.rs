//! A process that keeps the host lock.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use e2e::{Host, Place, at_once, dual_stack};

/// A process on a host that keeps the lock until its stdin closes.
pub struct Holder(Child);

impl Holder {
    pub fn start(host: &Host) -> Holder {
        host.run("mkdir", &["-p", "/run/calico"]);
        let mut command = host.command("flock");
        command.args(["/run/calico/ipam.lock", "sh", "-c", "echo held; cat"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        Holder(child)
    }

    /// The process that has it.
    fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[test]
fn the_wait_for_the_lock_ends_and_tells_who_has_it() {
    let host = Host::start();
    let netconf = dual_stack();
    let (connected, late) = (host.container("connected"), host.container("late"));
    connected.add(&netconf).run().result();
    let holder = Holder::start(&host);
    let answers = at_once([late.add(&netconf), connected.del(&netconf)].into_iter());
    for answer in &answers {
        let error = answer.error();
        let waited = "timed out after 90s waiting for the host lock /var/run/calico/ipam.lock";
        let held = format!("(held by process {}, flock, since 20", holder.id());
        assert!(error.code == 11 && error.text.contains(waited) && error.text.contains(&held), "{error:?}");
    }
    assert_eq!((late.links(), connected.links()), (vec!["lo".to_owned()], vec!["lo".to_owned()]));
    drop(holder);
    connected.del(&netconf).run().result();
    host.assert_nothing_left();
}
