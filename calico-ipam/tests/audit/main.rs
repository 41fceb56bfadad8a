//! The audit: it finds nothing in what real operations have stored, and exactly what is planted there.

mod cluster;
mod healthy;
mod planted;
