//! Somebody who can be reached over TCP.

use std::process::{Child, Stdio};

use crate::executables::tool;
use crate::place::Place;
use crate::wait::until;

/// A process that says hello to everybody on a port. It is ended with the value.
pub struct Listener(Child);

impl Listener {
    /// Starts it, and waits until it listens.
    pub fn start(place: &impl Place, port: u16) -> Listener {
        let mut command = place.command("busybox");
        command.args(["nc", "-ll", "-p", &port.to_string(), "-e"]).arg(tool("busybox")).args(["echo", "hello"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let listener = Listener(child.expect("a command can be started"));
        let listens = || place.run("busybox", &["netstat", "-ltn"]).contains(&format!(":{port} "));
        until(&format!("somebody listens on port {port}"), listens);
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
pub fn heard(from: &impl Place, address: &str, port: u16) -> String {
    let mut command = from.command("busybox");
    command.args(["nc", "-w", "2", address, &port.to_string()]).stdin(Stdio::null());
    let output = command.output().expect("a command can be started");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
