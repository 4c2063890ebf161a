//! `crane chat` as a script and a person use it, on a tiny model with seeded weights.

mod faults;
mod room;
mod sessions;
mod talk;
mod terminal;
mod user;
