//! A control plane of Kubernetes to play with: everything the plugin finds in a cluster but kubelets and other hosts. It
//! runs until it is interrupted, and leaves nothing.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use e2e::{ControlPlane, ControlPlaneOptions, PLUGIN_ACCOUNT, kubectl_folder, kubernetes_version};
use nix::sys::signal::{SigSet, Signal};

fn main() -> ExitCode {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("run as root: the cluster is in namespaces of its own");
        return ExitCode::FAILURE;
    }
    let started = Instant::now();
    let plane = ControlPlane::with(ControlPlaneOptions { controller_manager: true, ..ControlPlaneOptions::default() });
    plane.seed(&["node-1"]);
    let host = plane.host();
    let text = format!(
        "\
A control plane of Kubernetes {version}, started in {seconds:.1} s: the plugin's custom resources and rights, a ready
ClusterInformation, the pools pool4 and pool6, the node node-1. There is no kubelet: pods do not run.

The administrator has      {admin}
The plugin has             {plugin}

Enter node-1, as root in another terminal:

    {enter} env PATH={kubectl}:$PATH KUBECONFIG={admin} sh

There, for example:

    kubectl get ippools,clusterinformations,nodes
    kubectl --kubeconfig={plugin} auth can-i --list

Ctrl-C ends it.
",
        version = kubernetes_version(),
        seconds = started.elapsed().as_secs_f32(),
        admin = plane.admin_kubeconfig().display(),
        plugin = plane.kubeconfig_of(PLUGIN_ACCOUNT).display(),
        enter = host.enter_line(),
        kubectl = kubectl_folder().display(),
    );
    // Until here a signal ends the process, and everything with it.
    let mut ends = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        ends.add(signal);
    }
    ends.thread_block().expect("signals can be blocked");
    // A reader that went away is no reason to end.
    let _ = std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush());
    let _ = ends.wait();
    ExitCode::SUCCESS
}
