//! The API group that holds Calico's custom resources.

/// Where a cluster keeps Calico's custom resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// `crd.projectcalico.org/v1`, the usual one. The group `projectcalico.org` is then a server of its own in front of it
    /// or absent, and is not to be used.
    V1,
    /// `projectcalico.org/v3`, where it is made of custom resources itself.
    V3,
}

impl Group {
    /// The group of a configuration's text: [`Group::V3`] where it says so, in any case of letters, [`Group::V1`] for any
    /// other text; `None` where there is none, and the cluster must be asked.
    pub fn parse(text: &str) -> Option<Group> {
        match text {
            "" => None,
            _ if text.eq_ignore_ascii_case(Group::V3.api_version()) => Some(Group::V3),
            _ => Some(Group::V1),
        }
    }

    /// The `apiVersion` of its objects.
    pub fn api_version(self) -> &'static str {
        match self {
            Group::V1 => "crd.projectcalico.org/v1",
            Group::V3 => "projectcalico.org/v3",
        }
    }

    /// The path below which its collections are.
    pub fn path(self) -> &'static str {
        match self {
            Group::V1 => "/apis/crd.projectcalico.org/v1",
            Group::V3 => "/apis/projectcalico.org/v3",
        }
    }
}
