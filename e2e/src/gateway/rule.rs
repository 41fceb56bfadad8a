//! What happens to which request.

use std::time::Duration;

/// What happens to a request, in the place of being forwarded and answered.
#[derive(Debug, Clone)]
pub enum Act {
    /// This is the answer.
    Answer {
        /// Whether it is carried out all the same.
        is_carried_out: bool,
        /// The HTTP status.
        status: u16,
        /// Further headers.
        headers: Vec<(&'static str, String)>,
        /// The body, as JSON.
        body: String,
    },
    /// It is not forwarded, and the connection is closed.
    Drop,
    /// It is not forwarded: its stream is reset with `REFUSED_STREAM`.
    Refuse,
    /// It is not forwarded, and the connection ends with a GOAWAY that leaves it out.
    GoAwayBefore,
    /// It is carried out, and the connection ends in place of the answer with a GOAWAY that includes it.
    GoAwayAfter,
    /// It is carried out and answered, and no other is taken on its connection: as a server does that shuts down.
    GoAway,
    /// It is carried out, and the connection is closed in place of the answer.
    Cut,
    /// It is carried out, and the connection is closed in the middle of the answer.
    CutBody,
    /// It is carried out, and the answer ends in its middle as if that were all.
    Truncate,
    /// It is carried out, and the answer comes late.
    Delay(Duration),
    /// It is forwarded only after [`Gateway::release`](crate::Gateway::release), also if its client is gone by then.
    Hold,
}

impl Act {
    /// An answer as the API server gives it, to what it does not carry out.
    pub fn status(status: u16, reason: &str, message: &str) -> Act {
        let body = serde_json::json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "reason": reason, "message": message
        });
        Act::Answer { is_carried_out: false, status, headers: Vec::new(), body: body.to_string() }
    }

    /// The same to what was carried out.
    #[must_use]
    pub fn after(mut self) -> Act {
        if let Act::Answer { is_carried_out, .. } = &mut self {
            *is_carried_out = true;
        }
        self
    }

    /// Tells the client when to come back.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Act {
        if let Act::Answer { headers, .. } = &mut self {
            headers.push(("retry-after", seconds.to_string()));
        }
        self
    }
}

/// Some requests, and what happens to them.
#[derive(Debug, Clone)]
pub struct Rule {
    method: &'static str,
    part: String,
    first: usize,
    count: usize,
    act: Act,
    seen: usize,
}

impl Rule {
    /// The first request of a method whose path has a part. An empty method is any, `write` is any but GET.
    pub fn on(method: &'static str, part: &str, act: Act) -> Rule {
        Rule { method, part: part.to_owned(), first: 1, count: 1, act, seen: 0 }
    }

    /// The n-th such request, counted from 1.
    #[must_use]
    pub fn nth(self, n: usize) -> Rule {
        Rule { first: n, ..self }
    }

    /// So many such requests.
    #[must_use]
    pub fn times(self, count: usize) -> Rule {
        Rule { count, ..self }
    }

    /// What happens to a request; `None` if the rule is about others.
    pub(super) fn see(&mut self, method: &str, path: &str) -> Option<Act> {
        let is_method = match self.method {
            "" => true,
            "write" => method != "GET",
            name => name == method,
        };
        if !is_method || !path.contains(&self.part) {
            return None;
        }
        self.seen += 1;
        (self.first..self.first.saturating_add(self.count)).contains(&self.seen).then(|| self.act.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_count_the_requests_that_they_are_about() {
        let mut rule = Rule::on("write", "/ipamblocks", Act::Drop).nth(2).times(2);
        let mut hits = |method, path| rule.see(method, path).is_some();
        assert!(!hits("PUT", "/a/ipamblocks/x"));
        assert!(!hits("GET", "/a/ipamblocks/x"));
        assert!(!hits("PUT", "/a/ipamhandles/x"));
        assert!(hits("POST", "/a/ipamblocks"));
        assert!(hits("PUT", "/a/ipamblocks/x"));
        assert!(!hits("PUT", "/a/ipamblocks/x"));
    }
}
