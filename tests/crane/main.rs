//! What a user would check, in one test binary.

mod hub;
mod hub_server;
