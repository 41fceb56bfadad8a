//! Pods on the Kubernetes API: a real API server, the plugin with upstream's rights and no more.

mod annotations;
mod faults;
mod killed;
mod recorded;
mod requests;
mod rights;
mod sandboxes;
mod site;
