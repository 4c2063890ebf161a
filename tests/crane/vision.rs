//! Tiny Qwen2.5-VL and Namo folders against the numbers that PyTorch computed from them (tests/reference says how).

mod bench;
mod cli;
mod faults;
mod folder;
mod gguf;
mod lists;
mod parity;
