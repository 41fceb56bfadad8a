//! A node as operators have it: the manifests and the image install the plugin, a real kubelet and containerd run pods. At the
//! end of every test the allocated addresses are exactly those of the pods that run.

mod beside;
mod host_local;
mod outage;
mod pods;
mod release;
mod restarts;
mod upgrade;
