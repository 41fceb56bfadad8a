//! The error a plugin answers with: a JSON object on stdout (CNI specification 1.0.0, section 5, "Error").

use serde::Serialize;
use serde_json::Value;

use crate::fields::{FieldError, Fields};

/// What the `code` of an error means. 1 to 99 belong to the specification, 100 and up to the plugin.
pub mod code {
    /// The plugin does not support the configuration's version, or not this command in it.
    pub const INCOMPATIBLE_VERSION: u32 = 1;
    /// The configuration has a field that the plugin does not support.
    pub const UNSUPPORTED_FIELD: u32 = 2;
    /// The container does not exist (any more): the runtime need not clean up.
    pub const UNKNOWN_CONTAINER: u32 = 3;
    /// A `CNI_*` variable is missing or malformed.
    pub const INVALID_ENVIRONMENT: u32 = 4;
    /// Input or output failed, for example reading stdin.
    pub const IO_FAILURE: u32 = 5;
    /// Something could not be decoded, for example the configuration on stdin.
    pub const DECODING_FAILURE: u32 = 6;
    /// The configuration was decoded but is not valid.
    pub const INVALID_CONFIG: u32 = 7;
    /// The network namespace cannot be used. Not in the specification; the reference library added it.
    pub const INVALID_NETNS: u32 = 8;
    /// A condition that should pass: the runtime should try again later.
    pub const TRY_AGAIN: u32 = 11;
    /// STATUS: the plugin cannot serve ADD now.
    pub const PLUGIN_NOT_AVAILABLE: u32 = 50;
    /// STATUS: the plugin cannot serve ADD now, and containers of the network may have limited connectivity.
    pub const LIMITED_CONNECTIVITY: u32 = 51;
    /// The first code that is the plugin's own; Calico's for a failed test of the datastore connection.
    pub const PLUGIN_SPECIFIC: u32 = 100;
    /// Everything for which there is no better code.
    pub const INTERNAL: u32 = 999;
}

/// An error for the runtime. Displayed as the message, followed by `; ` and the details if there are any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{msg}{separator}{details}", separator = if .details.is_empty() { "" } else { "; " })]
pub struct Error {
    /// One of the numbers in [`code`], or one that a delegated plugin chose.
    pub code: u32,
    /// What went wrong, in one sentence.
    pub msg: String,
    /// More about it; left out of the JSON object if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub details: String,
}

impl Error {
    /// An error without details.
    pub fn new(code: u32, msg: impl Into<String>) -> Self {
        Self { code, msg: msg.into(), details: String::new() }
    }

    /// An error with [`code::INTERNAL`].
    pub fn internal(msg: impl Into<String>) -> Self {
        Self::new(code::INTERNAL, msg)
    }

    /// The same error with these details.
    pub fn with_details(self, details: impl Into<String>) -> Self {
        Self { details: details.into(), ..self }
    }

    /// The object for stdout, indented, without a final newline.
    pub fn to_json(&self) -> String {
        go_json::to_pretty(self)
    }

    /// Reads the error object that another plugin printed. `None` if the text is something else: not JSON, members of
    /// the wrong type, or neither a code nor a message.
    pub fn from_json(text: &[u8]) -> Option<Self> {
        let object: Value = serde_json::from_slice(text).ok()?;
        let fields = Fields::of(&object, "").ok()?;
        let code = u32::try_from(fields.integer("code").ok()?.unwrap_or(0)).ok()?;
        let msg = fields.string("msg").ok()?.unwrap_or_default();
        let details = fields.string("details").ok()?.unwrap_or_default();
        (code != 0 || !msg.is_empty()).then(|| Self::new(code, msg).with_details(details))
    }
}

impl From<FieldError> for Error {
    /// For documents whose kind has no code of its own: [`code::INTERNAL`].
    fn from(error: FieldError) -> Self {
        Self::internal(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_the_recorded_one() {
        let versions = r#"config is "9.9.9", plugin supports ["0.1.0"]"#;
        assert_eq!(
            Error::new(code::INCOMPATIBLE_VERSION, "incompatible CNI versions").with_details(versions).to_json(),
            "{\n    \"code\": 1,\n    \"msg\": \"incompatible CNI versions\",\n    \
             \"details\": \"config is \\\"9.9.9\\\", plugin supports [\\\"0.1.0\\\"]\"\n}"
        );
        assert_eq!(
            Error::internal("ClusterInformation(default) with error: <nil>").to_json(),
            "{\n    \"code\": 999,\n    \"msg\": \"ClusterInformation(default) with error: \\u003cnil\\u003e\"\n}"
        );
    }

    #[test]
    fn display() {
        let error = Error::new(code::INVALID_ENVIRONMENT, "interface name is too long");
        assert_eq!(error.to_string(), "interface name is too long");
        assert_eq!(
            error.with_details("interface name should be less than 16 characters").to_string(),
            "interface name is too long; interface name should be less than 16 characters"
        );
    }

    #[test]
    fn from_json_reads_what_to_json_wrote() {
        let error = Error::new(11, "try <again> & \"again\"").with_details("später\n");
        assert_eq!(Error::from_json(error.to_json().as_bytes()), Some(error));
    }

    #[test]
    fn from_json_is_lenient_but_not_blind() {
        assert_eq!(
            Error::from_json(br#"{"cniVersion":"1.0.0","Code":7,"msg":"m","details":null}"#),
            Some(Error::new(7, "m"))
        );
        assert_eq!(Error::from_json(br#"{"msg":"m"}"#), Some(Error::new(0, "m")));
        for text in ["", "oops", "[]", "{}", r#"{"code":"7"}"#, r#"{"code":-1,"msg":"m"}"#, r#"{"code":1,"msg":2}"#] {
            assert_eq!(Error::from_json(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Error::from_json(b"{\"msg\":\"\xff\"}"), None);
    }
}
