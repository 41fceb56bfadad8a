//! How many requests an ADD and a DEL are, in how many waves, and over how many connections.

use e2e::{ApiGroup, ControlPlane, Event};
use serde_json::json;

use crate::site::{OfPod, Site};

fn lines(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| format!("{} {} {}", event.verb, event.uri, event.code)).collect()
}

#[test]
fn a_warm_add_is_twelve_requests_and_a_del_nine() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let site = Site::start(&plane);
    // The block stays in use, as on any node with more than one pod.
    let other = site.host.container("sandbox0");
    site.pod("web-0");
    site.pod("web-1");
    other.add(&site.direct).of_pod("default", "web-0").run().result();

    let container = site.host.container("sandbox1");
    for group in ["", "crd.projectcalico.org/v1"] {
        let mut conf = site.direct.clone();
        conf["calico_api_group"] = json!(group);
        let mark = plane.mark();
        container.add(&conf).of_pod("default", "web-1").run().result();
        let of_add = plane.audit_of_plugin(mark);
        assert_eq!(of_add.len(), 12, "{:#?}", lines(&of_add));

        let mark = plane.mark();
        container.del(&conf).of_pod("default", "web-1").run().result();
        let of_del = plane.audit_of_plugin(mark);
        assert_eq!(of_del.len(), 9, "{:#?}", lines(&of_del));
    }
    other.del(&site.direct).of_pod("default", "web-0").run().result();
}

/// Every request waits for the others of its wave: were they sent one after the other, none would be answered.
#[test]
fn an_add_is_five_waves_and_a_del_four_over_one_connection() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    let site = Site::start(&plane);
    let other = site.host.container("sandbox0");
    site.pod("web-0");
    site.pod("web-1");
    other.add(&site.direct).of_pod("default", "web-0").run().result();

    let container = site.host.container("sandbox1");
    site.gateway.expect_waves(&[8, 1, 1, 1, 1]);
    container.add(&site.conf).of_pod("default", "web-1").run().result();
    let asked = site.gateway.asked();
    assert_eq!((asked.len(), site.gateway.connections()), (12, 1), "{asked:#?}");

    site.gateway.expect_waves(&[5, 2, 1, 1]);
    container.del(&site.conf).of_pod("default", "web-1").run().result();
    let asked = site.gateway.asked();
    assert_eq!((asked.len(), site.gateway.connections()), (9, 1), "{asked:#?}");
    other.del(&site.direct).of_pod("default", "web-0").run().result();
}
