//! The commands beside ADD and DEL, and what a person types.

use e2e::{Host, Place, dual_stack};

const EXECUTABLES: [&str; 2] = ["calico", "calico-ipam"];

#[test]
fn version() {
    let host = Host::start();
    let text = "{\"cniVersion\":\"1.1.0\",\"supportedVersions\":[\"0.1.0\",\"0.2.0\",\"0.3.0\",\"0.3.1\",\"0.4.0\",\"1.0.0\"]}\n";
    for executable in EXECUTABLES {
        let answer = host.call(executable, "VERSION").without("CNI_PATH").run();
        assert_eq!((answer.exit, answer.stdout.as_str()), (Some(0), text), "{answer:#?}");
    }
    assert_eq!(host.stored().0.len(), 0, "nothing is created to answer");
}

#[test]
fn commands_of_later_versions() {
    let host = Host::start();
    for verb in ["STATUS", "GC"] {
        for executable in EXECUTABLES {
            let error = host.call(executable, verb).stdin(&dual_stack().to_string()).run().error();
            assert_eq!((error.code, error.text), (1, format!("config version does not allow {verb}")));
        }
    }
    host.assert_nothing_left();
}

#[test]
fn flags() {
    let host = Host::start();
    for executable in EXECUTABLES {
        let answer = host.call(executable, "").without("CNI_COMMAND").argument("-v").run();
        assert_eq!((answer.exit, answer.stdout.lines().count()), (Some(0), 1), "{answer:#?}");
    }
}

#[test]
fn the_configuration_as_an_argument_is_tolerated() {
    let host = Host::start();
    let netconf = dual_stack();
    let container = host.container("c1");
    container.add(&netconf).argument(&netconf.to_string()).run().result();
    container.del(&netconf).argument(&netconf.to_string()).run().result();
    host.assert_nothing_left();
}

#[test]
fn only_an_add_makes_the_embedded_store() {
    let host = Host::start();
    let (container, netconf) = (host.container("c1"), dual_stack());
    container.ip("link add eth0 type veth peer name other");
    for executable in ["calico-ipam", "calico"] {
        container.call(executable, "DEL", &netconf).run().result();
    }
    assert_eq!(container.links(), ["lo"], "what is in the kernel is removed all the same");
    let test = host.call("calico", "").argument("-t").stdin(&netconf.to_string()).run();
    assert_eq!((test.exit, test.stdout.as_str()), (Some(0), ""), "{test:#?}");
    assert!(test.stderr.contains("there is no store /var/lib/calico/calico.db yet"), "{test:#?}");
    assert!(!host.store_file().exists());
    container.add(&netconf).run().result();
    container.del(&netconf).run().result();
    host.assert_nothing_left();
}
