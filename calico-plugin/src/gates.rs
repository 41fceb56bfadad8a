//! Readiness gates: URLs that must answer before an ADD goes on.
//!
//! Each is asked at once, and then more and more seldom. (Upstream asks first after five seconds, and every five.)

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use calico_datastore::{Deadline, trust};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::error::Error;

/// The time for one gate, and for one question.
const LIMIT: Duration = Duration::from_secs(30);
const LIMIT_OF_TRY: Duration = Duration::from_secs(5);
/// The pauses between questions: at first and at last.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(2)];

/// Waits for each gate in turn.
///
/// # Errors
/// One that is no URL, before any is asked; one that did not say in time that it is ready.
pub async fn pass(gates: &[String]) -> Result<(), Error> {
    let gates = gates.iter().map(|text| Gate::parse(text)).collect::<Result<Vec<_>, _>>()?;
    for gate in gates {
        gate.pass().await?;
    }
    Ok(())
}

#[derive(Debug)]
struct Gate {
    uri: Uri,
    encrypted: bool,
    host: String,
    port: u16,
}

impl Gate {
    fn parse(text: &str) -> Result<Gate, Error> {
        let refused = |why: String| Error::Refused {
            text: format!("invalid URL set for ReadinessGates: {why}"),
            advice: "readiness_gates are URLs such as http://127.0.0.1:9099/readiness",
        };
        // There may be a password in it.
        let shown = if text.contains('@') { "one of them".to_owned() } else { format!("{text:?}") };
        let uri: Uri = text.parse().map_err(|error| refused(format!("{shown}: {error}")))?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(refused("user and password in one are not supported".to_owned()));
        }
        let encrypted = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(refused(format!("{text:?} is neither http nor https"))),
        };
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(refused(format!("{text:?} has no host")));
        }
        let port = uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        Ok(Gate { uri, encrypted, host, port })
    }

    async fn pass(&self) -> Result<(), Error> {
        let deadline = Deadline::after(LIMIT);
        let [mut pause, longest] = PAUSES;
        let mut last = "it was not asked".to_owned();
        let asking = async {
            let connector = if self.encrypted { Some(connector()) } else { None };
            loop {
                match Deadline::after(LIMIT_OF_TRY).bound(self.ask(connector.as_ref())).await {
                    Some(Ok(status)) if status.is_success() || status.is_redirection() => return,
                    Some(Ok(status)) => last = format!("it answered {status}"),
                    Some(Err(error)) => last = error,
                    None => last = format!("no answer within {LIMIT_OF_TRY:.0?}"),
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(longest);
            }
        };
        let passed = deadline.bound(asking).await;
        passed.ok_or_else(|| Error::Gate { url: self.uri.to_string(), limit: LIMIT, last })
    }

    /// One question: the status of the answer, or why there is none.
    async fn ask(&self, connector: Option<&Result<TlsConnector, String>>) -> Result<StatusCode, String> {
        let connected = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = connected.map_err(|error| format!("cannot connect to it: {error}"))?;
        let Some(connector) = connector else { return self.exchange(stream).await };
        let name = ServerName::try_from(self.host.clone()).map_err(|error| error.to_string())?;
        let encrypted = connector.as_ref().map_err(Clone::clone)?.connect(name, stream).await;
        self.exchange(encrypted.map_err(|error| format!("cannot encrypt the connection: {error}"))?).await
    }

    async fn exchange(&self, stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<StatusCode, String> {
        let failed = |error: &dyn std::error::Error| format!("no answer: {error}");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let authority = self.uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        let request = Request::get(path).header("host", authority).header("connection", "close");
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| failed(&error))?;
        let mut answer = pin!(sender.send_request(request));
        let answer = tokio::select! {
            biased;
            answer = &mut answer => answer,
            // Its last act may have been to receive the answer.
            _ = connection => answer.await,
        };
        Ok(answer.map_err(|error| failed(&error))?.status())
    }
}

/// What encrypts connections to servers that this host trusts.
fn connector() -> Result<TlsConnector, String> {
    let trusted = trust::config(trust::of_host()).map_err(|error| error.to_string())?;
    Ok(TlsConnector::from(Arc::new(trusted.with_no_client_auth())))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn gates_are_urls() {
        let gate = Gate::parse("https://[fd00::1]/a?b").unwrap();
        assert_eq!((gate.encrypted, gate.host.as_str(), gate.port), (true, "fd00::1", 443));
        let gate = Gate::parse("http://localhost:9099").unwrap();
        assert_eq!((gate.encrypted, gate.host.as_str(), gate.port), (false, "localhost", 9099));
        for (text, words) in [
            ("", "empty string"),
            ("/readiness", "is neither http nor https"),
            ("localhost:80", "is neither http nor https"),
            ("unix:///run/x", "invalid format"),
            ("http://me:swordfish@a/", "user and password in one are not supported"),
            ("http://a b/", "\"http://a b/\""),
        ] {
            let error = Gate::parse(text).unwrap_err().to_string();
            let begins = error.starts_with("invalid URL set for ReadinessGates: ");
            assert!(begins && error.contains(words) && !error.contains("swordfish"), "{text:?}: {error}");
        }
    }

    /// Answers one question after the other as it is told, and returns what it was asked.
    fn server(answers: &'static [&'static str]) -> (String, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/ready?x=1", listener.local_addr().unwrap());
        let serving = std::thread::spawn(move || {
            let serve = |answer: &&str| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut question = vec![0; 4096];
                let length = stream.read(&mut question).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
                String::from_utf8_lossy(&question[..length]).into_owned()
            };
            answers.iter().map(serve).collect()
        });
        (url, serving)
    }

    #[test]
    fn a_gate_is_asked_until_it_is_ready() {
        let (url, serving) = server(&["HTTP/1.1 503 Busy\r\n\r\n", "garbage\r\n\r\n", "", "HTTP/1.0 399 Fine\r\n\r\n"]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(pass(&[url])).unwrap();
        let questions = serving.join().unwrap();
        assert!(questions.iter().all(|question| question.starts_with("GET /ready?x=1 HTTP/1.1\r\n")), "{questions:?}");
        assert_eq!(questions.len(), 4);
    }
}
