//! Which API group the custom resources are looked for in.

use calico_datastore::{Error, Want, Write};
use calico_model::kubernetes::Group;
use calico_model::{Handle, IpPool, Key, Kind, Listing};
use e2e::{Answer, ApiGroup, ControlPlane, ControlPlaneOptions, Host, until};
use serde_json::{Value, json};

use crate::opened::Opened;

const USUAL: &str = "crd.projectcalico.org";
const OTHER: &str = "projectcalico.org";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

fn pools(store: &Opened) -> Vec<Key> {
    store.keys(Listing::Resources(Kind::IpPool))
}

/// Gives a container an address, with this as the configured group, or none. Answers also which groups were asked for
/// anything, in the order in which they came; the server itself is `apis`.
fn add(plane: &ControlPlane, host: &Host, group: &str) -> (Answer, Vec<String>) {
    let mut conf = Value::Object(plane.conf());
    let more = json!({
        "cniVersion": "1.0.0", "name": "net1", "type": "calico", "nodename": "node-1", "nodename_file_optional": true,
        "calico_api_group": group, "ipam": {"type": "calico-ipam"}
    });
    conf.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let call = host.call("calico-ipam", "ADD").env("CNI_CONTAINERID", "c1").env("CNI_IFNAME", "eth0");
    let call = call.env("CNI_NETNS", "/var/run/netns/none").stdin(&conf.to_string());
    let mark = plane.mark();
    let answer = call.run();
    let mut asked: Vec<String> = Vec::new();
    for event in plane.audit_of_plugin(mark) {
        match event.uri.split(['/', '?']).collect::<Vec<_>>().as_slice() {
            ["", "apis"] => asked.push("apis".to_owned()),
            ["", "apis", group, ..] => asked.push((*group).to_owned()),
            _ => {}
        }
    }
    asked.dedup();
    (answer, asked)
}

#[test]
fn the_usual_group_is_tried_first() {
    let plane = crate::unaudited(ApiGroup::Crd);
    plane.seed(&["node-1"]);
    let host = plane.host();
    for configured in ["", "crd.projectcalico.org/v1"] {
        let (answer, asked) = add(&plane, &host, configured);
        answer.address();
        assert_eq!(asked, [USUAL]);
    }
    // Where the other one is configured, nothing else is tried.
    let (answer, asked) = add(&plane, &host, "projectcalico.org/v3");
    answer.error();
    assert_eq!(asked, [OTHER]);
}

#[test]
fn the_other_group_is_found_where_it_is_the_only_one() {
    let plane = crate::unaudited(ApiGroup::V3);
    plane.seed(&["node-1"]);
    let host = plane.host();
    let (answer, asked) = add(&plane, &host, "");
    answer.address();
    assert_eq!(asked, [USUAL, "apis", OTHER]);
    let (answer, asked) = add(&plane, &plane.host(), "projectcalico.org/v3");
    answer.address();
    assert_eq!(asked, [OTHER]);

    // Where the usual one is configured, nothing is there, and a write says what to do.
    let (answer, asked) = add(&plane, &host, "crd.projectcalico.org/v1");
    answer.error();
    assert_eq!(asked, [USUAL]);
    let store = Opened::with(&plane, Group::V1);
    assert_eq!(pools(&store), []);
    let refused = store.try_commit(&[Write::create(Key::Handle("a".to_owned()), Handle::default())]).unwrap_err();
    assert!(matches!(&refused, Error::Invalid { advice, .. } if advice.contains("calico_api_group")), "{refused}");
}

/// A server of Calico's own may serve the other group in front of the usual one. And of an old cluster's definitions some may
/// be missing.
#[test]
fn the_usual_group_is_used_where_both_are() {
    let plane = ControlPlane::start();
    plane.seed(&["node-1"]);
    let definitions = ApiGroup::V3.definitions();
    plane.kubectl(&["apply", "--server-side", "--validate=false", "-f", &definitions.to_string_lossy()]);
    until("both groups are served", || {
        let served = |(plural, _): &(&str, _)| plane.admin().get(&ApiGroup::V3.path(plural)).is_ok();
        ApiGroup::V3.resources().iter().all(served)
    });
    let other = json!({
        "apiVersion": "projectcalico.org/v3", "kind": "IPPool", "metadata": {"name": "other"},
        "spec": {"cidr": "10.66.0.0/16"}
    });
    plane.admin().create(&ApiGroup::V3.path("ippools"), &other).unwrap();
    assert_eq!(pools(&Opened::with(&plane, Group::V3)), [Key::resource(Kind::IpPool, "other")]);
    assert_eq!(pools(&Opened::with(&plane, Group::V1)).len(), 2);
    let host = plane.host();
    let (answer, asked) = add(&plane, &host, "");
    assert!(answer.address().to_string().starts_with("10.65."));
    assert_eq!(asked, [USUAL]);

    plane.admin().delete(&format!("{DEFINITIONS}/ipreservations.crd.projectcalico.org")).unwrap();
    let collection = ApiGroup::Crd.path("ipreservations");
    until("reservations are not served any more", || plane.admin().get(&collection).is_err());
    let wants = [Kind::IpReservation, Kind::IpPool].map(|kind| Want::List(Listing::Resources(kind)));
    let mut answers = Opened::with(&plane, Group::V1).read(&wants);
    assert_eq!((answers.entries().len(), answers.list::<IpPool>().len()), (0, 2));
    let (answer, asked) = add(&plane, &host, "");
    answer.address();
    assert_eq!(asked, [USUAL]);
}

/// A cluster without any definition has nothing of Calico's, and the call says so.
#[test]
fn without_definitions_there_is_nothing() {
    let plane = ControlPlane::with(ControlPlaneOptions { resources: None, ..ControlPlaneOptions::default() });
    let rights = format!("{}/../manifests/rbac", env!("CARGO_MANIFEST_DIR"));
    plane.kubectl(&["apply", "--server-side", "--validate=false", "-f", &rights]);
    for group in [Group::V1, Group::V3] {
        assert_eq!(pools(&Opened::with(&plane, group)), []);
    }
    let (answer, asked) = add(&plane, &plane.host(), "");
    answer.error();
    assert_eq!(asked, [USUAL, "apis"]);
}
