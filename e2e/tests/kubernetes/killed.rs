//! Calls that are killed, or told to end, at any of their requests: that request lands after its process is gone, before or after
//! the DEL that follows.

use e2e::{Act, ApiGroup, Container, ControlPlane, Rule};
use nix::sys::signal::Signal;

use crate::site::{OfPod, Site};

/// When the request lands that its process did not live to see answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lands {
    BeforeDel,
    AfterDel,
}

/// Every end that a call may come to.
const ENDS: [(Signal, Lands); 3] =
    [(Signal::SIGKILL, Lands::BeforeDel), (Signal::SIGKILL, Lands::AfterDel), (Signal::SIGTERM, Lands::AfterDel)];

/// Starts a call whose n-th such request is held, ends it then, and has the request land and a DEL follow.
fn end_at(site: &Site<'_>, container: &Container<'_>, verb: &str, rule: Rule, (signal, lands): (Signal, Lands)) {
    site.gateway.set([rule.clone()]);
    let running = container.call("calico", verb, &site.conf).of_pod("default", "web").start();
    site.gateway.wait_until_held();
    running.signal(signal);
    let answer = running.finish();
    let what = format!("{verb}, {signal}, {lands:?}: {:#?}", site.gateway.asked());
    assert!(answer.exit != Some(0), "{what}: {answer:#?}");
    let del = || {
        let answer = container.del(&site.direct).of_pod("default", "web").run();
        assert_eq!(answer.exit, Some(0), "{what}: {answer:#?}");
    };
    if lands == Lands::BeforeDel {
        site.gateway.release();
        del();
    } else {
        del();
        let late = site.gateway.release();
        let stored = site.plane.stored();
        assert_eq!(stored.allocated(), 0, "{what}, {late:?}: {:#?}", stored.0);
        // A handle that counts nothing may be there now, and the annotations of a pod that has no network.
        del();
    }
    site.assert_nothing_left(&what);
}

#[test]
fn an_add_that_ends_at_any_request() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let site = Site::start(&plane);
    plane.put_pool("pool4", "10.65.0.0/30", 30);
    site.pod("web");
    let container = site.host.container("sandbox");
    // On a host without blocks: reads are as those of the next, so that writes are enough.
    site.add(&container, "web", []).result();
    let writes = site.gateway.asked().iter().filter(|asked| asked.method != "GET").count();
    site.del(&container, "web", []).result();
    for end in ENDS {
        for write in 1..=writes {
            site.make_cold();
            end_at(&site, &container, "ADD", Rule::on("write", "", Act::Hold).nth(write), end);
        }
    }
    site.add(&container, "web", []).result();
    site.del(&container, "web", []).result();
    site.add(&container, "web", []).result();
    let requests = site.gateway.asked().len();
    site.del(&container, "web", []).result();
    for end in ENDS {
        for request in 1..=requests {
            end_at(&site, &container, "ADD", Rule::on("", "", Act::Hold).nth(request), end);
        }
    }
    // All four addresses of the pool can be had.
    let others: Vec<Container<'_>> = (0..4).map(|pod| site.host.container(&format!("other-{pod}"))).collect();
    for other in &others {
        site.pod(other.id());
        other.add(&site.direct).of_pod("default", other.id()).run().result();
    }
    for other in &others {
        other.del(&site.direct).of_pod("default", other.id()).run().result();
    }
    site.assert_nothing_left("the end");
}

#[test]
fn a_del_that_ends_at_any_request() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let site = Site::start(&plane);
    site.pod("web");
    let container = site.host.container("sandbox");
    site.add(&container, "web", []).result();
    site.del(&container, "web", []).result();
    let requests = site.gateway.asked().len();
    for end in ENDS {
        for request in 1..=requests {
            site.add(&container, "web", []).result();
            end_at(&site, &container, "DEL", Rule::on("", "", Act::Hold).nth(request), end);
        }
    }
}

/// What a dead DEL had on the way is meant for the sandbox of then.
#[test]
fn a_late_request_of_a_del_spares_the_next_sandbox() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let site = Site::start(&plane);
    site.pod("web");
    let (one, two) = (site.host.container("one"), site.host.container("two"));
    site.add(&one, "web", []).result();
    site.del(&one, "web", []).result();
    let writes = site.gateway.asked().iter().filter(|asked| asked.method != "GET").count();
    assert!(writes > 0);
    for write in 1..=writes {
        site.add(&one, "web", []).result();
        site.gateway.set([Rule::on("write", "", Act::Hold).nth(write)]);
        let running = one.del(&site.conf).of_pod("default", "web").start();
        site.gateway.wait_until_held();
        running.signal(Signal::SIGKILL);
        running.finish();
        let address = two.add(&site.direct).of_pod("default", "web").run().address();
        one.del(&site.direct).of_pod("default", "web").run().result();
        let late = site.gateway.release();
        assert_eq!(site.annotated("web"), format!("{address}/32"), "{late:?}");
        assert_eq!(plane.stored().allocated(), 1, "{late:?}");
        assert_eq!(plane.contradictions(), Vec::<String>::new(), "{late:?}");
        site.del(&two, "web", []).result();
        site.assert_nothing_left(&format!("{late:?}"));
    }
}
