//! What was probably meant by a name that is none.

/// The known name that is most like a mistyped one, if any is much like it.
pub fn closest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Jaro's and Winkler's measure: at 0.8, one letter in three may be wrong.
    const ALIKE: f64 = 0.8;
    let typed = typed.to_lowercase();
    let likeness = |name: &str| strsim::jaro_winkler(&typed, &name.to_lowercase());
    let rated = known.into_iter().map(|name| (likeness(name), name)).filter(|(rate, _)| *rate > ALIKE);
    rated.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistyped_names() {
        let known = ["natOutgoing", "nodeSelector", "cidr"];
        assert_eq!(closest("natoutgoing2", known), Some("natOutgoing"));
        assert_eq!(closest("nodeselektor", known), Some("nodeSelector"));
        assert_eq!(closest("x", known), None);
    }
}
