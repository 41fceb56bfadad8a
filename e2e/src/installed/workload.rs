//! What people run on clusters.

use serde_json::{Value, json};

use crate::worker::BUSYBOX;

/// A web server that says hello, and ends at once when it is told to.
fn spec() -> Value {
    let command = "trap 'exit 0' TERM; echo hello >/tmp/index.html; busybox httpd -f -p 80 -h /tmp & wait";
    json!({
        "terminationGracePeriodSeconds": 5, "automountServiceAccountToken": false, "enableServiceLinks": false,
        "containers": [{
            "name": "web", "image": BUSYBOX, "imagePullPolicy": "Never",
            "command": ["/bin/busybox", "sh", "-c", command],
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
            "readinessProbe": {
                "httpGet": {"port": 80, "path": "/"}, "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 30
            }
        }],
        "volumes": [{"name": "tmp", "emptyDir": {}}]
    })
}

fn template(name: &str) -> Value {
    json!({"metadata": {"labels": {"app": name}}, "spec": spec()})
}

/// A pod by itself, with the label `app` of its name.
pub fn pod(name: &str) -> Value {
    let mut pod = template(name);
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!(name);
    pod
}

/// A deployment of so many pods, with the label `app` of its name.
pub fn deployment(name: &str, replicas: usize) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template(name),
            "strategy": {"rollingUpdate": {"maxSurge": "50%", "maxUnavailable": "50%"}}
        }
    })
}

/// A stateful set of so many pods, started all at once, with the label `app` of its name.
pub fn stateful_set(name: &str, replicas: usize) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template(name),
            "serviceName": name, "podManagementPolicy": "Parallel"
        }
    })
}
