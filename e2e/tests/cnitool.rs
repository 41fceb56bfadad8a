//! The plugins called by `cnitool`, as container runtimes call them, with the configurations that the documents show.

use std::path::PathBuf;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use e2e::{Container, Etcd, Host, Options, Place, Plugins, cnitool, executables_folder, reference_plugin, tool};
use serde_json::{Value, json};

const README: &str = include_str!("../../README.md");
const REFERENCE: &str = include_str!("../../docs/configuration.md");

/// The list of plugins that a document shows for a datastore.
fn conflist_in(document: &str, datastore: &str) -> Value {
    let blocks = document.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut lists = blocks
        .map(|block| serde_json::from_str::<Value>(block).unwrap_or_else(|e| panic!("{e}: {block}")))
        .filter(|list| list["plugins"][0]["datastore_type"] == datastore);
    let list = lists.next().expect("the document shows a list of plugins");
    assert!(lists.next().is_none(), "the document shows two lists for {datastore}");
    list
}

/// A host with a list of plugins, and `cnitool` on it.
struct Tool<'h> {
    host: &'h Host,
    folder: PathBuf,
    /// `CAP_ARGS`: what the runtime asks of the plugins that can do it.
    capabilities: Value,
}

impl<'h> Tool<'h> {
    fn new(host: &'h Host, conflist: &Value) -> Tool<'h> {
        let folder = host.folder().join("net.d");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("10-calico.conflist"), conflist.to_string()).unwrap();
        Tool { host, folder, capabilities: json!({}) }
    }

    fn run(&self, verb: &str, container: &Container<'_>) -> Output {
        let reference = reference_plugin(Plugins::V1_9, "portmap");
        let plugins = [executables_folder(), reference.parent().expect("it is in a folder").to_owned()];
        let plugins = std::env::join_paths(plugins).expect("no colon in it");
        let mut command = self.host.program(&cnitool());
        // portmap looks for iptables there.
        command.env("PATH", tool("iptables").parent().expect("it is in a folder"));
        command.env("CNI_PATH", plugins).env("NETCONFPATH", &self.folder);
        command.env("CAP_ARGS", self.capabilities.to_string());
        command.args([verb, "net1", container.netns()]).output().unwrap()
    }

    /// What it prints when it must succeed.
    #[track_caller]
    fn succeed(&self, verb: &str, container: &Container<'_>) -> String {
        let output = self.run(verb, container);
        assert!(output.status.success(), "{verb}: {output:#?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The addresses that an ADD gives.
    #[track_caller]
    fn add(&self, container: &Container<'_>) -> Vec<String> {
        let printed = self.succeed("add", container);
        let result: Value = serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{e}: {printed}"));
        assert_eq!(result["cniVersion"], "1.0.0");
        let bare = |ip: &Value| Some(ip["address"].as_str()?.split('/').next()?.to_owned());
        result["ips"].as_array().unwrap().iter().filter_map(bare).collect()
    }
}

#[test]
fn the_list_of_the_readme() {
    let host = Host::start();
    let tool = Tool::new(&host, &conflist_in(README, "local"));
    let (one, two) = (host.container("one"), host.container("two"));
    let addresses = tool.add(&one);
    assert!(addresses[0].starts_with("10.65.") && addresses[1].starts_with("fd65:"), "{addresses:?}");
    let others = tool.add(&two);
    assert!(one.ping(&others[0]) && two.ping(&addresses[1]), "{addresses:?} and {others:?}");
    tool.succeed("check", &one);
    for container in [&one, &one, &two] {
        tool.succeed("del", container);
        assert_eq!(container.links(), ["lo"]);
    }
    host.assert_nothing_left();
}

#[test]
fn the_list_of_the_readme_for_etcd() {
    with_etcd(&Etcd::start(Options::default()), conflist_in(README, "etcdv3"));
}

#[test]
fn the_list_of_the_configuration_reference() {
    let options = Options { members: 3, tls: true, ..Options::default() };
    with_etcd(&Etcd::start(options), conflist_in(REFERENCE, "etcdv3"));
}

fn with_etcd(etcd: &Etcd, mut conflist: Value) {
    etcd.seed(&["node-1"]);
    let host = etcd.host();
    let calico = conflist["plugins"][0].as_object_mut().unwrap();
    // Only where this etcd and its files are is not as in the document.
    for (key, value) in etcd.conf() {
        let shown = calico.insert(key.clone(), value);
        assert!(shown.is_some(), "the document does not show {key}");
    }
    let tool = Tool::new(&host, &conflist);
    let container = host.container("one");
    let output = tool.run("add", &container);
    let refusal = String::from_utf8_lossy(&output.stderr);
    assert!(refusal.contains("/var/lib/calico/nodename does not exist"), "no node agent, no network: {refusal}");
    // The node agent writes that.
    std::fs::write(host.folder().join("nodename"), "node-1").unwrap();
    let addresses = tool.add(&container);
    assert!(addresses.len() == 1 && addresses[0].starts_with("10.65."), "{addresses:?}");
    assert!(host.ping(&addresses[0]));
    tool.succeed("check", &container);
    tool.succeed("del", &container);
    tool.succeed("del", &container);
    assert_eq!(container.links(), ["lo"]);
    etcd.assert_nothing_left(&[&host]);
}

/// A process that is ended with the test.
struct Listener(Child);

impl Listener {
    /// Says hello to everybody on a port of a container.
    fn start(container: &Container<'_>, port: u16) -> Listener {
        let mut command = container.command("busybox");
        command.args(["nc", "-ll", "-p", &port.to_string(), "-e"]).arg(tool("busybox")).args(["echo", "hello"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let listener = Listener(child);
        let deadline = Instant::now() + Duration::from_secs(30);
        while !container.run("busybox", &["netstat", "-ltn"]).contains(&format!(":{port} ")) {
            assert!(Instant::now() < deadline, "nobody listens on port {port}");
            std::thread::sleep(Duration::from_millis(5));
        }
        listener
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What is heard on a port; empty where nobody is.
fn heard(from: &impl Place, address: &str, port: u16) -> String {
    let mut command = from.command("busybox");
    let output = command.args(["nc", "-w", "2", address, &port.to_string()]).stdin(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The rules for a port, of either family.
fn rules_for(host: &Host, port: u16) -> Vec<String> {
    let rules = ["iptables", "ip6tables"].map(|program| host.run(program, &["-t", "nat", "-S"]));
    let port = port.to_string();
    rules.concat().lines().filter(|rule| rule.contains(&port)).map(str::to_owned).collect()
}

/// Behind `calico` in the list, the CNI project's `portmap` makes a port of the container one of the host.
fn with_ports(host: &Host, mut conflist: Value, client: &impl Place, server: &str) {
    let portmap = json!({ "type": "portmap", "capabilities": { "portMappings": true }, "snat": true });
    conflist["plugins"].as_array_mut().unwrap().push(portmap);
    let mut tool = Tool::new(host, &conflist);
    tool.capabilities = json!({ "portMappings": [{ "hostPort": 18080, "containerPort": 8080, "protocol": "tcp" }] });
    let container = host.container("one");
    let addresses = tool.add(&container);
    let _listener = Listener::start(&container, 8080);
    assert_eq!(heard(host, &addresses[0], 8080), "hello\n", "the listener itself");
    assert_eq!(heard(client, server, 18080), "hello\n", "{:#?}", rules_for(host, 18080));
    assert_ne!(rules_for(host, 18080), [] as [&str; 0]);
    tool.succeed("del", &container);
    assert_eq!(rules_for(host, 18080), [] as [&str; 0]);
    assert_eq!(heard(client, server, 18080), "");
    assert_eq!(container.links(), ["lo"]);
}

#[test]
fn a_port_of_the_host_leads_to_a_container() {
    let host = Host::start();
    with_ports(&host, conflist_in(README, "local"), &host, "172.30.0.1");
    host.assert_nothing_left();
}

#[test]
fn another_host_reaches_a_container_by_a_port() {
    let etcd = Etcd::start(Options::default());
    etcd.seed(&["node-1"]);
    let (host, other) = (etcd.host(), etcd.host());
    let mut conflist = conflist_in(README, "etcdv3");
    let calico = conflist["plugins"][0].as_object_mut().unwrap();
    calico.extend(etcd.conf());
    calico.insert("nodename".to_owned(), json!("node-1"));
    calico.insert("nodename_file_optional".to_owned(), json!(true));
    with_ports(&host, conflist, &other, &address_on_the_lan(&host));
    etcd.assert_nothing_left(&[&host, &other]);
}

fn address_on_the_lan(host: &Host) -> String {
    let link = host.ip_json("-4 address show dev lan").remove(0);
    link["addr_info"][0]["local"].as_str().expect("an address").to_owned()
}
