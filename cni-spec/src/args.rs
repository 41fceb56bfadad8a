//! `CNI_ARGS`: extra arguments of one call, `key=value` pairs separated by semicolons (CNI specification 1.0.0, section
//! 2, "Parameters").

use crate::error::Error;
use crate::go_quote::{quote, quote_list};

/// The key by which a runtime allows keys that the plugin does not know. Every plugin knows it.
const IGNORE_UNKNOWN: &str = "IgnoreUnknown";

/// The arguments of a call, in the order given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Args {
    pairs: Vec<(String, String)>,
    ignore_unknown: bool,
}

impl Args {
    /// Reads `CNI_ARGS`; an empty text has no arguments.
    ///
    /// # Errors
    /// A pair without exactly one `=`, which includes the empty pair after a final semicolon, and an `IgnoreUnknown`
    /// that is not a boolean.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut args = Self::default();
        if text.is_empty() {
            return Ok(args);
        }
        for pair in text.split(';') {
            let (key, value) = pair
                .split_once('=')
                .filter(|(_, value)| !value.contains('='))
                .ok_or_else(|| Error::internal(format!("ARGS: invalid pair {}", quote(pair))))?;
            if key == IGNORE_UNKNOWN {
                args.ignore_unknown = parse_boolean(value).ok_or_else(|| {
                    Error::internal(format!(
                        "ARGS: error parsing value of pair {}: boolean unmarshal error: invalid input {value}",
                        quote(pair)
                    ))
                })?;
            }
            args.pairs.push((key.to_owned(), value.to_owned()));
        }
        Ok(args)
    }

    /// The value of a key, case-sensitive; the last one if it is repeated.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Refuses keys that are not in `known`, unless the runtime asked to ignore them. `IgnoreUnknown` need not be
    /// listed.
    ///
    /// # Errors
    /// Names every unknown pair.
    pub fn check_known(&self, known: &[&str]) -> Result<(), Error> {
        let is_known = |key: &str| key == IGNORE_UNKNOWN || known.contains(&key);
        let unknown: Vec<String> =
            self.pairs.iter().filter(|(key, _)| !is_known(key)).map(|(key, value)| format!("{key}={value}")).collect();
        if unknown.is_empty() || self.ignore_unknown {
            return Ok(());
        }
        Err(Error::internal(format!("ARGS: unknown args {}", quote_list(unknown))))
    }
}

fn parse_boolean(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::code;

    #[test]
    fn pairs() {
        let args = Args::parse("IP=1.2.3.4;K8S_POD_NAME=web-0;IP=5.6.7.8;EMPTY=").unwrap();
        assert_eq!(args.get("IP"), Some("5.6.7.8"));
        assert_eq!(args.get("K8S_POD_NAME"), Some("web-0"));
        assert_eq!(args.get("EMPTY"), Some(""));
        assert_eq!(args.get("ip"), None);
        assert_eq!(Args::parse(""), Ok(Args::default()));
    }

    #[test]
    fn invalid_pairs() {
        for (text, pair) in
            [("abc", r#""abc""#), ("A=1;", r#""""#), (";", r#""""#), ("A=1;B=2=3", r#""B=2=3""#), ("A=1;;B=2", r#""""#)]
        {
            assert_eq!(Args::parse(text), Err(Error::internal(format!("ARGS: invalid pair {pair}"))), "{text}");
        }
    }

    #[test]
    fn unknown_keys_as_recorded() {
        let error = Args::parse("FOO=bar").unwrap().check_known(&["IP"]).unwrap_err();
        assert_eq!(error.to_json(), "{\n    \"code\": 999,\n    \"msg\": \"ARGS: unknown args [\\\"FOO=bar\\\"]\"\n}");
        assert_eq!(Args::parse("IgnoreUnknown=1;FOO=bar").unwrap().check_known(&["IP"]), Ok(()));
        let error = Args::parse("A=1;IP=1.2.3.4;ip=x;IgnoreUnknown=FALSE").unwrap().check_known(&["IP"]).unwrap_err();
        assert_eq!(error.msg, r#"ARGS: unknown args ["A=1" "ip=x"]"#);
    }

    #[test]
    fn ignore_unknown_is_a_boolean() {
        for (text, ignored) in
            [("1", true), ("TRUE", true), ("True", true), ("0", false), ("False", false), ("1;IgnoreUnknown=0", false)]
        {
            let args = Args::parse(&format!("FOO=bar;IgnoreUnknown={text}")).unwrap();
            assert_eq!(args.check_known(&[]).is_ok(), ignored, "{text}");
        }
        let error = Args::parse("IgnoreUnknown=yes").unwrap_err();
        assert_eq!(error.code, code::INTERNAL);
        assert_eq!(
            error.msg,
            r#"ARGS: error parsing value of pair "IgnoreUnknown=yes": boolean unmarshal error: invalid input yes"#
        );
    }
}
