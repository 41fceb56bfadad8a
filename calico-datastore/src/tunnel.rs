//! A tunnel through an HTTP proxy (RFC 9110, CONNECT).

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::way::dial;

/// The most that a proxy may say before the tunnel begins, in bytes.
const LONGEST_HEAD: usize = 16 << 10;

/// A proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What the header `Proxy-Authorization` says, if there is one.
    pub authorization: Option<String>,
    /// Which setting names it.
    pub setting: String,
}

impl Proxy {
    /// A tunnel to a host.
    pub async fn open(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let failed = |reason: String| {
            io::Error::other(format!("the proxy {}:{} ({}): {reason}", self.host, self.port, self.setting))
        };
        let mut stream = dial(&self.host, self.port).await.map_err(|error| failed(error.to_string()))?;
        let status = self.connect(&mut stream, host, port).await.map_err(|error| failed(error.to_string()))?;
        match status.split(' ').nth(1) {
            Some(code) if code.starts_with('2') => Ok(stream),
            _ => Err(failed(format!("it answers {status:?} to CONNECT"))),
        }
    }

    /// The status line of its answer.
    async fn connect(&self, stream: &mut TcpStream, host: &str, port: u16) -> io::Result<String> {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
        if let Some(authorization) = &self.authorization {
            request.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await?;
        // One byte at a time: what follows is not the proxy's.
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() == LONGEST_HEAD {
                return Err(io::Error::other("its answer does not end"));
            }
            head.push(stream.read_u8().await?);
        }
        let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        Ok(String::from_utf8_lossy(line).into_owned())
    }
}
