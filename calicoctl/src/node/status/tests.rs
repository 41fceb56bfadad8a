//! Hosts that are folders, and BIRDs that are threads.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::JoinHandle;
use std::time::Duration;

use super::*;
use crate::scratch::Scratch;

const AGENT: &str = "calico-node\0-felix\0";
const BANNER: &str = "0001 BIRD v0.3.3+birdv1.6.8 ready.\n";
const HEADING: &str = "2002-name     proto    table    state  since       info\n";

fn host(name: &str, commands: &[&str]) -> (Scratch, Host) {
    let folder = Scratch::new(name);
    folder.write("proc/uptime", "1 1");
    folder.write("proc/1/cmdline", "/sbin/init\0");
    // A thread of the kernel has no arguments, and some processes end while they are looked at.
    folder.write("proc/2/cmdline", "");
    std::fs::create_dir_all(folder.root().join("proc/3")).unwrap();
    for (number, command) in commands.iter().enumerate() {
        folder.write(&format!("proc/{}/cmdline", number + 10), command);
    }
    let host = Host::at(folder.root());
    (folder, host)
}

/// Serves one connection: waits for the command, and then does as it is told.
fn serve(folder: &Scratch, socket: &str, act: impl FnOnce(UnixStream) + Send + 'static) -> JoinHandle<()> {
    let path = folder.root().join(socket);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut command = [0; 15];
        stream.read_exact(&mut command).unwrap();
        assert_eq!(&command, b"show protocols\n");
        act(stream);
    })
}

fn say(answer: impl AsRef<[u8]> + Send + 'static) -> impl FnOnce(UnixStream) + Send + 'static {
    // Who asked may have heard enough.
    move |mut stream| drop(stream.write_all(answer.as_ref()))
}

/// What is shown of the IPv4 sessions of a BIRD.
#[track_caller]
fn shown(name: &str, limits: bird::Limits, act: impl FnOnce(UnixStream) + Send + 'static) -> String {
    let (folder, host) = host(name, &[AGENT, "bird\0"]);
    let bird = serve(&folder, "var/run/calico/bird.ctl", act);
    let report = report(&host, &limits).unwrap();
    bird.join().unwrap();
    let rest = report.strip_prefix("Calico process is running.\n\nIPv4 BGP status\n").unwrap();
    let end = "\nINFO: BIRDv6 process: 'bird6' is not running.\n\n";
    rest.strip_suffix(end).unwrap().to_owned()
}

#[test]
fn sessions_are_shown_as_the_established_tool_shows_them() {
    let (folder, host) = host("status", &[AGENT, "bird\0-R\0", "bird6\0-R\0"]);
    let rows = "\
1002-static1  Static   master   up     05:26:20    
 kernel1  Kernel   master   up     05:26:20    
 Mesh_172_17_8_102 BGP      master   up     05:26:21    Established   
 Mesh_172_17_8_103 BGP      master   start  2016-11-21  Active        Socket: Connection refused
 Global_172_17_8_104 BGP      master   start  05:26:20    Connect       
 Node_172_17_8_105 BGP      master   up     05:26:20    Established   
 Mesh_1_2_3_4 Static   master   up     05:26:20    
 Other_1_2_3_4 BGP   master   up     05:26:20    
 Mesh_1 BGP
0000 
";
    let first = serve(&folder, "var/run/calico/bird.ctl", say([BANNER, HEADING, rows].concat()));
    // Found where BIRD's package has it; BIRD 2 writes its headings so.
    let heading = "2002-Name       Proto      Table      State  Since         Info\n";
    let second = serve(&folder, "var/run/bird/bird6.ctl", say([BANNER, heading, "0000 \n"].concat()));
    let expected = "\
Calico process is running.

IPv4 BGP status
+--------------+-------------------+-------+------------+-----------------------------------+
| PEER ADDRESS | PEER TYPE         | STATE | SINCE      | INFO                              |
+--------------+-------------------+-------+------------+-----------------------------------+
| 172.17.8.102 | node-to-node mesh | up    | 05:26:21   | Established                       |
| 172.17.8.103 | node-to-node mesh | start | 2016-11-21 | Active Socket: Connection refused |
| 172.17.8.104 | global            | start | 05:26:20   | Connect                           |
| 172.17.8.105 | node specific     | up    | 05:26:20   | Established                       |
+--------------+-------------------+-------+------------+-----------------------------------+

IPv6 BGP status
No IPv6 peers found.

";
    assert_eq!(report(&host, &bird::Limits::default()).unwrap(), expected);
    first.join().unwrap();
    second.join().unwrap();
}

#[test]
fn addresses_of_both_families() {
    let (folder, host) = host("family", &[AGENT, "bird6\0"]);
    let row = "1002-Mesh_fd00_1__2 BGP master up 05:26:21 Established\n";
    let bird = serve(&folder, "var/run/calico/bird6.ctl", say([BANNER, HEADING, row, "0000 \n"].concat()));
    let report = report(&host, &bird::Limits::default()).unwrap();
    bird.join().unwrap();
    assert!(report.contains("\nINFO: BIRDv4 process: 'bird' is not running.\n\nIPv6 BGP status\n"), "{report}");
    assert!(report.contains("| fd00:1::2    | node-to-node mesh |"), "{report}");
}

#[test]
fn the_agent_is_found_by_either_argument() {
    let limits = bird::Limits::default();
    let runs = |name: &str, command: &str| report(&host(name, &[command]).1, &limits).is_ok();
    assert!(runs("agent1", "calico-felix\0"));
    assert!(runs("agent2", "/usr/bin/calico-node\0-felix\0"));
    assert!(runs("agent3", "calico-node\0-confd\0"));
    assert!(runs("agent4", "/bin/other\0-felix\0"));
    assert!(!runs("agent5", "calico-node-driver\0felix\0"));
    let error = report(&host("agent6", &[]).1, &limits).unwrap_err();
    assert_eq!(error.to_string(), "Calico process is not running.");
    let text = report(&host("agent7", &[AGENT]).1, &limits).unwrap();
    assert_eq!(text, "Calico process is running.\n\nThe BGP backend process (BIRD) is not running.\n\n");
}

#[test]
fn no_socket_is_told_and_not_fatal() {
    let (folder, host) = host("nosocket", &[AGENT, "bird\0", "bird6\0"]);
    let bird = serve(&folder, "var/run/calico/bird6.ctl", say([BANNER, HEADING, "0000 \n"].concat()));
    let text = report(&host, &bird::Limits::default()).unwrap();
    bird.join().unwrap();
    let told = "Error querying BIRD: unable to connect to BIRDv4 socket: ";
    assert!(text.contains(&format!("IPv4 BGP status\n{told}")), "{text}");
    assert!(text.contains("var/run/bird/bird.ctl: No such file or directory"), "{text}");
    assert!(text.ends_with("IPv6 BGP status\nNo IPv6 peers found.\n\n"), "{text}");
}

#[test]
fn garbage_is_told() {
    let told = |name: &str, answer: &'static [u8]| shown(name, bird::Limits::default(), say(answer));
    let unexpected = "error executing command: unexpected output line from BIRD\n  the line: ";
    assert_eq!(told("error", b"9001 Parse error\n"), format!("{unexpected}9001 Parse error\n"));
    assert_eq!(told("heading", b"2002-name proto\n"), format!("{unexpected}2002-name proto\n"));
    assert_eq!(told("empty", b"\n"), format!("{unexpected}\n"));
    let control = told("control", b"\xff\x1b[2J\0\n");
    assert_eq!(control, format!("{unexpected}\u{fffd}\\u{{1b}}[2J\\0\n"));
    let row = told("escape", b"1002-Mesh_1_2_3_4 BGP master up now Can't \x1b[2J\n0000 \n");
    assert!(row.contains("| Can't \\u{1b}[2J |"), "{row}");
}

#[test]
fn an_answer_must_end() {
    let closed = "error executing command: BIRD closed the connection before the end of its answer\n";
    assert_eq!(shown("closed", bird::Limits::default(), say(BANNER)), closed);
    assert_eq!(shown("half", bird::Limits::default(), say([BANNER, "1002-Mesh_1"].concat())), closed);
}

#[test]
fn an_endless_answer_is_cut_off() {
    let endless =
        |bytes: &'static str| move |mut stream: UnixStream| while stream.write_all(bytes.as_bytes()).is_ok() {};
    let line = shown("long", bird::Limits::default(), endless("                "));
    assert_eq!(line, "error executing command: a line of BIRD's is longer than 65536 bytes\n");
    let lines = shown("many", bird::Limits::default(), endless(" kernel1 Kernel master up now\n"));
    assert_eq!(lines, "error executing command: BIRD's answer is longer than 100000 lines\n");
}

#[test]
fn silence_ends() {
    let wait_for_end = |mut stream: UnixStream| drop(stream.read(&mut [0; 1]));
    let text = shown("silent", bird::Limits::new(50, 60_000), wait_for_end);
    assert_eq!(text, "error executing command: BIRD did not answer within 50ms\n");
    // Neither single bytes nor single lines put it off for ever.
    let drip = |bytes: &'static str| {
        move |mut stream: UnixStream| {
            while stream.write_all(bytes.as_bytes()).is_ok() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    };
    let bytes = shown("bytes", bird::Limits::new(100, 60_000), drip(" "));
    assert_eq!(bytes, "error executing command: BIRD did not answer within 100ms\n");
    let lines = shown("lines", bird::Limits::new(60_000, 100), drip(" x\n"));
    assert_eq!(lines, "error executing command: BIRD did not answer within 100ms\n");
}
