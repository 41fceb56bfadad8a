//! Every rule of allocation, one by one, on a store of its own.

mod affinities;
mod assign;
mod explain;
mod handles;
mod meanwhile;
mod selection;
mod unsound;
mod world;
