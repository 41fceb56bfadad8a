//! Which API group the custom resources are looked for in.

use calico_datastore::{Error, Write};
use calico_model::kubernetes::Group;
use calico_model::{Handle, IpPool, Key, Kind, Listing};
use e2e::{ApiGroup, ControlPlane, ControlPlaneOptions, until};

use crate::opened::Opened;

fn pools(store: &Opened) -> Vec<Key> {
    store.keys(Listing::Resources(Kind::IpPool))
}

/// What was asked for, without queries.
fn asked(plane: &ControlPlane, work: impl FnOnce()) -> Vec<String> {
    let mark = plane.mark();
    work();
    let events = plane.audit_of_plugin(mark).into_iter();
    events.map(|event| event.uri.split('?').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn the_usual_group_is_tried_first() {
    let plane = ControlPlane::shared(ApiGroup::Crd);
    plane.put_pool("pool", "10.65.0.0/16", 26);
    let store = Opened::to(&plane);
    let requests = asked(&plane, || assert_eq!(pools(&store).len(), 1));
    assert_eq!(requests, ["/apis/crd.projectcalico.org/v1/ippools"]);
    // Where the other one is configured, nothing else is tried.
    let store = Opened::with(&plane, Some(Group::V3));
    let requests = asked(&plane, || assert_eq!(pools(&store), []));
    assert_eq!(requests, ["/apis/projectcalico.org/v3/ippools"]);
}

#[test]
fn the_other_group_is_found_where_it_is_the_only_one() {
    let plane = ControlPlane::shared(ApiGroup::V3);
    plane.put_pool("pool", "10.65.0.0/16", 26);
    let store = Opened::to(&plane);
    let requests = asked(&plane, || assert_eq!(pools(&store).len(), 1));
    let (v1, v3) = ("/apis/crd.projectcalico.org/v1/ippools", "/apis/projectcalico.org/v3/ippools");
    assert_eq!(requests, [v1, "/apis", v3]);
    assert_eq!(asked(&plane, || assert_eq!(pools(&store).len(), 1)), [v3]);
    let store = Opened::with(&plane, Some(Group::V3));
    assert_eq!(asked(&plane, || assert_eq!(pools(&store).len(), 1)), [v3]);

    // Where the usual one is configured, it is not there, and a write says what to do.
    let store = Opened::with(&plane, Some(Group::V1));
    assert_eq!(asked(&plane, || assert_eq!(pools(&store), [])), [v1]);
    let refused = store.try_commit(&[Write::create(Key::Handle("a".to_owned()), Handle::default())]).unwrap_err();
    assert!(matches!(&refused, Error::Invalid { advice, .. } if advice.contains("calico_api_group")), "{refused}");
}

/// A server of Calico's own may serve the other group in front of the usual one. And of an old cluster's definitions some may
/// be missing.
#[test]
fn the_usual_group_is_used_where_both_are() {
    let plane = ControlPlane::with(ControlPlaneOptions { resources: None, ..ControlPlaneOptions::default() });
    let manifests = |folder: &str| format!("{}/../manifests/{folder}", env!("CARGO_MANIFEST_DIR"));
    let apply = |folder: &str| {
        plane.kubectl(&["apply", "--server-side", "--validate=false", "-f", &manifests(folder)]);
    };
    apply("rbac");
    let store = Opened::to(&plane);
    assert_eq!(pools(&store), [], "without any definition there are none");
    let both: Vec<String> = ApiGroup::ALL.map(|group| group.definitions().to_string_lossy().into_owned()).into();
    plane.kubectl(&["apply", "--server-side", "--validate=false", "-f", &both[0], "-f", &both[1]]);
    until("both groups are served", || {
        let served = |group: ApiGroup| {
            group.resources().iter().all(|(plural, _)| plane.admin().get(&group.path(plural)).is_ok())
        };
        ApiGroup::ALL.into_iter().all(served)
    });
    let pool = |group: ApiGroup, name: &str, cidr: &str| {
        let spec = serde_json::json!({"cidr": cidr});
        let object = serde_json::json!({
            "apiVersion": group.version(), "kind": "IPPool", "metadata": {"name": name}, "spec": spec
        });
        plane.admin().create(&group.path("ippools"), &object).unwrap();
    };
    pool(ApiGroup::Crd, "usual", "10.65.0.0/16");
    pool(ApiGroup::V3, "other", "10.66.0.0/16");
    for (group, name) in [(None, "usual"), (Some(Group::V1), "usual"), (Some(Group::V3), "other")] {
        let store = Opened::with(&plane, group);
        assert_eq!(pools(&store), [Key::resource(Kind::IpPool, name)], "{group:?}");
    }

    let definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/ipreservations.crd.projectcalico.org";
    plane.admin().delete(definition).unwrap();
    let collection = ApiGroup::Crd.path("ipreservations");
    until("reservations are not served any more", || plane.admin().get(&collection).is_err());
    let store = Opened::to(&plane);
    let reservations = Listing::Resources(Kind::IpReservation);
    // Alone, it says nothing of the group: the server has to be asked.
    assert_eq!(asked(&plane, || assert_eq!(store.keys(reservations.clone()), [])), [collection.as_str(), "/apis"]);
    let wants = [reservations, Listing::Resources(Kind::IpPool)].map(calico_datastore::Want::List);
    let mut answers = Opened::to(&plane).read(&wants);
    assert_eq!((answers.entries().len(), answers.list::<IpPool>().len()), (0, 1));
}
