//! A convolution wherever it is computed.

use super::{ConvShape, Numbers, Out, Signal};
use crate::kernels::conv::{self as host, activate, Filter};
#[cfg(feature = "cuda")]
use crate::kernels::cuda::{self, GpuError};
use crate::kernels::{Simd, Unit};
use crate::weights::{Loader, WeightsError};

/// What can go wrong where numbers lie in another memory: nothing on the CPU.
#[cfg(feature = "cuda")]
pub type Failed = GpuError;
/// What can go wrong where numbers lie in another memory: there is no other.
#[cfg(not(feature = "cuda"))]
pub type Failed = std::convert::Infallible;

/// A convolution over time: of channels with each other, or a transposed one, whose result is longer.
pub struct Conv {
    held: Held,
    /// `[rows]`.
    bias: Vec<f32>,
}

enum Held {
    Host {
        filter: Filter,
        transposed: bool,
        stride: usize,
    },
    #[cfg(feature = "cuda")]
    Gpu(cuda::conv::Filter),
}

/// Where layers compute, and memory that they share.
pub struct Space {
    /// What the signals between convolutions are kept as on the CPU.
    unit: Unit,
    /// A signal as a convolution with a stride reads it on the CPU.
    split: host::Signal,
    #[cfg(feature = "cuda")]
    scratch: Option<cuda::conv::Scratch>,
}

impl Space {
    /// Where the tensors of `loader` go; signals between convolutions are kept as `unit` on the CPU.
    pub fn new(loader: &Loader, unit: Unit) -> Self {
        #[cfg(not(feature = "cuda"))]
        let _ = loader;
        Self {
            unit,
            split: host::Signal::default(),
            #[cfg(feature = "cuda")]
            scratch: loader.gpu().map(cuda::conv::Scratch::new),
        }
    }

    pub(super) fn unit(&self, exact: bool) -> Unit {
        match exact {
            true => Unit::F32,
            false => self.unit,
        }
    }

    /// Whether signals lie on a GPU.
    pub(in crate::nn) fn on_gpu(&self) -> bool {
        #[cfg(feature = "cuda")]
        return self.scratch.is_some();
        #[cfg(not(feature = "cuda"))]
        return false;
    }

    #[cfg(feature = "cuda")]
    pub(super) fn gpu(&self) -> Option<&std::sync::Arc<cuda::Gpu>> {
        self.scratch.as_ref().map(cuda::conv::Scratch::gpu)
    }
}

impl Conv {
    /// Reads `name.weight` `[rows, channels, size]` and `name.bias` `[rows]`.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape; no memory.
    pub fn load(
        loader: &Loader,
        unit: Unit,
        name: &str,
        shape: ConvShape,
    ) -> Result<Self, WeightsError> {
        Self::of(loader, unit, Numbers::plain(loader, name, shape)?)
    }

    /// Of numbers at hand: `weights` `[rows, channels, size]` and `bias` `[rows]`.
    ///
    /// # Errors
    /// No memory.
    ///
    /// # Panics
    /// Numbers that do not fit the shape.
    pub fn given(
        loader: &Loader,
        unit: Unit,
        weights: Vec<f32>,
        bias: Vec<f32>,
        shape: ConvShape,
    ) -> Result<Self, WeightsError> {
        let numbers = Numbers {
            weights,
            scales: None,
            bias,
            shape,
            transposed: false,
        };
        Self::of(loader, unit, numbers)
    }

    /// A linear layer over channels without a bias: `name.weight` `[rows, channels]`.
    ///
    /// # Errors
    /// As [`Conv::load`].
    pub fn bare(
        loader: &Loader,
        unit: Unit,
        name: &str,
        [rows, channels]: [usize; 2],
    ) -> Result<Self, WeightsError> {
        let weights = loader.numbers(&format!("{name}.weight"), &[rows, channels])?;
        let shape = ConvShape::same(rows, channels, 1);
        Self::given(loader, unit, weights, vec![0.0; rows], shape)
    }

    /// As [`Conv::load`], the weight times `gain`.
    ///
    /// # Errors
    /// As [`Conv::load`].
    pub fn scaled(
        loader: &Loader,
        unit: Unit,
        name: &str,
        shape: ConvShape,
        gain: f32,
    ) -> Result<Self, WeightsError> {
        let mut numbers = Numbers::plain(loader, name, shape)?;
        numbers.scales = Some(vec![gain; shape.rows]);
        Self::of(loader, unit, numbers)
    }

    /// Reads `name.weight_g` `[rows, 1, 1]` and `name.weight_v` `[rows, channels, size]`, of which the weight is
    /// `g · v / ‖v‖` (Salimans and Kingma, 2016, arXiv:1602.07868), and `name.bias` `[rows]`.
    ///
    /// # Errors
    /// As [`Conv::load`].
    pub fn weight_norm(
        loader: &Loader,
        unit: Unit,
        name: &str,
        shape: ConvShape,
    ) -> Result<Self, WeightsError> {
        Self::of(
            loader,
            unit,
            Numbers::weight_norm(loader, name, shape, false)?,
        )
    }

    /// The transposed convolution of `name.weight_g` `[channels, 1, 1]`, `name.weight_v` `[channels, rows, size]` and
    /// `name.bias`, whose result is `shape.stride` times as long.
    ///
    /// # Errors
    /// As [`Conv::load`].
    pub fn weight_norm_transposed(
        loader: &Loader,
        unit: Unit,
        name: &str,
        shape: ConvShape,
    ) -> Result<Self, WeightsError> {
        Self::of(
            loader,
            unit,
            Numbers::weight_norm(loader, name, shape, true)?,
        )
    }

    /// A linear layer over channels: `name.weight` `[rows, channels]`, `name.bias` `[rows]`, both times `factors`
    /// `[rows]` where there are any.
    ///
    /// # Errors
    /// As [`Conv::load`].
    pub fn pointwise(
        loader: &Loader,
        unit: Unit,
        name: &str,
        dims: [usize; 2],
        factors: Option<&[f32]>,
    ) -> Result<Self, WeightsError> {
        Self::of(
            loader,
            unit,
            Numbers::pointwise(loader, name, dims, factors)?,
        )
    }

    pub(super) fn of(loader: &Loader, unit: Unit, numbers: Numbers) -> Result<Self, WeightsError> {
        let (bias, transposed) = (numbers.bias.clone(), numbers.transposed);
        let stride = numbers.shape.stride;
        #[cfg(feature = "cuda")]
        if let Some(gpu) = loader.gpu() {
            let held = Held::Gpu(numbers.upload(gpu)?);
            return Ok(Self { held, bias });
        }
        let filter = numbers.pack(loader, unit)?;
        let held = Held::Host {
            filter,
            transposed,
            stride,
        };
        Ok(Self { held, bias })
    }

    /// `[rows]`.
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// Reads `x` and writes `out`, whose signals become `[rows, len]` (but where they are added to).
    ///
    /// # Errors
    /// Those of a GPU.
    ///
    /// # Panics
    /// Signals of other shapes or units; after a stride anything but plain results.
    pub fn apply(&self, x: &Signal, out: Out, space: &mut Space) -> Result<(), Failed> {
        match &self.held {
            Held::Host {
                filter,
                transposed: true,
                ..
            } => transposed_on_host(filter, x.host()?, out.on_host(space.unit)?),
            Held::Host { filter, stride, .. } if *stride > 1 => {
                let out = out.on_host(space.unit)?;
                strided_on_host(filter, *stride, x.host()?, out, &mut space.split);
            }
            Held::Host { filter, .. } => filter.apply(x.host()?, out.on_host(space.unit)?),
            #[cfg(feature = "cuda")]
            Held::Gpu(filter) => {
                let scratch = space.scratch.as_mut().ok_or_else(GpuError::elsewhere)?;
                filter.apply(x.gpu()?, out.on_gpu()?, scratch)?;
            }
        }
        Ok(())
    }

    /// The same for one of several groups: reads the channels of `x` from `first` on, and writes those of `out.plain`,
    /// which has its shape, from `first_out` on.
    ///
    /// # Errors
    /// Those of a GPU.
    ///
    /// # Panics
    /// As [`Conv::apply`]; a stride.
    pub fn apply_within(
        &self,
        (x, first): (&Signal, usize),
        out: Out,
        first_out: usize,
        space: &mut Space,
    ) -> Result<(), Failed> {
        match &self.held {
            Held::Host { filter, stride, .. } => {
                assert_eq!(*stride, 1, "one sample after the other");
                filter.apply_within(x.host()?, first, out.on_host(space.unit)?, first_out);
            }
            #[cfg(feature = "cuda")]
            Held::Gpu(filter) => {
                let scratch = space.scratch.as_mut().ok_or_else(GpuError::elsewhere)?;
                filter.apply_within((x.gpu()?, first), out.on_gpu()?, first_out, scratch)?;
            }
        }
        Ok(())
    }
}

/// Reads the signal as `split`, whose last sample may not be whole.
fn strided_on_host(
    filter: &Filter,
    stride: usize,
    x: &host::Signal,
    out: host::Out,
    split: &mut host::Signal,
) {
    assert!(
        out.active.is_none() && !out.add,
        "plain results of a convolution with a stride"
    );
    let Some(plain) = out.plain else { return };
    x.split(stride, split);
    filter.apply(split, host::Out::plain(plain));
    plain.truncate(filter.strided_len(x.len(), stride));
}

/// Its phases write every so many samples each: a function follows when they are together.
fn transposed_on_host(filter: &Filter, x: &host::Signal, out: host::Out) {
    match out {
        host::Out {
            plain: Some(plain),
            active: Some((active, unit, function)),
            bias,
            ..
        } => {
            let out = host::Out {
                bias,
                ..host::Out::plain(plain)
            };
            filter.apply(x, out);
            activate(Simd::detect(), plain, function, unit, active);
        }
        out => filter.apply(x, out),
    }
}
