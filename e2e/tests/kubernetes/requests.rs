//! How many requests an ADD and a DEL are, and over how many connections: counted from the API server's audit log.

use e2e::{ApiGroup, ControlPlane, Event};
use serde_json::{Value, json};

fn netconf(plane: &ControlPlane, exec: bool) -> Value {
    let mut conf = Value::Object(plane.conf());
    for (key, value) in [
        ("cniVersion", json!("1.0.0")),
        ("name", json!("k8s-pod-network")),
        ("type", json!("calico")),
        ("nodename", json!("node-1")),
        ("nodename_file_optional", json!(true)),
        ("calico_api_group", json!("crd.projectcalico.org/v1")),
        ("ipam", json!({"type": "calico-ipam", "exec": exec})),
    ] {
        conf[key] = value;
    }
    conf
}

fn lines(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| format!("{} {} {}", event.verb, event.uri, event.code)).collect()
}

#[test]
fn a_warm_add_is_twelve_requests_and_a_del_nine() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    plane.seed(&["node-1"]);
    plane.put_pool("pool4", "192.168.0.0/16", 26);
    for pod in ["web-0", "web-1"] {
        plane.create_pod("node-1", "default", pod, &json!({}));
    }
    let host = plane.host();
    let conf = netconf(&plane, false);
    let args = |pod: &str| format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={pod}");
    let first = host.container("sandbox0");
    first.add(&conf).env("CNI_ARGS", &args("web-0")).run().result();

    let second = host.container("sandbox1");
    let mark = plane.mark();
    second.add(&conf).env("CNI_ARGS", &args("web-1")).run().result();
    let of_add = plane.audit_of_plugin(mark);
    assert!(of_add.len() <= 12, "{:#?}", lines(&of_add));

    let mark = plane.mark();
    second.del(&conf).env("CNI_ARGS", &args("web-1")).run().result();
    let of_del = plane.audit_of_plugin(mark);
    assert!(of_del.len() <= 9, "{:#?}", lines(&of_del));
    first.del(&conf).env("CNI_ARGS", &args("web-0")).run();
}
