//! How results look: tables, and documents in YAML and JSON.

pub mod boxed;
pub mod cells;
pub mod columns;
pub mod form;
pub mod json;
