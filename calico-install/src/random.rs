//! What makes the nodes of a cluster differ in when they ask.

/// From 0 to 1. Without random numbers, all nodes ask at the same time: no harm is done.
pub fn random() -> f64 {
    let mut bytes = [0; 4];
    let _ = getrandom::fill(&mut bytes);
    f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
}
