//! What a user would check, one binary for all files.

mod batch;
mod batch_cli;
mod bench_cli;
mod chat;
mod cli;
mod constraint;
mod constraint_cli;
mod devices;
mod hub;
mod hub_cli;
mod hub_server;
mod not_a_number;
mod parity;
mod paths;
mod real;
mod receipt;
mod recipe;
mod spark;
mod store_cli;
mod text;
mod vision;
mod ways;
mod weights;
mod weights_faults;
