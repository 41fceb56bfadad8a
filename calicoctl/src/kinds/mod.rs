//! The fields of every kind, from the reference of Calico's v3 resources; a file for each.

pub mod block_affinity;
pub mod cluster_information;
pub mod ip_pool;
pub mod ip_reservation;
pub mod ipam_configuration;
pub mod metadata;
pub mod node;
pub mod profile;
pub mod rule;
pub mod workload_endpoint;
