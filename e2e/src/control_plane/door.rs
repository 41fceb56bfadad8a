//! The way to the API server from this process, which is not in its network.

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::executables::tool;
use crate::host::Host;

/// A command whose stdin and stdout are a connection to a server: whoever has the other end stays outside the host.
pub(crate) struct Way(Vec<OsString>);

/// The process whose stdin and stdout are a connection.
pub(crate) struct Wire(pub Child);

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Way {
    pub(crate) fn new(host: &Host, address: &str, port: u16) -> Way {
        let mut command = host.program(&tool("busybox"));
        command.args(["nc", address, &port.to_string()]);
        Way(std::iter::once(command.get_program()).chain(command.get_args()).map(ToOwned::to_owned).collect())
    }

    /// Connects, inside a runtime. The connection lasts as long as the process.
    pub(crate) fn open(&self) -> (tokio::net::UnixStream, Wire) {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let wire = self.connect(theirs.into()).expect("nsenter can be started");
        ours.set_nonblocking(true).expect("a socket can be made so");
        (tokio::net::UnixStream::from_std(ours).expect("inside a runtime"), wire)
    }

    /// Starts it on a socket, and closes ours, with which open its end would not be seen.
    fn connect(&self, socket: OwnedFd) -> io::Result<Wire> {
        let (program, arguments) = self.0.split_first().expect("a command has a program");
        let mut command = Command::new(program);
        command.env_clear().args(arguments).stderr(Stdio::null());
        command.stdin(socket.try_clone()?).stdout(socket);
        command.spawn().map(Wire)
    }
}

/// A port of the machine's own loopback behind which the server is.
pub(super) struct Door {
    address: SocketAddr,
    closed: Arc<AtomicBool>,
    keeper: Option<JoinHandle<()>>,
}

impl Door {
    pub(super) fn open(way: Way) -> Door {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of the loopback");
        let address = listener.local_addr().expect("a listener has an address");
        let closed = Arc::new(AtomicBool::new(false));
        let is_closed = closed.clone();
        let keeper = std::thread::spawn(move || {
            let mut wires: Vec<Wire> = Vec::new();
            for socket in listener.incoming() {
                if is_closed.load(Ordering::Acquire) {
                    break;
                }
                wires.retain_mut(|wire| matches!(wire.0.try_wait(), Ok(None)));
                // What comes in small parts must not wait for an acknowledgement. Whoever connects sees a failure as a
                // connection that is closed.
                let socket = socket.and_then(|socket| socket.set_nodelay(true).map(|()| socket));
                wires.extend(socket.and_then(|socket| way.connect(socket.into())).ok());
            }
        });
        Door { address, closed, keeper: Some(keeper) }
    }

    /// Its URL. The server's certificate is for this address, too.
    pub(super) fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
        // It looks when somebody comes.
        let _ = TcpStream::connect(self.address);
        let _ = self.keeper.take().map(JoinHandle::join);
    }
}
