//! Handing a request to another plugin (CNI specification 1.0.0, section 4, "Plugin Delegation").

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin};
use tokio::time;

use crate::error::Error;
use crate::go_quote::quote;
use crate::request::{Command, Request};

/// The most that a plugin may print on stdout, and on stderr, in bytes. Results are a few hundred bytes; the limit
/// protects the host's memory.
const LONGEST_OUTPUT: u64 = 16 * 1024 * 1024;

/// The most of a plugin's output that is quoted in an error text, in bytes.
const LONGEST_QUOTE: usize = 4096;

/// How often to try again to start an executable that is being written.
const RETRIES_WHILE_BUSY: u32 = 5;

/// How long to wait before such a try.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Finds the executable of a plugin: the first regular file, or link to one, of that name in the folders of `path`, a
/// list separated by colons (`CNI_PATH`). Empty elements are skipped.
///
/// # Errors
/// No name, a name with a slash, no path, or no such file.
pub fn find(plugin_type: &str, path: &str) -> Result<PathBuf, Error> {
    if plugin_type.is_empty() {
        return Err(Error::internal("no plugin name provided"));
    }
    if plugin_type.contains('/') {
        return Err(Error::internal(format!("invalid plugin name: {plugin_type}")));
    }
    if path.is_empty() {
        return Err(Error::internal("no paths provided"));
    }
    let folders: Vec<&str> = path.split(':').collect();
    let mut candidates =
        folders.iter().filter(|folder| !folder.is_empty()).map(|folder| Path::new(folder).join(plugin_type));
    candidates.find(|candidate| candidate.is_file()).ok_or_else(|| {
        Error::internal(format!("failed to find plugin {} in path [{}]", quote(plugin_type), folders.join(" ")))
    })
}

/// Runs a plugin and returns what it printed on stdout. It gets this process's environment with the `CNI_*` variables
/// of `request`, except that the command and `CNI_ARGS` are the given ones, and `stdin` as its configuration. If it
/// succeeds, what it printed on stderr is repeated on ours.
///
/// Takes as long as the plugin does; the plugin is killed when the future is dropped. Needs a tokio runtime with I/O
/// and time enabled.
///
/// # Errors
/// The plugin's own error object, unchanged, if it printed one. Else a text with the end of what it printed, if it
/// failed silently, could not be started, or printed more than 16 MiB.
pub async fn exec(
    program: &Path,
    request: &Request,
    command: Command,
    args: &str,
    stdin: &[u8],
) -> Result<Vec<u8>, Error> {
    let mut child = start(program, request, command, args).await?;

    // All three pipes at once: a plugin that is blocked on one of them does not serve the others.
    if let Some(pipe) = child.stdin.take() {
        tokio::spawn(feed(pipe, stdin.to_vec()));
    }
    let stderr = child.stderr.take().map(|pipe| tokio::spawn(read_all(pipe, "stderr")));
    let stdout = match child.stdout.take() {
        Some(pipe) => read_all(pipe, "stdout").await?,
        None => Vec::new(),
    };
    let stderr = match stderr {
        Some(reading) => {
            reading.await.map_err(|error| Error::internal(format!("reading the plugin's stderr: {error}")))??
        }
        None => Vec::new(),
    };

    let status =
        child.wait().await.map_err(|error| no_message(&format!("waiting for {}: {error}", program.display())))?;
    if !status.success() {
        return Err(failure(status, &stdout, &stderr));
    }
    // It is only for information: the result counts even if nobody can be told.
    let _ = io::stderr().write_all(&stderr);
    Ok(stdout)
}

async fn start(program: &Path, request: &Request, command: Command, args: &str) -> Result<Child, Error> {
    let variables = [
        ("CNI_COMMAND", command.as_str()),
        ("CNI_CONTAINERID", &request.container_id),
        ("CNI_NETNS", &request.netns),
        ("CNI_IFNAME", &request.ifname),
        ("CNI_ARGS", args),
        ("CNI_PATH", &request.path),
    ];
    let mut busy = 0;
    loop {
        let spawned = tokio::process::Command::new(program)
            .envs(variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        match spawned {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && busy < RETRIES_WHILE_BUSY => {
                // An installer is replacing the executable right now.
                busy += 1;
                time::sleep(RETRY_PAUSE).await;
            }
            Err(error) => return Err(no_message(&format!("starting {}: {error}", program.display()))),
            Ok(child) => return Ok(child),
        }
    }
}

async fn feed(mut pipe: ChildStdin, stdin: Vec<u8>) {
    // A plugin that has answered without reading everything is no failure.
    let _ = pipe.write_all(&stdin).await;
}

async fn read_all(pipe: impl AsyncRead + Unpin, name: &'static str) -> Result<Vec<u8>, Error> {
    let mut output = Vec::new();
    let mut limited = pipe.take(LONGEST_OUTPUT + 1);
    limited
        .read_to_end(&mut output)
        .await
        .map_err(|error| Error::internal(format!("reading the plugin's {name}: {error}")))?;
    if limited.limit() == 0 {
        return Err(Error::internal(format!(
            "the plugin printed more than {} MiB on {name}",
            LONGEST_OUTPUT / 1024 / 1024
        )));
    }
    Ok(output)
}

fn failure(status: ExitStatus, stdout: &[u8], stderr: &[u8]) -> Error {
    if !stdout.is_empty() {
        return Error::from_json(stdout).unwrap_or_else(|| {
            let text = quote(end_of(stdout));
            Error::internal(format!(
                "netplugin failed but error parsing its diagnostic message {text}: it is no CNI error"
            ))
        });
    }
    if !stderr.is_empty() {
        return Error::internal(format!("netplugin failed: {}", quote(end_of(stderr))));
    }
    match status.code() {
        Some(code) => no_message(&format!("exit status {code}")),
        None => no_message(&status.to_string()),
    }
}

fn no_message(why: &str) -> Error {
    Error::internal(format!("netplugin failed with no error message: {why}"))
}

/// The last bytes of an output: the cause of a failure is printed last.
fn end_of(output: &[u8]) -> &[u8] {
    &output[output.len().saturating_sub(LONGEST_QUOTE)..]
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::fs::{self, File, OpenOptions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;
    use std::time::Instant;

    use super::*;
    use crate::request::Environment;
    use crate::version::Version;

    /// A folder for executables of one test, removed at its end.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let name = format!("cni-spec-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let folder = Self(env::temp_dir().join(name));
            fs::create_dir(&folder.0).unwrap();
            folder
        }

        fn script(&self, body: &str) -> PathBuf {
            let path = self.0.join("plugin");
            fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path
        }

        fn text(&self) -> &str {
            self.0.to_str().unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn request() -> Request {
        let env = Environment {
            command: "ADD".into(),
            container_id: "c1".into(),
            netns: "/run/netns/x".into(),
            ifname: "eth0".into(),
            args: "A=1".into(),
            path: "/opt/cni/bin".into(),
            ..Environment::default()
        };
        Request::read(&env, &mut br#"{"name":"net1"}"#.as_slice(), Version::V0_2_0).unwrap()
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    fn exec_script(body: &str, stdin: &[u8]) -> Result<String, Error> {
        let folder = Folder::new();
        let program = folder.script(body);
        let stdout = run(exec(&program, &request(), Command::Del, "IgnoreUnknown=1;A=1", stdin))?;
        Ok(String::from_utf8(stdout).unwrap())
    }

    #[test]
    fn find_texts() {
        let msg = |plugin, path| find(plugin, path).unwrap_err().to_json();
        assert_eq!(msg("", "/a"), "{\n    \"code\": 999,\n    \"msg\": \"no plugin name provided\"\n}");
        assert_eq!(find("a/b", "/a").unwrap_err().msg, "invalid plugin name: a/b");
        assert_eq!(find("x", "").unwrap_err().msg, "no paths provided");
        assert_eq!(
            find("x", "/no/such:/folder").unwrap_err().msg,
            r#"failed to find plugin "x" in path [/no/such /folder]"#
        );
    }

    #[test]
    fn find_takes_the_first_regular_file() {
        let (first, second, third) = (Folder::new(), Folder::new(), Folder::new());
        fs::create_dir(first.0.join("plugin")).unwrap();
        let target = third.script("");
        symlink(&target, second.0.join("plugin")).unwrap();
        let path = format!(":/no/such:{}:{}:{}", first.text(), second.text(), third.text());
        assert_eq!(find("plugin", &path), Ok(second.0.join("plugin")));
        fs::remove_file(&target).unwrap();
        assert!(find("plugin", &path).is_err(), "a link to nothing is no plugin");
    }

    #[test]
    fn the_plugin_gets_environment_and_stdin() {
        let stdout = exec_script("cat; env | grep ^CNI_ | sort; test -n \"$PATH\"", b"{}\n").unwrap();
        assert_eq!(
            stdout,
            "{}\nCNI_ARGS=IgnoreUnknown=1;A=1\nCNI_COMMAND=DEL\nCNI_CONTAINERID=c1\nCNI_IFNAME=eth0\n\
             CNI_NETNS=/run/netns/x\nCNI_PATH=/opt/cni/bin\n"
        );
    }

    #[test]
    fn an_error_object_is_passed_through() {
        let body = r#"echo noise >&2; echo '{"cniVersion":"1.0.0","code":11,"msg":"m","details":"d"}'; exit 1"#;
        assert_eq!(exec_script(body, b""), Err(Error::new(11, "m").with_details("d")));
    }

    #[test]
    fn failures_without_error_object() {
        let msg = |body| exec_script(body, b"").unwrap_err();
        assert_eq!(msg("printf 'a\\nb\"' >&2; exit 2"), Error::internal(r#"netplugin failed: "a\nb\"""#));
        assert_eq!(msg("exit 3"), Error::internal("netplugin failed with no error message: exit status 3"));
        assert_eq!(msg("kill -9 $$"), Error::internal("netplugin failed with no error message: signal: 9 (SIGKILL)"));
        assert_eq!(
            msg("printf oops; exit 1"),
            Error::internal(r#"netplugin failed but error parsing its diagnostic message "oops": it is no CNI error"#)
        );
    }

    #[test]
    fn a_long_failure_is_shortened() {
        let error = exec_script("yes | head -c 100000 >&2; echo cause >&2; exit 1", b"").unwrap_err();
        assert!(error.msg.len() < 3 * LONGEST_QUOTE, "{}", error.msg.len());
        assert!(error.msg.ends_with("cause\\n\""), "{}", error.msg);
    }

    #[test]
    fn a_program_that_cannot_be_started() {
        let folder = Folder::new();
        let program = folder.0.join("plugin");
        File::create(&program).unwrap();
        let error = run(exec(&program, &request(), Command::Add, "", b"")).unwrap_err();
        let expected = format!(
            "netplugin failed with no error message: starting {}: Permission denied (os error 13)",
            program.display()
        );
        assert_eq!(error, Error::internal(expected));
    }

    #[test]
    fn full_pipes_do_not_block() {
        let megabyte = vec![b'x'; 1024 * 1024];
        let body = r#"head -c 1000000 /dev/zero >&2; wc -c | sed 's/.*/{"code":100,"msg":"&"}/'; exit 1"#;
        assert_eq!(exec_script(body, &megabyte), Err(Error::new(100, "1048576")));
    }

    #[test]
    fn stdin_need_not_be_read() {
        let megabyte = vec![b'x'; 1024 * 1024];
        assert_eq!(exec_script("echo done", &megabyte).unwrap(), "done\n");
    }

    #[test]
    fn endless_output_is_an_error() {
        assert_eq!(exec_script("exec yes", b""), Err(Error::internal("the plugin printed more than 16 MiB on stdout")));
        assert_eq!(
            exec_script("exec yes >&2", b""),
            Err(Error::internal("the plugin printed more than 16 MiB on stderr"))
        );
    }

    #[test]
    fn a_busy_executable_is_tried_again() {
        let folder = Folder::new();
        let program = folder.script("echo done");
        let writer = OpenOptions::new().append(true).open(&program).unwrap();
        let closing = thread::spawn(move || {
            thread::sleep(Duration::from_millis(300));
            drop(writer);
        });
        assert_eq!(run(exec(&program, &request(), Command::Add, "", b"")), Ok(b"done\n".to_vec()));
        closing.join().unwrap();
    }

    #[test]
    fn a_plugin_does_not_outlive_its_call() {
        let folder = Folder::new();
        let pid_file = folder.0.join("pid");
        let program = folder.script(&format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 60", pid_file.display()));
        let pid = run(async {
            let call = tokio::spawn(async move { exec(&program, &request(), Command::Add, "", b"").await });
            let pid = loop {
                match fs::read_to_string(&pid_file) {
                    Ok(pid) => break pid,
                    Err(_) => time::sleep(Duration::from_millis(10)).await,
                }
            };
            call.abort();
            assert!(call.await.unwrap_err().is_cancelled());
            pid
        });
        let stat = PathBuf::from(format!("/proc/{}/stat", pid.trim()));
        let ended = || fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
        let start = Instant::now();
        while !ended() {
            assert!(start.elapsed() < Duration::from_secs(30), "the plugin still runs");
            thread::sleep(Duration::from_millis(10));
        }
    }
}
