//! One call of a plugin: what the runtime passes in the environment and on stdin, validated
//! (CNI specification 1.0.0, section 2, "Parameters" and "CNI operations").

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::Read;

use serde_json::Value;

use crate::error::{Error, code};
use crate::fields::Fields;
use crate::go_quote::{quote, quote_list};
use crate::result::Success;
use crate::version::{self, SUPPORTED, Version};

/// The kernel's limit for the name of an interface, in bytes.
const LONGEST_INTERFACE_NAME: usize = 15;

/// The longest network configuration that is read, in bytes. Kubernetes keeps none that is longer, real ones have a
/// thousandth of it, and the limit protects the host's memory: decoded it takes up to a hundred times as much.
pub const LONGEST_CONFIG: u64 = 1024 * 1024;

/// The oldest version with CHECK.
const CHECK_SINCE: (u32, u32, u32) = (0, 4, 0);

/// The oldest version with STATUS and GC.
const STATUS_AND_GC_SINCE: (u32, u32, u32) = (1, 1, 0);

/// A configuration without `cniVersion` is of this version.
const UNVERSIONED: (u32, u32, u32) = (0, 1, 0);

/// `CNI_COMMAND`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Connect a container to the network.
    Add,
    /// Undo an ADD.
    Del,
    /// Verify that what an ADD made is still there.
    Check,
    /// List the supported versions of the specification.
    Version,
    /// Say whether an ADD would be served now.
    Status,
    /// Remove what belongs to no valid container.
    Gc,
}

impl Command {
    /// The command with this exact name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Add, Self::Del, Self::Check, Self::Version, Self::Status, Self::Gc]
            .into_iter()
            .find(|command| command.as_str() == text)
    }

    /// The name in `CNI_COMMAND`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Version => "VERSION",
            Self::Status => "STATUS",
            Self::Gc => "GC",
        }
    }

    /// Whether the command is about one container's interface.
    fn is_about_container(self) -> bool {
        matches!(self, Self::Add | Self::Del | Self::Check)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The `CNI_*` variables as they are, not validated. An unset one is empty: the protocol makes no difference.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `CNI_COMMAND`
    pub command: OsString,
    /// `CNI_CONTAINERID`
    pub container_id: OsString,
    /// `CNI_NETNS`
    pub netns: OsString,
    /// `CNI_IFNAME`
    pub ifname: OsString,
    /// `CNI_ARGS`
    pub args: OsString,
    /// `CNI_PATH`
    pub path: OsString,
    /// `CNI_NETNS_OVERRIDE`
    pub netns_override: OsString,
}

impl Environment {
    /// The variables of this process.
    pub fn of_process() -> Self {
        let variable = |name| env::var_os(name).unwrap_or_default();
        Self {
            command: variable("CNI_COMMAND"),
            container_id: variable("CNI_CONTAINERID"),
            netns: variable("CNI_NETNS"),
            ifname: variable("CNI_IFNAME"),
            args: variable("CNI_ARGS"),
            path: variable("CNI_PATH"),
            netns_override: variable("CNI_NETNS_OVERRIDE"),
        }
    }
}

/// A valid call. Variables that the command does not require may be empty.
#[derive(Clone, Debug)]
pub struct Request {
    /// What to do.
    pub command: Command,
    /// The container's identifier, chosen by the runtime: a letter or digit, then letters, digits, `_`, `.` and `-`.
    pub container_id: String,
    /// The path of the container's network namespace; may be empty on DEL.
    pub netns: String,
    /// The name the interface has, or shall have, inside the container.
    pub ifname: String,
    /// `CNI_ARGS`, not parsed: see [`crate::Args`].
    pub args: String,
    /// The folders in which to look for plugins, separated by colons.
    pub path: String,
    /// The caller accepts that `netns` is the plugin's own network namespace.
    pub netns_override: bool,
    /// What was on stdin, byte for byte.
    pub stdin: Vec<u8>,
    /// The network configuration: `stdin` decoded, always an object.
    pub config: Value,
    /// The name of the network: `name` of the configuration.
    pub network: String,
    /// The version in whose format to answer: `cniVersion` of the configuration, or the plugin's default if it has
    /// none.
    pub version: Version,
    /// `cniVersion` as configured; empty if it has none.
    pub version_text: String,
}

impl Request {
    /// Validates a call of any command but VERSION, which has no configuration. The order of the checks is the
    /// reference library's, so that a call with several faults gets the answer that runtimes know: variables, stdin,
    /// configuration, command, version.
    ///
    /// STATUS and GC always end in an error: no supported version has them.
    ///
    /// # Errors
    /// The answer to a call that is not valid, with a code of the specification.
    pub fn read(env: &Environment, stdin: &mut impl Read, default_version: Version) -> Result<Self, Error> {
        let command_text = utf8("CNI_COMMAND", &env.command)?;
        let command = Command::parse(command_text);
        let variables = Variables::read(env, command)?;

        let mut input = Vec::new();
        let mut limited = stdin.take(LONGEST_CONFIG + 1);
        limited
            .read_to_end(&mut input)
            .map_err(|error| Error::new(code::IO_FAILURE, format!("error reading from stdin: {error}")))?;
        if limited.limit() == 0 {
            let text = format!("the network configuration on stdin is longer than {} MiB", LONGEST_CONFIG >> 20);
            return Err(
                Error::new(code::INVALID_CONFIG, text).with_details("shorten it, or see what the runtime sends")
            );
        }
        let config = decode(&input)?;
        let network = network_name(&config)?;

        let command = command
            .ok_or_else(|| Error::new(code::INVALID_ENVIRONMENT, format!("unknown CNI_COMMAND: {command_text}")))?;
        let version_text = version_text(&config)?;
        check_command_exists(command, &version_text)?;
        let version = check_version(&version_text, default_version)?;

        Ok(Self {
            command,
            container_id: variables.container_id.to_owned(),
            netns: variables.netns.to_owned(),
            ifname: variables.ifname.to_owned(),
            args: variables.args.to_owned(),
            path: variables.path.to_owned(),
            netns_override: variables.netns_override,
            stdin: input,
            config,
            network,
            version,
            version_text,
        })
    }

    /// `prevResult` of the configuration: what the last plugin of the list answered to the ADD, as the runtime kept it.
    /// It must be there for a CHECK (CNI specification 1.0.0, section 2, "CHECK").
    ///
    /// # Errors
    /// [`code::INVALID_CONFIG`]: there is none, or it is no result.
    pub fn previous_result(&self) -> Result<Success, Error> {
        let invalid = |text: String| {
            let advice = "the runtime must pass the result of the ADD; by hand, put it into the configuration";
            Error::new(code::INVALID_CONFIG, text).with_details(advice)
        };
        let malformed = |why: String| invalid(format!("cannot read prevResult: {why}"));
        let fields = Fields::of(&self.config, "").map_err(|error| malformed(error.to_string()))?;
        let needed = || invalid(format!("{} needs prevResult: the configuration has none", self.command));
        let document = fields.get("prevResult").ok_or_else(needed)?;
        Success::of(document, self.version).map_err(|error| malformed(error.msg))
    }
}

/// The variables other than the command, validated.
struct Variables<'a> {
    container_id: &'a str,
    netns: &'a str,
    ifname: &'a str,
    args: &'a str,
    path: &'a str,
    netns_override: bool,
}

impl<'a> Variables<'a> {
    /// `None` is an unknown command: it requires nothing, and is refused only after the configuration was read.
    fn read(env: &'a Environment, command: Option<Command>) -> Result<Self, Error> {
        let about_container = command.is_some_and(Command::is_about_container);
        let container_id = utf8("CNI_CONTAINERID", &env.container_id)?;
        if about_container && !container_id.is_empty() && !is_identifier(container_id) {
            return Err(
                Error::new(code::INVALID_ENVIRONMENT, "invalid characters in containerID").with_details(container_id)
            );
        }
        let ifname = utf8("CNI_IFNAME", &env.ifname)?;
        if about_container && !ifname.is_empty() {
            check_interface_name(ifname)?;
        }
        let netns = utf8("CNI_NETNS", &env.netns)?;
        let path = utf8("CNI_PATH", &env.path)?;

        let required = [
            ("CNI_CONTAINERID", container_id, about_container),
            ("CNI_NETNS", netns, matches!(command, Some(Command::Add | Command::Check))),
            ("CNI_IFNAME", ifname, about_container),
            ("CNI_PATH", path, about_container || matches!(command, Some(Command::Status | Command::Gc))),
        ];
        let missing: Vec<&str> = required
            .iter()
            .filter(|(_, value, required)| *required && value.is_empty())
            .map(|(name, ..)| *name)
            .collect();
        if !missing.is_empty() {
            return Err(Error::new(
                code::INVALID_ENVIRONMENT,
                format!("required env variables [{}] missing", missing.join(",")),
            ));
        }

        let args = utf8("CNI_ARGS", &env.args)?;
        let netns_override = utf8("CNI_NETNS_OVERRIDE", &env.netns_override)?;
        let netns_override = netns_override == "1" || netns_override.eq_ignore_ascii_case("true");
        Ok(Self { container_id, netns, ifname, args, path, netns_override })
    }
}

fn utf8<'a>(name: &str, value: &'a OsStr) -> Result<&'a str, Error> {
    value.to_str().ok_or_else(|| {
        Error::new(code::INVALID_ENVIRONMENT, format!("{name} is not valid UTF-8"))
            .with_details(quote(value.as_encoded_bytes()))
    })
}

/// The rule for container identifiers and network names.
fn is_identifier(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_alphanumeric()) && text.bytes().all(allowed)
}

/// The kernel's rules for names of interfaces.
fn check_interface_name(name: &str) -> Result<(), Error> {
    let invalid = |msg| Err(Error::new(code::INVALID_ENVIRONMENT, msg));
    if name.is_empty() {
        return invalid("interface name is empty");
    }
    if name.len() > LONGEST_INTERFACE_NAME {
        let limit = format!("interface name should be less than {} characters", LONGEST_INTERFACE_NAME + 1);
        return invalid("interface name is too long").map_err(|error| error.with_details(limit));
    }
    if name == "." || name == ".." {
        return invalid("interface name is . or ..");
    }
    if name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace()) {
        return invalid("interface name contains / or : or whitespace characters");
    }
    Ok(())
}

fn decode(stdin: &[u8]) -> Result<Value, Error> {
    let refused = |why: String| Error::new(code::DECODING_FAILURE, format!("error unmarshall network config: {why}"));
    if stdin.is_empty() {
        return Err(refused("stdin is empty, expected a JSON object".to_owned()));
    }
    let config: Value =
        serde_json::from_slice(stdin).map_err(|error| refused(format!("stdin is not valid JSON: {error}")))?;
    Fields::of(&config, "").map_err(|error| refused(format!("stdin: {error}")))?;
    Ok(config)
}

fn network_name(config: &Value) -> Result<String, Error> {
    let field = Fields::of(config, "").and_then(|fields| fields.nonempty("name"));
    let name = field
        .map_err(|error| Error::new(code::DECODING_FAILURE, format!("error unmarshall network config: {error}")))?;
    match name {
        None => Err(Error::new(code::INVALID_CONFIG, "missing network name")),
        Some(name) if is_identifier(name) => Ok(name.to_owned()),
        Some(name) => {
            Err(Error::new(code::INVALID_CONFIG, "invalid characters found in network name").with_details(name))
        }
    }
}

fn version_text(config: &Value) -> Result<String, Error> {
    let field = Fields::of(config, "").and_then(|fields| fields.string("cniVersion"));
    match field {
        Ok(text) => Ok(text.unwrap_or_default().to_owned()),
        Err(error) => Err(Error::new(code::DECODING_FAILURE, format!("decoding version from network config: {error}"))),
    }
}

/// Commands that came after the first version exist from some version on. This is asked before the version itself is
/// checked, as in the reference library: a runtime learns that the plugin has no such command and not that its version
/// is unknown.
fn check_command_exists(command: Command, version_text: &str) -> Result<(), Error> {
    let since = match command {
        Command::Add | Command::Del | Command::Version => return Ok(()),
        Command::Check => CHECK_SINCE,
        Command::Status | Command::Gc => STATUS_AND_GC_SINCE,
    };
    let numbers = if version_text.is_empty() { Some(UNVERSIONED) } else { version::numbers(version_text) };
    let configured = numbers
        .ok_or_else(|| Error::new(code::DECODING_FAILURE, format!("invalid version {}", quote(version_text))))?;
    if configured < since {
        return Err(Error::new(code::INCOMPATIBLE_VERSION, format!("config version does not allow {command}")));
    }
    let newest = SUPPORTED.into_iter().filter_map(|version| version::numbers(version.as_str())).max();
    if newest < Some(configured) {
        return Err(not_allowed(command));
    }
    Ok(())
}

/// The answer to a command that no version of the plugin has.
pub(crate) fn not_allowed(command: Command) -> Error {
    Error::new(code::INCOMPATIBLE_VERSION, format!("plugin version does not allow {command}"))
}

fn check_version(text: &str, default: Version) -> Result<Version, Error> {
    // No version counts as 0.1.0, which is supported; the answer may have another format all the same.
    if text.is_empty() {
        return Ok(default);
    }
    Version::parse(text).ok_or_else(|| {
        let supported = quote_list(SUPPORTED.map(Version::as_str));
        Error::new(code::INCOMPATIBLE_VERSION, "incompatible CNI versions")
            .with_details(format!("config is {}, plugin supports {supported}", quote(text)))
    })
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn environment(command: &str) -> Environment {
        Environment {
            command: command.into(),
            container_id: "abcdef0123456789".into(),
            netns: "/var/run/netns/golden".into(),
            ifname: "eth0".into(),
            path: "/opt/cni/bin".into(),
            ..Environment::default()
        }
    }

    fn read(env: &Environment, stdin: &str) -> Result<Request, Error> {
        Request::read(env, &mut stdin.as_bytes(), Version::V0_2_0)
    }

    fn config(version: &str) -> String {
        format!(r#"{{"name":"net1","cniVersion":"{version}"}}"#)
    }

    #[track_caller]
    fn assert_error(result: Result<Request, Error>, code: u32, msg: &str, details: &str) {
        assert_eq!(result.unwrap_err(), Error::new(code, msg).with_details(details));
    }

    #[test]
    fn a_valid_request() {
        let mut env = environment("ADD");
        env.args = "IgnoreUnknown=1".into();
        let stdin = r#"{"CNIVersion":"0.3.1","name":"net1","type":"calico","future":{"x":18446744073709551615}}"#;
        let request = read(&env, stdin).unwrap();
        assert_eq!(request.command, Command::Add);
        assert_eq!(request.container_id, "abcdef0123456789");
        assert_eq!(request.netns, "/var/run/netns/golden");
        assert_eq!(request.ifname, "eth0");
        assert_eq!(request.args, "IgnoreUnknown=1");
        assert_eq!(request.path, "/opt/cni/bin");
        assert_eq!(request.network, "net1");
        assert_eq!((request.version, request.version_text.as_str()), (Version::V0_3_1, "0.3.1"));
        assert_eq!(request.stdin, stdin.as_bytes());
        assert_eq!(request.config.to_string(), stdin);
        assert!(!request.netns_override);
    }

    #[test]
    fn the_result_of_the_add() {
        let read = |config: &str| read(&environment("CHECK"), config).unwrap().previous_result();
        let config = |result: &str| format!(r#"{{"name":"net1","cniVersion":"0.4.0","PrevResult":{result}}}"#);
        let result =
            r#"{"ips":[{"version":"4","address":"10.0.0.1/32"}],"interfaces":[{"name":"eth0","sandbox":"/n"}]}"#;
        let result = read(&config(result)).unwrap();
        assert_eq!((result.ips.len(), result.interfaces[0].name.as_str()), (1, "eth0"));
        let of_another_version = r#"{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.1/32"}}"#;
        assert_eq!(read(&config(of_another_version)).unwrap().ips[0].address.to_string(), "10.0.0.1/32");

        let absent = read(&config("null")).unwrap_err();
        assert_eq!(absent.code, code::INVALID_CONFIG);
        assert_eq!(absent.msg, "CHECK needs prevResult: the configuration has none");
        let malformed = read(&config(r#"{"ips":{}}"#)).unwrap_err();
        assert_eq!(malformed.msg, "cannot read prevResult: ips: expected a list, found an object");
    }

    #[test]
    fn required_variables() {
        let only = |command: &str| Environment { command: command.into(), ..Environment::default() };
        for (command, missing) in [
            ("ADD", "CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH"),
            ("CHECK", "CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH"),
            ("DEL", "CNI_CONTAINERID,CNI_IFNAME,CNI_PATH"),
            ("GC", "CNI_PATH"),
            ("STATUS", "CNI_PATH"),
        ] {
            assert_error(read(&only(command), ""), 4, &format!("required env variables [{missing}] missing"), "");
        }
        let mut env = environment("DEL");
        env.netns.clear();
        assert_eq!(read(&env, &config("1.0.0")).unwrap().netns, "");
    }

    #[test]
    fn container_ids() {
        for id in ["-a", "a/b", "ä", ".", "a b", "a\n"] {
            let mut env = environment("ADD");
            env.container_id = id.into();
            assert_error(read(&env, ""), 4, "invalid characters in containerID", id);
        }
        let mut env = environment("ADD");
        env.container_id = "0A_.-z".into();
        assert!(read(&env, &config("1.0.0")).is_ok());
    }

    #[test]
    fn interface_names() {
        let long = ("interface name is too long", "interface name should be less than 16 characters");
        let dots = ("interface name is . or ..", "");
        let characters = ("interface name contains / or : or whitespace characters", "");
        for (name, (msg, details)) in [
            ("0123456789abcdef", long),
            ("ääääääää", long),
            (".", dots),
            ("..", dots),
            ("a/b", characters),
            ("a:b", characters),
            ("a b", characters),
            ("a\u{a0}", characters),
        ] {
            let mut env = environment("DEL");
            env.ifname = name.into();
            assert_error(read(&env, ""), 4, msg, details);
        }
        assert_eq!(check_interface_name("").unwrap_err().msg, "interface name is empty");
        assert_eq!(check_interface_name("0123456789abcde"), Ok(()));
    }

    #[test]
    fn a_malformed_variable_comes_before_a_missing_one() {
        let env = Environment { command: "ADD".into(), container_id: "a/b".into(), ..Environment::default() };
        assert_error(read(&env, ""), 4, "invalid characters in containerID", "a/b");
    }

    #[test]
    fn variables_that_are_not_utf8() {
        let broken = OsString::from_vec(b"a\xff".to_vec());
        let with = |change: fn(&mut Environment, OsString)| {
            let mut env = environment("ADD");
            change(&mut env, broken.clone());
            read(&env, &config("1.0.0"))
        };
        let quoted = r#""a\xff""#;
        assert_error(with(|env, value| env.command = value), 4, "CNI_COMMAND is not valid UTF-8", quoted);
        assert_error(with(|env, value| env.container_id = value), 4, "CNI_CONTAINERID is not valid UTF-8", quoted);
        assert_error(with(|env, value| env.netns = value), 4, "CNI_NETNS is not valid UTF-8", quoted);
        assert_error(with(|env, value| env.ifname = value), 4, "CNI_IFNAME is not valid UTF-8", quoted);
        assert_error(with(|env, value| env.args = value), 4, "CNI_ARGS is not valid UTF-8", quoted);
        assert_error(with(|env, value| env.path = value), 4, "CNI_PATH is not valid UTF-8", quoted);
        assert_error(with(|env, value| env.netns_override = value), 4, "CNI_NETNS_OVERRIDE is not valid UTF-8", quoted);
    }

    #[test]
    fn netns_override() {
        for (value, expected) in
            [("1", true), ("TRUE", true), ("true", true), ("", false), ("0", false), ("yes", false)]
        {
            let mut env = environment("ADD");
            env.netns_override = value.into();
            assert_eq!(read(&env, &config("1.0.0")).unwrap().netns_override, expected, "{value}");
        }
    }

    #[test]
    fn stdin_that_cannot_be_read() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("gone"))
            }
        }
        assert_error(
            Request::read(&environment("ADD"), &mut Broken, Version::V0_2_0),
            5,
            "error reading from stdin: gone",
            "",
        );
    }

    #[test]
    fn configurations_that_are_no_objects() {
        let prefix = "error unmarshall network config: ";
        for (stdin, why) in [
            ("", "stdin is empty, expected a JSON object"),
            ("{", "stdin is not valid JSON: EOF while parsing an object at line 1 column 1"),
            ("{\"name\":\n oops}", "stdin is not valid JSON: expected value at line 2 column 2"),
            ("[]", "stdin: expected an object, found a list"),
            ("null", "stdin: expected an object, found null"),
            (r#"{"name":1}"#, "name: expected a string, found the number 1"),
        ] {
            assert_error(read(&environment("ADD"), stdin), 6, &format!("{prefix}{why}"), "");
        }
        let error =
            Request::read(&environment("ADD"), &mut b"{\"name\":\"\xff\"}".as_slice(), Version::V0_2_0).unwrap_err();
        assert_eq!(error.code, 6);
        assert!(error.msg.starts_with(prefix), "{error}");
    }

    #[test]
    fn network_names() {
        for stdin in ["{}", r#"{"name":""}"#, r#"{"name":null}"#] {
            assert_error(read(&environment("ADD"), stdin), 7, "missing network name", "");
        }
        assert_error(
            read(&environment("ADD"), r#"{"name":"a/b"}"#),
            7,
            "invalid characters found in network name",
            "a/b",
        );
    }

    #[test]
    fn unknown_commands_are_refused_after_the_configuration() {
        let env = Environment { command: "add".into(), ..Environment::default() };
        assert_error(read(&env, "{}"), 7, "missing network name", "");
        assert_error(read(&env, &config("9.9.9")), 4, "unknown CNI_COMMAND: add", "");
    }

    #[test]
    fn versions() {
        for version in SUPPORTED {
            assert_eq!(read(&environment("ADD"), &config(version.as_str())).unwrap().version, version);
        }
        for stdin in [r#"{"name":"n"}"#, r#"{"name":"n","cniVersion":""}"#, r#"{"name":"n","cniVersion":null}"#] {
            let request = read(&environment("DEL"), stdin).unwrap();
            assert_eq!((request.version, request.version_text.as_str()), (Version::V0_2_0, ""));
        }
        for text in ["1.1.0", "9.9.9", "1.0", "rubbish"] {
            let details =
                format!(r#"config is "{text}", plugin supports ["0.1.0" "0.2.0" "0.3.0" "0.3.1" "0.4.0" "1.0.0"]"#);
            assert_error(read(&environment("ADD"), &config(text)), 1, "incompatible CNI versions", &details);
        }
        let stdin = r#"{"name":"n","cniVersion":1}"#;
        assert_error(
            read(&environment("ADD"), stdin),
            6,
            "decoding version from network config: cniVersion: expected a string, found the number 1",
            "",
        );
    }

    #[test]
    fn commands_exist_from_a_version_on() {
        for version in ["", "0.1.0", "0.3.1"] {
            assert_error(read(&environment("CHECK"), &config(version)), 1, "config version does not allow CHECK", "");
        }
        for version in ["0.4.0", "1.0.0"] {
            assert_eq!(read(&environment("CHECK"), &config(version)).unwrap().command, Command::Check);
        }
        assert_error(read(&environment("CHECK"), &config("1.1.0")), 1, "plugin version does not allow CHECK", "");
        for command in ["STATUS", "GC"] {
            for (version, who) in [("", "config"), ("1.0.0", "config"), ("1.1.0", "plugin"), ("2.0.0", "plugin")] {
                assert_error(
                    read(&environment(command), &config(version)),
                    1,
                    &format!("{who} version does not allow {command}"),
                    "",
                );
            }
            assert_error(read(&environment(command), &config("x")), 6, r#"invalid version "x""#, "");
        }
    }
}
