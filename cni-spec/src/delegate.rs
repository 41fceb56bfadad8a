//! Handing a request to another plugin (CNI specification 1.0.0, section 4, "Plugin Delegation").

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getpid, getppid};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time;

use crate::error::Error;
use crate::go_quote::quote;
use crate::request::{Command, Request};

/// The most that a plugin may print on stdout, in bytes. Results are a few hundred bytes; the limit protects the host's
/// memory: decoded they take up to a hundred times as much.
const LONGEST_STDOUT: u64 = 1024 * 1024;

/// The most that a plugin may print on stderr, in bytes.
const LONGEST_STDERR: u64 = 16 * 1024 * 1024;

/// The most of a plugin's output that is quoted in an error text, in bytes.
const LONGEST_QUOTE: usize = 4096;

/// How often to try again to start an executable that is being written, 5 s in all.
const RETRIES_WHILE_BUSY: u32 = 50;

/// How long to wait before such a try.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// How long to wait for the end of a plugin that was killed, and how often to look.
const END_PATIENCE: Duration = Duration::from_secs(1);
const END_POLL: Duration = Duration::from_millis(1);

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

/// A plugin that was started. When this is dropped before the plugin has ended, the plugin is killed, with every process
/// that it started and that stayed in its process group, and has ended: its DEL may be called.
pub struct Running {
    child: Child,
    program: PathBuf,
    ended: bool,
}

/// Starts a plugin. It gets this process's environment with the `CNI_*` variables of `request`, except that the command
/// and `CNI_ARGS` are the given ones. It is killed when the calling thread ends, also by `kill -9`: nothing may be
/// allocated behind the back of a DEL that comes then. Needs a tokio runtime with I/O, signals and time enabled.
///
/// # Errors
/// It could not be started: nothing has happened.
pub async fn start(program: &Path, request: &Request, command: Command, args: &str) -> Result<Running, Error> {
    let variables = [
        ("CNI_COMMAND", command.as_str()),
        ("CNI_CONTAINERID", &request.container_id),
        ("CNI_NETNS", &request.netns),
        ("CNI_IFNAME", &request.ifname),
        ("CNI_ARGS", args),
        ("CNI_PATH", &request.path),
    ];
    // A process whose parent ignored this signal could not wait for its children otherwise.
    let _children =
        signal(SignalKind::child()).map_err(|error| no_message(&format!("listening to signals: {error}")))?;
    let mut plugin = tokio::process::Command::new(program);
    plugin.envs(variables).process_group(0);
    plugin.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    end_with_this_thread(&mut plugin);
    let mut busy = 0;
    loop {
        match plugin.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && busy < RETRIES_WHILE_BUSY => {
                // An installer is replacing the executable right now.
                busy += 1;
                time::sleep(RETRY_PAUSE).await;
            }
            Err(error) => {
                return Err(no_message(&format!("starting {}: {error}", program.display()))
                    .with_details(advice_on_start(error.kind())));
            }
            Ok(child) => return Ok(Running { child, program: program.to_owned(), ended: false }),
        }
    }
}

#[allow(unsafe_code, reason = "between fork and exec there are two system calls, and nothing that allocates or locks")]
fn end_with_this_thread(plugin: &mut tokio::process::Command) {
    let parent = getpid();
    let ask = move || {
        set_pdeathsig(Signal::SIGKILL)?;
        // It may have ended before.
        if getppid() == parent { Ok(()) } else { Err(Errno::ESRCH.into()) }
    };
    // SAFETY: see above.
    unsafe { plugin.pre_exec(ask) };
}

fn advice_on_start(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::PermissionDenied => {
            "make the file executable (chmod 755), on a file system that is not mounted noexec"
        }
        io::ErrorKind::NotFound => "the file is there, but not the interpreter or loader that it names: install that",
        io::ErrorKind::ExecutableFileBusy => "something keeps writing the file: let that end, and try again",
        _ => "replace the file by an executable for this machine",
    }
}

impl Running {
    /// Gives the plugin `stdin` as its configuration and returns what it prints on stdout. If it succeeds, what it
    /// printed on stderr is repeated on ours. Takes as long as the plugin does.
    ///
    /// # Errors
    /// The plugin's own error object, unchanged, if it printed one. Else a text with the end of what it printed, if it
    /// failed silently or printed too much.
    pub async fn finish(mut self, stdin: &[u8]) -> Result<Vec<u8>, Error> {
        // All three pipes at once: a plugin that is blocked on one of them does not serve the others.
        if let Some(pipe) = self.child.stdin.take() {
            tokio::spawn(feed(pipe, stdin.to_vec()));
        }
        let stderr = self.child.stderr.take().map(|pipe| tokio::spawn(read_all(pipe, "stderr", LONGEST_STDERR)));
        let stdout = match self.child.stdout.take() {
            Some(pipe) => read_all(pipe, "stdout", LONGEST_STDOUT).await?,
            None => Vec::new(),
        };
        let stderr = match stderr {
            Some(reading) => {
                reading.await.map_err(|error| Error::internal(format!("reading the plugin's stderr: {error}")))??
            }
            None => Vec::new(),
        };

        let group = self.group();
        let status = self.child.wait().await;
        let status = status.map_err(|error| no_message(&format!("waiting for {}: {error}", self.program.display())))?;
        self.ended = true;
        if !status.success() {
            // What it left behind must not work on beside its DEL.
            if let Some(group) = group {
                end(group, || true);
            }
            return Err(failure(status, &stdout, &stderr));
        }
        // It is only for information: the result counts even if nobody can be told.
        let _ = io::stderr().write_all(&stderr);
        Ok(stdout)
    }
}

impl Running {
    /// Its process group, as long as it was not waited for.
    fn group(&self) -> Option<Pid> {
        self.child.id().map(|id| Pid::from_raw(id.cast_signed()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // As long as it was not waited for, its ID is not given to another process.
        let Some(group) = self.group().filter(|_| !self.ended) else { return };
        end(group, || !matches!(self.child.try_wait(), Ok(None)));
    }
}

/// Kills a process group and waits, for a moment at most, until its leader is waited for and nobody is in it any more.
fn end(group: Pid, mut leader_ended: impl FnMut() -> bool) {
    let _ = killpg(group, Signal::SIGKILL);
    let looks = END_PATIENCE.as_millis() / END_POLL.as_millis();
    for _ in 0..looks {
        if leader_ended() && killpg(group, None).is_err() {
            return;
        }
        thread::sleep(END_POLL);
    }
}

async fn feed(mut pipe: ChildStdin, stdin: Vec<u8>) {
    // A plugin that has answered without reading everything is no failure.
    let _ = pipe.write_all(&stdin).await;
}

async fn read_all(pipe: impl AsyncRead + Unpin, name: &'static str, limit: u64) -> Result<Vec<u8>, Error> {
    let mut output = Vec::new();
    let mut limited = pipe.take(limit + 1);
    limited
        .read_to_end(&mut output)
        .await
        .map_err(|error| Error::internal(format!("reading the plugin's {name}: {error}")))?;
    if limited.limit() == 0 {
        return Err(Error::internal(format!("the plugin printed more than {} MiB on {name}", limit >> 20)));
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

    async fn exec(
        program: &Path,
        request: &Request,
        command: Command,
        args: &str,
        stdin: &[u8],
    ) -> Result<Vec<u8>, Error> {
        start(program, request, command, args).await?.finish(stdin).await
    }
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
        assert_eq!(error.msg, expected);
        assert!(error.details.contains("chmod"), "{error:?}");
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
        assert_eq!(exec_script("exec yes", b""), Err(Error::internal("the plugin printed more than 1 MiB on stdout")));
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

    /// Whether the process has ended; nobody may have waited for it yet.
    fn has_ended(pid: &str) -> bool {
        fs::read_to_string(format!("/proc/{}/stat", pid.trim())).map_or(true, |stat| stat.contains(") Z "))
    }

    #[test]
    fn a_plugin_and_what_it_started_do_not_outlive_its_call() {
        let folder = Folder::new();
        let file = folder.0.join("pids");
        let body = format!("sleep 600 & echo $$ $! > {0}.new; mv {0}.new {0}; wait", file.display());
        let program = folder.script(&body);
        let pids = run(async {
            let call = tokio::spawn(async move { exec(&program, &request(), Command::Add, "", b"").await });
            let pids = loop {
                match fs::read_to_string(&file) {
                    Ok(pids) => break pids,
                    Err(_) => time::sleep(Duration::from_millis(10)).await,
                }
            };
            call.abort();
            assert!(call.await.unwrap_err().is_cancelled());
            pids
        });
        let (plugin, child) = pids.trim().split_once(' ').unwrap();
        assert!(has_ended(plugin), "the plugin still runs");
        let start = Instant::now();
        while !has_ended(child) {
            assert!(start.elapsed() < Duration::from_secs(30), "what the plugin started still runs");
            thread::sleep(Duration::from_millis(10));
        }
    }
}
