//! Convolution over time, for audio models: samples lie channel by channel, so that lanes run along time whatever the
//! kernel, the dilation or the stride.
//!
//! A [`Filter`] is a matrix product whose right side is not brought together first: each of its columns is a channel
//! read from some sample on. A dilated convolution, one phase of a transposed convolution and a strided convolution over
//! [`Signal::split`] channels differ in those columns alone. Every output is summed in the same order wherever it lies in
//! the signal: a part of a signal, computed with enough context, equals that part of the whole, bit for bit.

mod filter;
mod pointwise;
mod signal;
#[cfg(test)]
mod tests;

pub use filter::{Filter, Kernel, Out};
pub use pointwise::{
    activate, add, channel_norm, depthwise, gelu_in_place, Activation, ChannelNorm,
};
pub use signal::Signal;
