//! The demo of a node: a control plane, a containerd and a kubelet; the plugin is installed by the manifests and the image, pods
//! run, and everything vanishes. Fails if anything does not hold. With `HOLD` it stays, before the end, until it is
//! interrupted.

use std::process::ExitCode;
use std::time::Instant;

use e2e::{ContainerdRelease, Installed, Screen, deployment, executable, executables_folder, kubectl_folder, until};
use nix::sys::signal::{SigSet, Signal};

const PODS: usize = 10;

fn main() -> ExitCode {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("run as root: the demo creates namespaces");
        return ExitCode::FAILURE;
    }
    for name in ["calico-install-image.tar", "calicoctl"] {
        if !executables_folder().join(name).is_file() {
            eprintln!("bin/{name} is absent: run `make build image` first");
            return ExitCode::FAILURE;
        }
    }
    let mut screen = Screen::new();
    let started = Instant::now();
    show(&mut screen);
    screen.blank();
    if screen.failed() > 0 {
        screen.verdict(&format!("{} checks failed", screen.failed()), false);
        return ExitCode::FAILURE;
    }
    screen.verdict(&format!("everything holds ({:.1} s)", started.elapsed().as_secs_f32()), true);
    ExitCode::SUCCESS
}

fn show(screen: &mut Screen) {
    screen.title("A control plane, and a node with containerd and a kubelet, in namespaces of their own");
    let cluster = Installed::bare(ContainerdRelease::V2_4);
    kubectl(screen, &cluster, "get nodes -o wide");
    screen.text("It is not ready: there is no network for pods.");

    screen.title("The plugin is installed");
    screen.command("ctr -n k8s.io images import bin/calico-install-image.tar");
    screen.command("kubectl apply --server-side -k manifests/overlays/alone");
    cluster.apply("overlays/alone");
    cluster.wait_until_ready();
    cluster.wait_for_rollout("kube-system:daemonset/calico-install");
    kubectl(screen, &cluster, "get nodes,ippools");
    kubectl(screen, &cluster, "-n kube-system get pods -o wide");
    for line in ["ls -l /opt/cni/bin", "cat /etc/cni/net.d/10-calico.conflist", "cat /var/lib/calico/nodename"] {
        screen.command(line);
        let output = cluster.worker.program(&e2e::tool("busybox")).args(line.split(' ')).output();
        screen.dim(&String::from_utf8_lossy(&output.expect("nsenter can be started").stdout));
    }

    screen.title(&format!("{PODS} pods"));
    let web = deployment("web", PODS);
    cluster.plane.admin().create("/apis/apps/v1/namespaces/default/deployments", &web).expect("it is valid");
    let begin = Instant::now();
    let pods = cluster.wait_for_pods("app=web", PODS);
    screen.dim(&format!("  ({:.1} s until all are ready)", begin.elapsed().as_secs_f32()));
    kubectl(screen, &cluster, "get pods -o wide");
    calicoctl(screen, &cluster, "ipam show --show-blocks");

    screen.title("They reach each other");
    let (first, last) = (&pods[0], &pods[PODS - 1]);
    let name = first.name.rsplit('/').next().unwrap_or_default();
    let command = format!("busybox ping -c 1 -W 5 {}", last.address);
    screen.command(&format!("kubectl exec {name} -- {command}"));
    let output = cluster.exec(name, &command.split(' ').collect::<Vec<_>>());
    screen.dim(String::from_utf8_lossy(&output.stdout).trim_end());
    screen.check(output.status.success(), &format!("{} answers {}", last.name, first.name));
    let answer = cluster.get(name, &last.address);
    screen.check(answer.ends_with("hello\n"), "and serves it a page");
    if std::env::var_os("HOLD").is_some_and(|value| !value.is_empty()) {
        hold(screen, &cluster);
    }

    screen.title("They go");
    kubectl(screen, &cluster, "delete deployment web");
    until("they are gone", || cluster.pods("app=web").is_empty());
    cluster.assert_no_pod_is_networked();
    screen.check(true, "no address is allocated, no handle, no interface");
    calicoctl(screen, &cluster, "ipam check");
}

fn kubectl(screen: &mut Screen, cluster: &Installed, line: &str) {
    screen.command(&format!("kubectl {line}"));
    screen.dim(cluster.plane.kubectl(&line.split(' ').collect::<Vec<_>>()).trim_end());
}

fn calicoctl(screen: &mut Screen, cluster: &Installed, line: &str) {
    screen.command(&format!("calicoctl {line}"));
    let mut command = cluster.worker.program(&executable("calicoctl"));
    command.env("DATASTORE_TYPE", "kubernetes").env("KUBECONFIG", cluster.plane.admin_kubeconfig());
    let output = command.args(line.split(' ')).output().expect("nsenter can be started");
    screen.dim(String::from_utf8_lossy(&output.stdout).trim_end());
    screen.check(output.status.success(), &format!("calicoctl {line}"));
}

/// Until a person has seen enough.
fn hold(screen: &mut Screen, cluster: &Installed) {
    screen.title("Yours, until Ctrl-C. In another terminal, as root:");
    screen.command(&format!(
        "{} env PATH={}:$PATH KUBECONFIG={} sh",
        cluster.worker.host().enter_line(),
        kubectl_folder().display(),
        cluster.plane.admin_kubeconfig().display()
    ));
    let mut ends = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        ends.add(signal);
    }
    ends.thread_block().expect("signals can be blocked");
    let _ = ends.wait();
    ends.thread_unblock().expect("signals can be unblocked");
}
