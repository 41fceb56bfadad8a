//! Forwards TCP connections to a Unix socket: `forward LISTEN SOCKET`. So a test's own process serves inside a host, whose
//! network it is not in.
//!
//! Prints `listening ADDRESS`.

use std::io::{self, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, socket] = arguments.as_slice() else {
        eprintln!("usage: forward LISTEN SOCKET");
        return ExitCode::from(2);
    };
    let Err(error) = serve(listen, socket);
    eprintln!("{error}");
    ExitCode::FAILURE
}

fn serve(listen: &str, socket: &str) -> io::Result<std::convert::Infallible> {
    let listener = TcpListener::bind(listen)?;
    writeln!(io::stdout(), "listening {}", listener.local_addr()?)?;
    loop {
        let (client, _) = listener.accept()?;
        client.set_nodelay(true)?;
        let server = UnixStream::connect(socket)?;
        let (client_too, server_too) = (client.try_clone()?, server.try_clone()?);
        // However one direction ends, the other one ends with it.
        let end = |client: &std::net::TcpStream, server: &UnixStream| {
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
        };
        std::thread::spawn(move || {
            let _ = io::copy(&mut &client, &mut &server);
            end(&client, &server);
        });
        std::thread::spawn(move || {
            let _ = io::copy(&mut &server_too, &mut &client_too);
            end(&client_too, &server_too);
        });
    }
}
