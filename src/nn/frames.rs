//! Layers over the frames of a recording, each of which sees all others: transformers of speech.
//!
//! On the CPU frames are rows, and matrices are read where they lie in the file. On an NVIDIA GPU they are what
//! convolutions leave, channels, and a matrix is a convolution of one tap.

mod layers;

use super::conv::{Failed, Signal, Space};
use super::rows::sized;
use super::Workspace;
use crate::kernels::conv as host;
use crate::kernels::{Simd, Unit};
use crate::weights::Loader;

pub use layers::{Attention, Dense, LayerNorm, Positions};

/// Numbers `[frames, width]` where the layers compute that write them. Memory is kept from use to use.
pub enum Frames {
    Rows { x: Vec<f32>, width: usize },
    Channels(Signal),
}

/// Why a layer of frames fails.
#[derive(Debug, thiserror::Error)]
pub enum FramesError {
    #[error(transparent)]
    Compute(#[from] candle_core::Error),
    /// Where numbers lie in another memory.
    #[error(transparent)]
    Gpu(#[from] Failed),
}

/// Where layers compute, and memory that they share.
pub struct FramesSpace {
    conv: Space,
    work: Workspace,
}

impl Default for Frames {
    /// None, anywhere.
    fn default() -> Self {
        Self::Rows {
            x: Vec::new(),
            width: 0,
        }
    }
}

impl FramesSpace {
    /// Where the tensors of `loader` go.
    pub fn new(loader: &Loader) -> Self {
        Self {
            conv: Space::new(loader, Unit::F32),
            work: Workspace::new(Simd::detect()),
        }
    }

    /// For the convolutions beside these layers.
    pub fn conv(&mut self) -> &mut Space {
        &mut self.conv
    }
}

impl Frames {
    /// Becomes `count` zeros of `width` numbers each, where `space` computes.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn clear(&mut self, count: usize, width: usize, space: &FramesSpace) -> Result<(), Failed> {
        let zeros = vec![0f32; count * width];
        if !space.conv.on_gpu() {
            *self = Self::Rows { x: zeros, width };
            return Ok(());
        }
        self.channels_mut().put_rows(&zeros, width, &space.conv)
    }

    /// The frames from `start` on become the samples of `x`.
    ///
    /// # Errors
    /// Those of a GPU.
    ///
    /// # Panics
    /// They do not fit.
    pub fn put(&mut self, start: usize, x: &Signal) -> Result<(), FramesError> {
        match self {
            Self::Rows { x: rows, width } => {
                let new = x.host()?.to_rows();
                rows[start * *width..][..new.len()].copy_from_slice(&new);
            }
            Self::Channels(all) => all.put(0, start, x)?,
        }
        Ok(())
    }

    /// Adds `other`, of the same shape.
    ///
    /// # Errors
    /// Those of a GPU, frames of another place.
    pub fn add(&mut self, other: &Self) -> Result<(), FramesError> {
        match (self, other) {
            (Self::Rows { x, .. }, Self::Rows { x: other, .. }) => {
                x.iter_mut().zip(other).for_each(|(x, y)| *x += y);
            }
            (Self::Channels(x), Self::Channels(other)) => x.add(0, other)?,
            _ => return Err(elsewhere()),
        }
        Ok(())
    }

    /// In this machine's memory, `[width, frames]`.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn into_host(self) -> Result<host::Signal, Failed> {
        match self {
            Self::Rows { x, width } => Ok(host::Signal::from_rows(&x, width)),
            Self::Channels(x) => x.into_host(),
        }
    }

    fn rows(&self) -> Result<(&[f32], usize), FramesError> {
        match self {
            Self::Rows { x, width } => Ok((x, *width)),
            Self::Channels(_) => Err(elsewhere()),
        }
    }

    fn channels(&self) -> Result<&Signal, FramesError> {
        match self {
            Self::Channels(x) => Ok(x),
            Self::Rows { .. } => Err(elsewhere()),
        }
    }

    /// `count` rows of `width` numbers, to be written.
    fn rows_mut(&mut self, count: usize, width: usize) -> &mut [f32] {
        if let Self::Channels(_) = self {
            *self = Self::default();
        }
        match self {
            Self::Rows { x, width: held } => {
                *held = width;
                sized(x, count * width)
            }
            Self::Channels(_) => unreachable!("they were replaced"),
        }
    }

    /// To be written.
    fn channels_mut(&mut self) -> &mut Signal {
        if let Self::Rows { .. } = self {
            *self = Self::Channels(Signal::default());
        }
        match self {
            Self::Channels(x) => x,
            Self::Rows { .. } => unreachable!("they were replaced"),
        }
    }
}

fn elsewhere() -> FramesError {
    let text = "a layer of one memory meets frames in another".to_string();
    FramesError::Compute(candle_core::Error::Msg(text))
}
