//! Versions of the CNI specification.

use std::fmt;

use serde::{Serialize, Serializer};

/// A version of the CNI specification whose configuration and result format this crate speaks. Ordered by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 0.1.0: one address per family, no interfaces.
    V0_1_0,
    /// 0.2.0: the format of 0.1.0, and the VERSION command.
    V0_2_0,
    /// 0.3.0: lists of interfaces and addresses.
    V0_3_0,
    /// 0.3.1: the format of 0.3.0.
    V0_3_1,
    /// 0.4.0: the CHECK command.
    V0_4_0,
    /// 1.0.0: addresses no longer carry their family.
    V1_0_0,
}

/// Every supported version, oldest first: the order in which VERSION and error texts list them.
pub const SUPPORTED: [Version; 6] =
    [Version::V0_1_0, Version::V0_2_0, Version::V0_3_0, Version::V0_3_1, Version::V0_4_0, Version::V1_0_0];

/// The version in which the VERSION answer itself is written. It is the newest that the protocol code knows and not a
/// promise to accept such a configuration: that promise is the list of supported versions.
const ANSWER_VERSION: &str = "1.1.0";

impl Version {
    /// The version as it is written in `cniVersion`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V0_1_0 => "0.1.0",
            Self::V0_2_0 => "0.2.0",
            Self::V0_3_0 => "0.3.0",
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
        }
    }

    /// The supported version that is written exactly so; `None` for every other text, the empty one included.
    pub fn parse(text: &str) -> Option<Self> {
        SUPPORTED.into_iter().find(|version| version.as_str() == text)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Reads any version, supported or not, as (major, minor, micro), so that two of them can be compared. Parts that are
/// left out count as 0. `None` if the text is not one to three numbers separated by dots.
pub fn numbers(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.split('.').map(|part| part.parse::<u32>().ok());
    let major = parts.next()??;
    let minor = parts.next().unwrap_or(Some(0))?;
    let micro = parts.next().unwrap_or(Some(0))?;
    parts.next().is_none().then_some((major, minor, micro))
}

/// The answer to VERSION, with its final newline (CNI specification 1.0.0, section 5, "Version").
pub fn answer() -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct VersionAnswer {
        cni_version: &'static str,
        supported_versions: [Version; SUPPORTED.len()],
    }
    let answer = VersionAnswer { cni_version: ANSWER_VERSION, supported_versions: SUPPORTED };
    go_json::to_compact(&answer) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_is_the_recorded_one() {
        assert_eq!(
            answer(),
            "{\"cniVersion\":\"1.1.0\",\"supportedVersions\":\
             [\"0.1.0\",\"0.2.0\",\"0.3.0\",\"0.3.1\",\"0.4.0\",\"1.0.0\"]}\n"
        );
    }

    #[test]
    fn texts_and_order() {
        for pair in SUPPORTED.windows(2) {
            assert!(pair[0] < pair[1]);
        }
        for version in SUPPORTED {
            assert_eq!(Version::parse(&version.to_string()), Some(version));
        }
        for text in ["", "1.1.0", "1.0", "1.0.0 ", "v1.0.0", "9.9.9"] {
            assert_eq!(Version::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn numbers_of_any_version() {
        assert_eq!(numbers("1.1.0"), Some((1, 1, 0)));
        assert_eq!(numbers("0.4"), Some((0, 4, 0)));
        assert_eq!(numbers("2"), Some((2, 0, 0)));
        for text in ["", "1.0.0.0", "1..0", "a", "1.0.0-rc1", "99999999999.0.0"] {
            assert_eq!(numbers(text), None, "{text:?}");
        }
    }
}
