//! Credentials that a program issues (client.authentication.k8s.io, v1 and v1beta1).

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use super::kubeconfig::{Entry, Text, invalid, text_of};
use crate::error::Error;

/// How long the program may take.
const TIME: Duration = Duration::from_secs(20);

/// The most that it may print, in bytes.
const LONGEST_OUTPUT: u64 = 1 << 20;

/// The most of its messages that is quoted, in bytes.
const LONGEST_QUOTE: usize = 1024;

/// The program.
#[derive(Clone, PartialEq)]
pub struct Plugin {
    command: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    api_version: String,
    /// What the kubeconfig says on where to get the program.
    hint: String,
    /// What it is told about the cluster, if it wants to know.
    cluster: Option<Value>,
    /// Which user of which file says so.
    origin: String,
}

/// What it issued.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Issued {
    /// A bearer token.
    pub token: Option<String>,
    /// A certificate and its key.
    pub identity: Option<(Text, Text)>,
}

impl Plugin {
    /// What a user of a kubeconfig says. `cluster` is what a program may be told about the cluster.
    pub fn of(user: &Entry, cluster: impl FnOnce() -> Value) -> Result<Option<Plugin>, Error> {
        let Some(Value::Object(exec)) = user.value("exec") else { return Ok(None) };
        let origin = user.setting("exec");
        let wrong = |reason: &str| invalid(format!("{origin}: {reason}"), "correct exec of the user in the kubeconfig");
        let api_version = text_of(exec, "apiVersion").unwrap_or_default();
        if !matches!(api_version.as_str(), "client.authentication.k8s.io/v1" | "client.authentication.k8s.io/v1beta1") {
            return Err(wrong(&format!("the apiVersion {api_version:?} is not supported")));
        }
        if text_of(exec, "interactiveMode").is_some_and(|mode| mode == "Always") {
            return Err(wrong("interactiveMode is Always, and there is nobody to talk to"));
        }
        let command = text_of(exec, "command").ok_or_else(|| wrong("there is no command"))?;
        // A name alone is looked for in PATH.
        let command = if command.contains('/') { user.path(&command) } else { command.into() };
        let list = |field| exec.get(field).and_then(Value::as_array).into_iter().flatten();
        let variable = |entry: &Value| {
            let entry = entry.as_object()?;
            Some((text_of(entry, "name")?, text_of(entry, "value").unwrap_or_default()))
        };
        Ok(Some(Plugin {
            command,
            args: list("args").map(|arg| arg.as_str().map_or_else(|| arg.to_string(), str::to_owned)).collect(),
            env: list("env").filter_map(variable).collect(),
            api_version,
            hint: text_of(exec, "installHint").unwrap_or_default(),
            cluster: (exec.get("provideClusterInfo") == Some(&Value::Bool(true))).then(cluster),
            origin,
        }))
    }

    /// Runs it. It is killed when this is dropped.
    pub async fn run(&self) -> Result<Issued, Error> {
        let failed = |reason: String| {
            let mut reason = format!("{} ({}): {reason}", self.command.display(), self.origin);
            if !self.hint.is_empty() {
                reason = format!("{reason}; {}", self.hint);
            }
            invalid(reason, "run the program by hand to see what it needs")
        };
        let output = timeout(TIME, self.output()).await;
        let output = output.unwrap_or_else(|_| Err(format!("it did not end in {TIME:?}"))).map_err(failed)?;
        self.issued(&output).map_err(failed)
    }

    async fn output(&self) -> Result<Vec<u8>, String> {
        let mut spec = json!({"interactive": false});
        if let Some(cluster) = &self.cluster {
            spec["cluster"] = cluster.clone();
        }
        let info = json!({"apiVersion": self.api_version, "kind": "ExecCredential", "spec": spec});
        // A process whose parent ignored this signal could not wait for its children otherwise.
        let _children = signal(SignalKind::child()).map_err(|error| error.to_string())?;
        let mut command = Command::new(&self.command);
        command.args(&self.args).envs(self.env.iter().cloned()).env("KUBERNETES_EXEC_INFO", info.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| format!("it is not started: {error}"))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (stdout, stderr) = tokio::join!(read(stdout), read(stderr));
        let (stdout, stderr) = (stdout?, stderr?);
        let status = child.wait().await.map_err(|error| error.to_string())?;
        match status.success() {
            true => Ok(stdout),
            false => {
                // What it has printed on stdout may be a secret.
                let said = String::from_utf8_lossy(&stderr[stderr.len().saturating_sub(LONGEST_QUOTE)..]);
                Err(format!("{status}, and it says {:?}", said.trim()))
            }
        }
    }

    fn issued(&self, output: &[u8]) -> Result<Issued, String> {
        let answer: Value =
            serde_json::from_slice(output).map_err(|_| "what it prints is no ExecCredential in JSON".to_owned())?;
        let version = answer["apiVersion"].as_str().unwrap_or_default();
        if version != self.api_version {
            return Err(format!("it answers with the apiVersion {version:?} instead of {:?}", self.api_version));
        }
        let no_fields = serde_json::Map::new();
        let status = answer["status"].as_object().unwrap_or(&no_fields);
        let text = |field: &str| {
            text_of(status, field)
                .map(|text| Text { bytes: text.into_bytes(), origin: format!("{field} of {}", self.origin) })
        };
        let token = text_of(status, "token");
        match (text("clientCertificateData"), text("clientKeyData")) {
            (Some(certificate), Some(key)) => Ok(Issued { token, identity: Some((certificate, key)) }),
            (None, None) if token.is_some() => Ok(Issued { token, identity: None }),
            (None, None) => Err("it issues neither a token nor a certificate".to_owned()),
            _ => Err("it issues a certificate without key, or a key without certificate".to_owned()),
        }
    }
}

async fn read(pipe: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, String> {
    let mut output = Vec::new();
    if let Some(pipe) = pipe {
        let mut limited = pipe.take(LONGEST_OUTPUT + 1);
        limited.read_to_end(&mut output).await.map_err(|error| error.to_string())?;
        if limited.limit() == 0 {
            return Err(format!("it prints more than {LONGEST_OUTPUT} bytes"));
        }
    }
    Ok(output)
}
