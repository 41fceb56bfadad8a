//! The installer in an image of its own, on hosts of a real control plane.

mod api;
mod faults;
mod files;
mod fresh;
mod killed;
mod node;
mod stays;
