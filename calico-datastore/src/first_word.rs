//! Whether a server of HTTP/2 talks to us at all: asked after a failure, before the server is trusted again.
//!
//! A connection counts as made when the kernel has it, or our side of TLS 1.3 is done. That the server refuses our
//! certificate, speaks another protocol or has stopped shows only in the first thing it says; and a connection that ends
//! before a request is on it loses that. So here nothing is asked, and the first word is waited for.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::way::Stream;

/// How long the first word may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The client's part of a beginning of HTTP/2, with settings that change nothing. The server's part answers it.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Greets, and waits for the answer.
pub async fn first_word(mut stream: Box<dyn Stream>) -> io::Result<()> {
    let conversation = async {
        // A server that has closed already may have said why, and that can still be read.
        if stream.write_all(GREETING).await.is_ok() {
            let _ = stream.flush().await;
        }
        stream.read(&mut [0]).await
    };
    match timeout(PATIENCE, conversation).await {
        Ok(Ok(0)) => Err(io::Error::other("it closes the connection without an answer")),
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::other(format!("no answer in {PATIENCE:?}"))),
    }
}
