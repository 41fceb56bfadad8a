//! What there is in the API: the plugin's custom resources, and what a cluster's other components put there.

use std::path::{Path, PathBuf};

use hyper::Method;
use serde_json::{Value, json};

use crate::control_plane::{ControlPlane, Refusal};
use crate::wait::until;

/// The namespaces that the API server makes.
const OWN_NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// The group and version that the custom resources are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiGroup {
    /// `crd.projectcalico.org/v1`, that of most clusters.
    Crd,
    /// `projectcalico.org/v3`.
    V3,
}

impl ApiGroup {
    /// Both.
    pub const ALL: [ApiGroup; 2] = [ApiGroup::Crd, ApiGroup::V3];

    /// Group and version, as in `apiVersion`.
    pub fn version(self) -> &'static str {
        match self {
            ApiGroup::Crd => "crd.projectcalico.org/v1",
            ApiGroup::V3 => "projectcalico.org/v3",
        }
    }

    /// The path of a collection, such as that of `ippools`. An object's has its name behind another slash.
    pub fn path(self, plural: &str) -> String {
        format!("/apis/{}/{plural}", self.version())
    }

    /// The custom resources that manifests define: plural and kind.
    pub fn resources(self) -> [(&'static str, &'static str); 7] {
        let settings = match self {
            ApiGroup::Crd => ("ipamconfigs", "IPAMConfig"),
            ApiGroup::V3 => ("ipamconfigurations", "IPAMConfiguration"),
        };
        [
            ("blockaffinities", "BlockAffinity"),
            ("clusterinformations", "ClusterInformation"),
            ("ipamblocks", "IPAMBlock"),
            settings,
            ("ipamhandles", "IPAMHandle"),
            ("ippools", "IPPool"),
            ("ipreservations", "IPReservation"),
        ]
    }

    /// The folder of their definitions.
    pub fn definitions(self) -> PathBuf {
        manifests(match self {
            ApiGroup::Crd => "crds/v1",
            ApiGroup::V3 => "crds/v3",
        })
    }
}

/// A folder or file of the manifests that operators apply.
pub fn manifests(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in a workspace").join("manifests").join(name)
}

impl ControlPlane {
    /// Applies what the options ask for.
    pub(super) fn furnish(&self) {
        self.give_account("default");
        let Some(group) = self.options().resources else { return };
        let paths = [group.definitions(), manifests("rbac")].map(|path| path.to_string_lossy().into_owned());
        let [definitions, rights] = &paths;
        // The server checks what it is given.
        self.kubectl(&["apply", "--server-side", "--validate=false", "-f", definitions, "-f", rights]);
        self.wait_until_resources_are_served();
    }

    /// Waits until the custom resources can be read, which takes longer than the API server's own.
    pub(super) fn wait_until_resources_are_served(&self) {
        let Some(group) = self.options().resources else { return };
        until("the custom resources are served", || {
            group.resources().iter().all(|(plural, _)| self.admin().get(&group.path(plural)).is_ok())
        });
    }

    /// The group of the custom resources there are.
    pub fn group(&self) -> ApiGroup {
        self.options().resources.unwrap_or(ApiGroup::Crd)
    }

    /// The path of a custom resource's collection, such as that of `ippools`.
    pub fn collection(&self, plural: &str) -> String {
        self.group().path(plural)
    }

    /// Puts a ready ClusterInformation, a pool of each family, and the nodes.
    pub fn seed(&self, nodes: &[&str]) {
        self.put("clusterinformations", "default", json!({"datastoreReady": true}));
        self.put_pool("pool4", "10.65.0.0/16", 26);
        self.put_pool("pool6", "fd65::/64", 122);
        for node in nodes {
            self.create_node(node);
        }
    }

    /// Puts a pool for all nodes, or changes it: `pool4` and `pool6` are there. `size` is the prefix length of its blocks.
    pub fn put_pool(&self, name: &str, cidr: &str, size: u8) {
        let spec = json!({
            "cidr": cidr, "vxlanMode": "Never", "ipipMode": "Never", "natOutgoing": true, "blockSize": size,
            "nodeSelector": "all()", "allowedUses": ["Workload", "Tunnel"], "assignmentMode": "Automatic"
        });
        self.put("ippools", name, spec);
    }

    /// Puts a custom resource, or replaces its specification.
    #[track_caller]
    pub fn put(&self, plural: &str, name: &str, spec: Value) -> Value {
        let (_, kind) = self.group().resources().into_iter().find(|(other, _)| *other == plural).expect("a resource");
        let collection = self.collection(plural);
        let path = format!("{collection}/{name}");
        let mut object = json!({
            "apiVersion": self.group().version(), "kind": kind, "metadata": {"name": name}, "spec": spec
        });
        let answer = match self.admin().get(&path) {
            Ok(stored) => {
                object["metadata"] = stored["metadata"].clone();
                self.admin().update(&path, &object)
            }
            Err(_) => self.admin().create(&collection, &object),
        };
        answer.unwrap_or_else(|refusal| panic!("{path}: {refusal}"))
    }

    /// Creates a node that no kubelet cares for.
    #[track_caller]
    pub fn create_node(&self, name: &str) -> Value {
        self.made("/api/v1/nodes", &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}))
    }

    /// Creates a namespace that pods can be created in.
    #[track_caller]
    pub fn create_namespace(&self, name: &str) -> Value {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let namespace = self.made("/api/v1/namespaces", &namespace);
        self.give_account(name);
        namespace
    }

    /// Creates a pod on a node, with further metadata such as labels and annotations.
    #[track_caller]
    pub fn create_pod(&self, node: &str, namespace: &str, name: &str, metadata: &Value) -> Value {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
            "spec": {"nodeName": node, "containers": [{"name": "main", "image": "none"}]}
        });
        pod["metadata"]["name"] = json!(name);
        self.made(&format!("/api/v1/namespaces/{namespace}/pods"), &pod)
    }

    /// Removes all custom resources, pods and nodes, all namespaces but those that every cluster has, and what is in
    /// [`ControlPlane::etcd`] beside the API server's.
    pub fn reset(&self) {
        self.etcd().delete_below("/calico/");
        let admin = self.admin();
        for (plural, _) in self.group().resources() {
            let collection = self.collection(plural);
            for object in admin.list(&collection).expect("a collection can be listed") {
                // Nobody is here who would do what they wait for.
                if object["metadata"]["finalizers"].is_array() {
                    let path = format!("{collection}/{}", named(&object));
                    let freed = admin.patch(&path, &json!({"metadata": {"finalizers": null}}));
                    freed.unwrap_or_else(|refusal| panic!("{path}: {refusal}"));
                }
            }
            self.remove(&collection);
        }
        self.remove("/api/v1/nodes");
        for namespace in admin.list("/api/v1/namespaces").expect("namespaces can be listed") {
            let name = named(&namespace);
            self.remove(&format!("/api/v1/namespaces/{name}/pods"));
            if !OWN_NAMESPACES.contains(&name) {
                self.remove_namespace(name);
            }
        }
    }

    /// Removes a namespace with its pods.
    pub fn remove_namespace(&self, name: &str) {
        let path = format!("/api/v1/namespaces/{name}");
        for collection in ["pods", "serviceaccounts"] {
            self.remove(&format!("{path}/{collection}"));
        }
        self.remove(&path);
        if !self.options().controller_manager {
            let nothing = json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "spec": {"finalizers": []}
            });
            let freed = self.admin().send(Method::PUT, &format!("{path}/finalize"), "application/json", Some(&nothing));
            freed.unwrap_or_else(|refusal| panic!("{path}: {refusal}"));
        }
    }

    /// What the controller manager does for every namespace: without an account no pod can be created in it.
    fn give_account(&self, namespace: &str) {
        let collection = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
        match self.admin().create(&collection, &account) {
            Ok(_) | Err(Refusal { code: 409, .. }) => {}
            Err(refusal) => panic!("{collection}: {refusal}"),
        }
    }

    #[track_caller]
    fn made(&self, collection: &str, object: &Value) -> Value {
        let made = self.admin().create(collection, object);
        made.unwrap_or_else(|refusal| panic!("{collection}: {refusal}: {object}"))
    }

    #[track_caller]
    fn remove(&self, path: &str) {
        match self.admin().delete(path) {
            Ok(_) | Err(Refusal { code: 404, .. }) => {}
            Err(refusal) => panic!("{path}: {refusal}"),
        }
    }
}

fn named(object: &Value) -> &str {
    object["metadata"]["name"].as_str().expect("an object has a name")
}
