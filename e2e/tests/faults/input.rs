//! Input that is too much, or no text.

use e2e::{Host, Place, dual_stack};
use serde_json::Value;

const EXECUTABLES: [&str; 2] = ["calico", "calico-ipam"];
/// The most memory that a call with any input may need, in bytes of address space.
const LARGEST_MEMORY: u64 = 96 << 20;

/// A configuration that begins rightly and goes on like this.
fn beginning(rest: &str) -> String {
    let netconf = dual_stack().to_string();
    format!("{},\"x\":{rest}}}", netconf.strip_suffix('}').expect("it is an object"))
}

#[test]
fn what_is_too_much_is_not_read() {
    let host = Host::start();
    let container = host.container("c1");
    let mebibyte = 1 << 20;
    let zeros = |length: usize| beginning(&format!("[{}0]", "0,".repeat(length / 2)));
    let objects = |length: usize| beginning(&format!("[{}0]", "{\"\":[]},".repeat(length / 8)));
    let nested = |length: usize| beginning(&"[".repeat(length));
    let text = |length: usize| beginning(&format!("\"{}\"", "x".repeat(length)));
    let spaces = |length: usize| format!("{}{}", " ".repeat(length), dual_stack());
    let too_long = "the network configuration on stdin is longer than 1 MiB";
    for (what, stdin, code, words) in [
        ("zeros", zeros(10 * mebibyte), 7, too_long),
        ("text", text(10 * mebibyte), 7, too_long),
        ("spaces", spaces(10 * mebibyte), 7, too_long),
        ("brackets", nested(10 * mebibyte), 7, too_long),
        ("brackets, fewer", nested(mebibyte / 2), 6, "recursion limit exceeded"),
        ("brackets, a thousand", nested(1000), 6, "recursion limit exceeded"),
        ("a huge number", beginning("1e999999"), 6, "number out of range"),
        ("a number too large", beginning("5,\"mtu\":123456789012345678901234567890"), 999, "mtu: expected an integer"),
        ("many zeros", zeros(mebibyte * 9 / 10) + "]", 6, "trailing characters"),
        ("many objects", objects(mebibyte * 9 / 10) + "]", 6, "trailing characters"),
    ] {
        for executable in EXECUTABLES {
            for verb in ["ADD", "DEL"] {
                let call = container.call(executable, verb, &Value::Null).stdin(&stdin);
                let answer = call.limited(LARGEST_MEMORY).run();
                let error = answer.error();
                let told = error.code == code && error.text.contains(words);
                assert!(told, "{executable} {verb}, {what}: {error:?}");
            }
        }
    }
    assert_eq!(container.links(), ["lo"]);
    host.assert_nothing_left();
}

#[test]
fn what_is_no_text() {
    let host = Host::start();
    let container = host.container("c1");
    let netconf = dual_stack();
    let stdins = [&b"\xff\xfe{}"[..], b"{\"name\":\"net1\xff\"}", b"{\"name\":\"net1\",\"x\":\"\\ud800\"}", b"\0\0\0"];
    for executable in EXECUTABLES {
        for verb in ["ADD", "DEL"] {
            for stdin in stdins {
                let error = container.call(executable, verb, &netconf).stdin_bytes(stdin).run().error();
                let told = error.text.contains("stdin is not valid JSON");
                assert!(error.code == 6 && told, "{executable} {verb}: {error:?}");
            }
            for name in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH"] {
                let error = container.call(executable, verb, &netconf).env_bytes(name, b"a\xffb").run().error();
                let words = format!("{name} is not valid UTF-8");
                assert!(error.code == 4 && error.text.contains(&words), "{executable} {verb}: {error:?}");
            }
            let error =
                container.call(executable, verb, &netconf).env_bytes("CALICO_DATASTORE_TYPE", b"\xff").run().error();
            assert!(error.text.contains("CALICO_DATASTORE_TYPE is not valid UTF-8"), "{executable} {verb}: {error:?}");
        }
    }
    // What nobody reads may be anything.
    container.add(&netconf).env_bytes("OTHER", b"\xff").run().result();
    container.del(&netconf).env_bytes("OTHER", b"\xff").run().result();
    host.assert_nothing_left();
}
