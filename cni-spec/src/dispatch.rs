//! From one call of the process to one answer: validates, calls the plugin, renders.

use std::any::Any;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::error::{Error, code};
use crate::request::{self, Command, Environment, Request};
use crate::result::Success;
use crate::version::{self, SUPPORTED, Version};

/// The network namespace of this process.
pub const OWN_NETNS: &str = "/proc/self/ns/net";

/// A plugin: what it is called and what it does for each command. Errors go to the runtime as they are.
pub trait Plugin {
    /// The name for error texts, for example `Calico CNI`.
    fn name(&self) -> &str;

    /// What to tell a person who started the executable without a command: its name and version, without a final
    /// newline.
    fn about(&self) -> String;

    /// The version in whose format to answer when the configuration states none.
    fn default_version(&self) -> Version;

    /// Connects the container to the network.
    fn add(&self, request: &Request) -> Result<Success, Error>;

    /// Undoes an ADD, as far as there is anything to undo.
    fn del(&self, request: &Request) -> Result<(), Error>;

    /// Verifies what an ADD made. Returns the text for stdout, empty for none.
    fn check(&self, request: &Request) -> Result<String, Error>;
}

/// What the process shall print and return.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// For the runtime, byte for byte.
    pub stdout: String,
    /// For a person, byte for byte.
    pub stderr: String,
    /// The exit status: 0 for success, 1 for an error, whose object is on stdout.
    pub exit: i32,
}

impl Answer {
    fn success(stdout: String) -> Self {
        Self { stdout, ..Self::default() }
    }
}

impl From<Error> for Answer {
    fn from(error: Error) -> Self {
        Self { stdout: error.to_json(), stderr: String::new(), exit: 1 }
    }
}

/// Serves one call. `own_netns` is the path of the plugin's own network namespace, [`OWN_NETNS`] outside of tests.
///
/// Without a command, the answer tells a person what the executable is. Stdin is read for every command but VERSION.
///
/// ADD and DEL refuse, before they do any work, a container whose network namespace is the plugin's own: they would
/// configure the host. The reference library asks the same question but only after the work, when the harm is done and
/// the result already printed.
///
/// A panic of the plugin becomes an error with [`code::INTERNAL`].
pub fn dispatch(plugin: &impl Plugin, env: &Environment, stdin: &mut impl Read, own_netns: &Path) -> Answer {
    if env.command.is_empty() {
        return about(plugin);
    }
    if env.command == OsStr::new(Command::Version.as_str()) {
        return Answer::success(version::answer());
    }
    match serve(plugin, env, stdin, own_netns) {
        Ok(stdout) => Answer::success(stdout),
        Err(error) => error.into(),
    }
}

fn about(plugin: &impl Plugin) -> Answer {
    let versions = SUPPORTED.map(Version::as_str).join(", ");
    let stderr = format!("{}\nCNI protocol versions supported: {versions}\n", plugin.about());
    Answer { stderr, ..Answer::default() }
}

fn serve(plugin: &impl Plugin, env: &Environment, stdin: &mut impl Read, own_netns: &Path) -> Result<String, Error> {
    let request = Request::read(env, stdin, plugin.default_version())?;
    if matches!(request.command, Command::Add | Command::Del) {
        refuse_own_netns(&request, own_netns)?;
    }
    let call = || match request.command {
        Command::Add => plugin.add(&request)?.render(request.version),
        Command::Del => plugin.del(&request).map(|()| String::new()),
        Command::Check => plugin.check(&request),
        command @ (Command::Version | Command::Status | Command::Gc) => Err(request::not_allowed(command)),
    };
    // The plugin is not used again after a panic, so that no broken invariant of it can be seen.
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let message = panic_message(panic.as_ref());
        Err(Error::internal(format!("{} panicked during {}: {message}", plugin.name(), request.command)))
    })
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

fn refuse_own_netns(request: &Request, own_netns: &Path) -> Result<(), Error> {
    if request.netns.is_empty() || request.netns_override {
        return Ok(());
    }
    // A path that cannot be examined is no other name of the own namespace. Whether it can be used is for the plugin to
    // find out.
    let identity = |path: &Path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let Some(container) = identity(Path::new(&request.netns)) else { return Ok(()) };
    if identity(own_netns) != Some(container) {
        return Ok(());
    }
    Err(Error::new(code::INVALID_NETNS, "plugin's netns and netns from CNI_NETNS should not be the same"))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::result::Ip;

    /// Records the commands it was called with.
    #[derive(Default)]
    struct Recorder {
        calls: RefCell<Vec<Command>>,
        panic: bool,
    }

    impl Recorder {
        fn record(&self, request: &Request) -> Result<(), Error> {
            self.calls.borrow_mut().push(request.command);
            assert!(!self.panic, "lost container {}", request.container_id);
            if request.network == "broken" { Err(Error::new(11, "busy").with_details("again")) } else { Ok(()) }
        }
    }

    impl Plugin for Recorder {
        fn name(&self) -> &str {
            "Calico CNI"
        }

        fn about(&self) -> String {
            "Calico CNI plugin v1".to_owned()
        }

        fn default_version(&self) -> Version {
            Version::V0_2_0
        }

        fn add(&self, request: &Request) -> Result<Success, Error> {
            self.record(request)?;
            let ip = Ip { address: "10.0.0.1/32".parse().unwrap(), gateway: None, interface: None };
            Ok(Success { ips: vec![ip], ..Success::default() })
        }

        fn del(&self, request: &Request) -> Result<(), Error> {
            self.record(request)
        }

        fn check(&self, request: &Request) -> Result<String, Error> {
            self.record(request).map(|()| "OK\n".to_owned())
        }
    }

    fn environment(command: &str, netns: &str) -> Environment {
        Environment {
            command: command.into(),
            container_id: "c1".into(),
            netns: netns.into(),
            ifname: "eth0".into(),
            path: "/opt/cni/bin".into(),
            ..Environment::default()
        }
    }

    fn call(plugin: &Recorder, env: &Environment, stdin: &str) -> Answer {
        dispatch(plugin, env, &mut stdin.as_bytes(), Path::new(OWN_NETNS))
    }

    const CONFIG: &str = r#"{"cniVersion":"1.0.0","name":"net1"}"#;

    #[test]
    fn without_command() {
        let answer = call(&Recorder::default(), &Environment::default(), "");
        let stderr =
            "Calico CNI plugin v1\nCNI protocol versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0\n";
        assert_eq!(answer, Answer { stdout: String::new(), stderr: stderr.to_owned(), exit: 0 });
    }

    #[test]
    fn version_reads_no_stdin() {
        let mut stdin = CONFIG.as_bytes();
        let env = Environment { command: "VERSION".into(), ..Environment::default() };
        let answer = dispatch(&Recorder::default(), &env, &mut stdin, Path::new(OWN_NETNS));
        assert_eq!(answer, Answer::success(version::answer()));
        assert_eq!(stdin, CONFIG.as_bytes());
    }

    #[test]
    fn commands_reach_the_plugin() {
        let plugin = Recorder::default();
        let add = call(&plugin, &environment("ADD", "no such path"), CONFIG);
        let stdout = "{\n    \"cniVersion\": \"1.0.0\",\n    \
                      \"ips\": [\n        {\n            \"address\": \"10.0.0.1/32\"\n        }\n    ]\n}";
        assert_eq!(add, Answer::success(stdout.to_owned()));
        assert_eq!(call(&plugin, &environment("DEL", ""), CONFIG), Answer::success(String::new()));
        assert_eq!(call(&plugin, &environment("CHECK", "x"), CONFIG), Answer::success("OK\n".to_owned()));
        assert_eq!(*plugin.calls.borrow(), [Command::Add, Command::Del, Command::Check]);
    }

    #[test]
    fn a_result_without_configured_version_has_the_default_one() {
        let answer = call(&Recorder::default(), &environment("ADD", "x"), r#"{"name":"net1"}"#);
        assert!(answer.stdout.starts_with("{\n    \"cniVersion\": \"0.2.0\",\n    \"ip4\""), "{}", answer.stdout);
    }

    #[test]
    fn errors_of_the_plugin_are_passed_on() {
        let answer = call(&Recorder::default(), &environment("DEL", "x"), r#"{"cniVersion":"1.0.0","name":"broken"}"#);
        let stdout = "{\n    \"code\": 11,\n    \"msg\": \"busy\",\n    \"details\": \"again\"\n}";
        assert_eq!(answer, Answer { stdout: stdout.to_owned(), stderr: String::new(), exit: 1 });
    }

    #[test]
    fn invalid_requests_do_not_reach_the_plugin() {
        let plugin = Recorder::default();
        let stdout = |command, config| call(&plugin, &environment(command, "x"), config).stdout;
        assert_eq!(stdout("ADD", "{}"), "{\n    \"code\": 7,\n    \"msg\": \"missing network name\"\n}");
        assert_eq!(
            stdout("STATUS", CONFIG),
            "{\n    \"code\": 1,\n    \"msg\": \"config version does not allow STATUS\"\n}"
        );
        assert_eq!(stdout("GC", CONFIG), "{\n    \"code\": 1,\n    \"msg\": \"config version does not allow GC\"\n}");
        let newer = r#"{"cniVersion":"1.1.0","name":"net1"}"#;
        assert_eq!(
            stdout("STATUS", newer),
            "{\n    \"code\": 1,\n    \"msg\": \"plugin version does not allow STATUS\"\n}"
        );
        assert_eq!(
            stdout("ADD", newer),
            "{\n    \"code\": 1,\n    \"msg\": \"incompatible CNI versions\",\n    \
             \"details\": \"config is \\\"1.1.0\\\", plugin supports \
             [\\\"0.1.0\\\" \\\"0.2.0\\\" \\\"0.3.0\\\" \\\"0.3.1\\\" \\\"0.4.0\\\" \\\"1.0.0\\\"]\"\n}"
        );
        assert!(plugin.calls.borrow().is_empty());
    }

    #[test]
    fn the_own_network_namespace_is_refused_before_the_work() {
        let plugin = Recorder::default();
        for command in ["ADD", "DEL"] {
            let answer = call(&plugin, &environment(command, "/proc/thread-self/ns/net"), CONFIG);
            let error = Error::new(8, "plugin's netns and netns from CNI_NETNS should not be the same");
            assert_eq!(answer, error.into());
        }
        assert!(plugin.calls.borrow().is_empty());
    }

    #[test]
    fn the_own_network_namespace_is_allowed_on_request_and_for_check() {
        let plugin = Recorder::default();
        for value in ["1", "true", "TRUE"] {
            let env = Environment { netns_override: value.into(), ..environment("ADD", OWN_NETNS) };
            assert_eq!(call(&plugin, &env, CONFIG).exit, 0);
        }
        assert_eq!(call(&plugin, &environment("CHECK", OWN_NETNS), CONFIG).exit, 0);
        assert_eq!(call(&plugin, &environment("ADD", "/proc/self/ns/mnt"), CONFIG).exit, 0);
    }

    #[test]
    fn a_panic_becomes_an_error() {
        let plugin = Recorder { panic: true, ..Recorder::default() };
        for command in ["ADD", "DEL", "CHECK"] {
            let answer = call(&plugin, &environment(command, "x"), CONFIG);
            assert_eq!(
                answer,
                Error::internal(format!("Calico CNI panicked during {command}: lost container c1")).into()
            );
        }
    }
}
