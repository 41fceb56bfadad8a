//! Every rule of allocation, one by one, on a store of its own.

mod affinities;
mod assign;
mod explain;
mod gate;
mod handles;
mod meanwhile;
mod races;
mod requests;
mod selection;
mod unsound;
mod world;
