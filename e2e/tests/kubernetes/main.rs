//! Pods on the Kubernetes API: a real API server, the plugin with upstream's rights and no more.

mod recorded;
mod requests;
