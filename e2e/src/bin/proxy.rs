//! Forwards TCP connections, counts the HTTP/2 requests on them, and makes faults:
//! `proxy LISTEN SERVER RELEASED [delay=MS] [cut=N] [drop=N] [late=N] [hold=N] [mute=N] [once] [blackhole]`. A late request waits for the
//! file RELEASED.
//!
//! Prints `listening ADDRESS`, then `connection N` for every connection and `request N` for every request on it, before
//! the request is forwarded. `e2e::Faults` says what the faults are.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use e2e::Faults;
use e2e::http2::Pieces;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, server, released, faults @ ..] = arguments.as_slice() else {
        eprintln!("usage: proxy LISTEN SERVER RELEASED [FAULT...]");
        return ExitCode::from(2);
    };
    let Some(faults) = Faults::parse(faults) else {
        eprintln!("no such fault: {}", faults.join(" "));
        return ExitCode::from(2);
    };
    let Err(error) = serve(listen, server, released.as_ref(), faults);
    eprintln!("{error}");
    ExitCode::FAILURE
}

fn serve(listen: &str, server: &str, released: &Path, faults: Faults) -> io::Result<std::convert::Infallible> {
    let listener = TcpListener::bind(listen)?;
    report(&format!("listening {}", listener.local_addr()?));
    let armed = Arc::new(AtomicBool::new(true));
    let mut held = Vec::new();
    for number in 0.. {
        let (client, _) = listener.accept()?;
        report(&format!("connection {number}"));
        if faults.blackhole {
            held.push(client);
            continue;
        }
        // A server that is down refuses: so does the proxy, by closing.
        let Ok(server) = TcpStream::connect(server) else { continue };
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let connection = Arc::new(Connection {
            number,
            client,
            server,
            faults,
            released: released.to_owned(),
            answered: AtomicBool::new(false),
            armed: Arc::clone(&armed),
            withheld: AtomicU32::new(0),
            muted: AtomicU32::new(0),
            opaque: AtomicBool::new(false),
        });
        for direction in [Connection::requests, Connection::answers] {
            let connection = Arc::clone(&connection);
            std::thread::spawn(move || {
                // However one direction ends, the other one ends with it.
                let _ = direction(&connection);
                let _ = connection.client.shutdown(Shutdown::Both);
                let _ = connection.server.shutdown(Shutdown::Both);
            });
        }
    }
    unreachable!("connections are counted without end")
}

/// Stdout is a file that is appended to: a line is written at once.
fn report(line: &str) {
    writeln!(io::stdout(), "{line}").expect("the report can be written");
}

struct Connection {
    number: usize,
    client: TcpStream,
    server: TcpStream,
    faults: Faults,
    /// The file that a late request waits for.
    released: PathBuf,
    /// Whether the answer that is withheld has come.
    answered: AtomicBool,
    /// Whether a fault that happens once is still to come; of all connections.
    armed: Arc<AtomicBool>,
    /// The stream whose answer the client will not get.
    withheld: AtomicU32,
    /// The stream of which the client hears nothing.
    muted: AtomicU32,
    /// Whether this is no HTTP/2.
    opaque: AtomicBool,
}

impl Connection {
    /// Forwards what the client sends, until a side closes or a fault closes both.
    fn requests(&self) -> io::Result<()> {
        let mut pieces = Pieces::of_client();
        let (mut count, mut newest, mut to_cut, mut to_delay, mut held, mut late) = (0, 0, None, None, None, None);
        let mut chunk = [0; 16384];
        loop {
            let length = (&self.client).read(&mut chunk)?;
            if length == 0 {
                return Ok(());
            }
            pieces.push(&chunk[..length]);
            while let Some(piece) = pieces.next() {
                self.opaque.store(pieces.is_opaque(), Ordering::SeqCst);
                if piece.headers && piece.stream > newest {
                    newest = piece.stream;
                    count += 1;
                    if self.faults.late == Some(count) && self.fires() {
                        to_delay = Some(piece.stream);
                    } else if self.faults.hold == Some(count) && self.fires() {
                        held = Some(piece.stream);
                    } else {
                        // A late one counts when all of it is here: its client may be killed then.
                        report(&format!("request {}", self.number));
                    }
                    if self.faults.drop == Some(count) && self.fires() {
                        return Ok(());
                    }
                    if self.faults.cut == Some(count) && self.fires() {
                        to_cut = Some(piece.stream);
                    }
                    if self.faults.mute == Some(count) && self.fires() {
                        self.muted.store(piece.stream, Ordering::SeqCst);
                    }
                }
                if held == Some(piece.stream) && piece.data {
                    if piece.end {
                        report(&format!("request {}", self.number));
                    }
                    continue;
                }
                if to_delay == Some(piece.stream) {
                    let request: &mut Vec<u8> = late.get_or_insert_default();
                    request.extend(&piece.bytes);
                    if piece.end {
                        report(&format!("request {}", self.number));
                        return self.send_late(piece.stream, request);
                    }
                    continue;
                }
                if piece.end && to_cut == Some(piece.stream) {
                    self.withheld.store(piece.stream, Ordering::SeqCst);
                }
                (&self.server).write_all(&piece.bytes)?;
            }
        }
    }

    /// Sends a whole request once it may go, and waits until it has been carried out: nobody may be there to hear.
    fn send_late(&self, stream: u32, request: &[u8]) -> io::Result<()> {
        while !self.released.exists() {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.withheld.store(stream, Ordering::SeqCst);
        (&self.server).write_all(request)?;
        while !self.answered.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Forwards what the server sends. The answer that is withheld ends the connection when it is complete: only then
    /// is it certain that the request was carried out.
    fn answers(&self) -> io::Result<()> {
        let mut pieces = Pieces::of_server();
        let mut chunk = [0; 16384];
        loop {
            let length = (&self.server).read(&mut chunk)?;
            if length == 0 {
                return Ok(());
            }
            std::thread::sleep(self.faults.delay);
            if self.opaque.load(Ordering::SeqCst) {
                self.tell_client(&chunk[..length])?;
                continue;
            }
            pieces.push(&chunk[..length]);
            for piece in pieces.by_ref() {
                if piece.stream != 0 && piece.stream == self.muted.load(Ordering::SeqCst) {
                    continue;
                }
                let withheld = piece.stream != 0 && piece.stream == self.withheld.load(Ordering::SeqCst);
                if !withheld {
                    self.tell_client(&piece.bytes)?;
                } else if piece.end {
                    self.answered.store(true, Ordering::SeqCst);
                    return Ok(());
                }
            }
        }
    }

    /// The client of a late request may be gone, which is no reason to end the connection to the server.
    fn tell_client(&self, bytes: &[u8]) -> io::Result<()> {
        let told = (&self.client).write_all(bytes);
        if self.faults.late.is_some() { Ok(()) } else { told }
    }

    fn fires(&self) -> bool {
        !self.faults.once || self.armed.swap(false, Ordering::SeqCst)
    }
}
