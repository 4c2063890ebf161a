//! Cosines and sines of positions.

use std::sync::Arc;

use super::error::GpuError;
use super::gpu::{Arguments, Gpu};
use super::memory::{Address, Buffer};
use super::work::{Place, Work};

/// The frequencies of a rotary embedding.
pub struct Rope {
    frequencies: Buffer,
    half: usize,
    /// The first frequencies that read the axes height and width.
    sections: [usize; 2],
    magnitude: f32,
}

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct AnglesArgs {
    positions: Address,
    frequencies: Address,
    half: u32,
    first_height: u32,
    first_width: u32,
    magnitude: f32,
    out: Address,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for AnglesArgs {}

impl Rope {
    /// Of `frequencies` in radians a position; cosine and sine are multiplied with `magnitude`.
    pub fn new(
        gpu: &Arc<Gpu>,
        frequencies: &[f32],
        sections: Option<[usize; 3]>,
        magnitude: f32,
    ) -> Result<Self, GpuError> {
        let half = frequencies.len();
        let [time, height, _] = sections.unwrap_or([half, 0, 0]);
        Ok(Self {
            frequencies: Buffer::of_numbers(gpu, frequencies)?,
            half,
            sections: [
                time,
                if sections.is_some() {
                    time + height
                } else {
                    half
                },
            ],
            magnitude,
        })
    }
}

impl Work {
    /// Angles of `count` tokens whose positions lie from `positions` on, three words each.
    pub(super) fn angles_arguments(
        &mut self,
        rope: &Rope,
        positions: Address,
        count: usize,
    ) -> Result<AnglesArgs, GpuError> {
        Ok(AnglesArgs {
            positions,
            frequencies: rope.frequencies.address(),
            half: rope.half as u32,
            first_height: rope.sections[0] as u32,
            first_width: rope.sections[1] as u32,
            magnitude: rope.magnitude,
            out: self.place(Place::Angles, 8 * count * rope.half)?,
        })
    }
}
