//! Whatever becomes of a request: an ADD succeeds, or fails and leaves nothing; after a DEL nothing is allocated; nobody gets two
//! addresses.

use std::time::Duration;

use e2e::{Act, Answer, ApiGroup, Asked, ControlPlane, Rule};

use crate::site::{OfPod, Site};

/// The writes of an ADD on a host that has no block yet, beside those of any.
const OF_FIRST_ADD: [(&str, &str); 3] =
    [("POST", "/blockaffinities"), ("POST", "/ipamblocks"), ("PUT", "/blockaffinities")];
/// The writes of any ADD.
const OF_ADD: [(&str, &str); 3] = [("POST", "/ipamhandles"), ("PUT", "/ipamblocks"), ("PATCH", "/status")];
/// The writes of a DEL.
const OF_DEL: [(&str, &str); 3] = [("PATCH", "/status"), ("PUT", "/ipamblocks"), ("DELETE", "/ipamhandles")];

/// What passes: a call succeeds all the same.
fn passing() -> Vec<(&'static str, Act)> {
    vec![
        ("409 once", Act::status(409, "Conflict", "the object has been modified")),
        ("401 once", Act::status(401, "Unauthorized", "Unauthorized")),
        ("429, later", Act::status(429, "TooManyRequests", "please try again later").retry_after(0)),
        ("500", Act::status(500, "InternalError", "etcdserver: request timed out")),
        ("500 of what was carried out", Act::status(500, "InternalError", "etcdserver: leader changed").after()),
        ("503, later", Act::status(503, "ServiceUnavailable", "apiserver is shutting down").retry_after(0)),
        ("504 of what was carried out", Act::status(504, "Timeout", "request did not complete in time").after()),
        ("dropped", Act::Drop),
        ("refused", Act::Refuse),
        ("GOAWAY without it", Act::GoAwayBefore),
        ("GOAWAY with it, no answer", Act::GoAwayAfter),
        ("GOAWAY, answered", Act::GoAway),
        ("cut", Act::Cut),
        ("cut in the answer", Act::CutBody),
        ("half of the answer", Act::Truncate),
        ("slow", Act::Delay(Duration::from_millis(100))),
    ]
}

fn texts(asked: &[Asked]) -> String {
    let line = |asked: &Asked| format!("{} {} {:?}\n", asked.method, asked.path, asked.status);
    asked.iter().map(line).collect()
}

/// A fault of a write of an ADD: the pod has one address then, in the block and in its annotations.
fn judge_add(site: &Site<'_>, answer: &Answer, what: &str) {
    let asked = texts(&site.gateway.asked());
    assert_eq!(answer.exit, Some(0), "{what}: {answer:#?}\n{asked}");
    let stored = site.plane.stored();
    let addresses = answer.addresses();
    assert_eq!((addresses.len(), stored.allocated()), (1, 1), "{what}: {:#?}\n{asked}", stored.0);
    assert_eq!(site.annotated("web"), format!("{}/32", addresses[0]), "{what}");
    assert_eq!(site.plane.contradictions(), Vec::<String>::new(), "{what}\n{asked}");
}

#[test]
fn writes_of_an_add_and_of_a_del() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let site = Site::start(&plane);
    site.pod("web");
    let container = site.host.container("sandbox");
    // The block that is there from now on.
    site.add(&container, "web", []).result();
    site.del(&container, "web", []).result();
    for (fault, act) in passing() {
        for (method, part) in OF_ADD {
            let what = format!("ADD, {method} {part}: {fault}");
            let answer = site.add(&container, "web", [Rule::on(method, part, act.clone())]);
            judge_add(&site, &answer, &what);
            site.del(&container, "web", []).result();
            site.assert_nothing_left(&what);
        }
        for (method, part) in OF_DEL {
            let what = format!("DEL, {method} {part}: {fault}");
            site.add(&container, "web", []).result();
            let answer = site.del(&container, "web", [Rule::on(method, part, act.clone())]);
            assert_eq!(answer.exit, Some(0), "{what}: {answer:#?}\n{}", texts(&site.gateway.asked()));
            site.assert_nothing_left(&what);
        }
    }
}

#[test]
fn writes_of_the_first_add_of_a_host() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let site = Site::start(&plane);
    site.pod("web");
    let container = site.host.container("sandbox");
    for (fault, act) in passing() {
        for (method, part) in OF_FIRST_ADD {
            site.make_cold();
            let what = format!("first ADD, {method} {part}: {fault}");
            let answer = site.add(&container, "web", [Rule::on(method, part, act.clone())]);
            judge_add(&site, &answer, &what);
            site.del(&container, "web", []).result();
            site.assert_nothing_left(&what);
        }
    }
}

/// Also of what is only read: a call succeeds all the same.
#[test]
fn reads() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let site = Site::start(&plane);
    site.pod("web");
    let container = site.host.container("sandbox");
    site.add(&container, "web", []).result();
    let of_add = site.gateway.asked().iter().filter(|asked| asked.method == "GET").count();
    site.del(&container, "web", []).result();
    let of_del = site.gateway.asked().iter().filter(|asked| asked.method == "GET").count();
    for (fault, act) in [
        ("429, later", Act::status(429, "TooManyRequests", "please try again later").retry_after(0)),
        ("500", Act::status(500, "InternalError", "etcdserver: request timed out")),
        ("refused", Act::Refuse),
        ("cut", Act::Cut),
        ("cut in the answer", Act::CutBody),
        ("GOAWAY without it", Act::GoAwayBefore),
    ] {
        for (verb, requests) in [("ADD", of_add), ("DEL", of_del)] {
            for request in 1..=requests {
                site.gateway.set([Rule::on("GET", "", act.clone()).nth(request)]);
                let answer = container.call("calico", verb, &site.conf).of_pod("default", "web").run();
                let what = format!("{verb}, {request}: {fault}");
                assert_eq!(answer.exit, Some(0), "{what}: {answer:#?}\n{}", texts(&site.gateway.asked()));
                if verb == "ADD" && request != requests {
                    site.del(&container, "web", []).result();
                } else if verb == "DEL" && request != requests {
                    site.add(&container, "web", []).result();
                }
            }
        }
        site.assert_nothing_left(fault);
    }
}

/// An answer that is not complete, or none of the API's, does not say that nothing is there: a DEL that believed that would leave
/// the address.
#[test]
fn an_answer_that_is_none() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let site = Site::start(&plane);
    site.pod("web");
    let container = site.host.container("sandbox");
    site.add(&container, "web", []).result();
    let page =
        Act::Answer { is_carried_out: false, status: 200, headers: Vec::new(), body: "<html>Log in</html>".into() };
    for part in ["/ipamhandles/", "/ipamblocks/", "/pods/", "/clusterinformations/"] {
        for act in [Act::Truncate, page.clone()] {
            let answer = site.del(&container, "web", [Rule::on("GET", part, act.clone()).times(100)]);
            if answer.exit == Some(0) {
                site.assert_nothing_left(&format!("{part}, {act:?}"));
                site.add(&container, "web", []).result();
            } else {
                answer.error().assert_words(&["the Kubernetes API at", part.trim_matches('/'), "or a proxy before it"]);
            }
        }
    }
    site.del(&container, "web", []).result();
    site.assert_nothing_left("DEL");
}
