//! A convolution wherever it is computed, and what becomes of its results.

use super::{ConvShape, Numbers, Signal, Vector};
use crate::kernels::conv::{self as host, activate, Activation, Filter};
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
    },
    #[cfg(feature = "cuda")]
    Gpu(cuda::conv::Filter),
}

/// Where layers compute, and memory that they share.
pub struct Space {
    /// What the signals between convolutions are kept as on the CPU.
    unit: Unit,
    #[cfg(feature = "cuda")]
    scratch: Option<cuda::conv::Scratch>,
}

/// A function of each result.
#[derive(Clone, Copy)]
pub enum Function<'a> {
    Identity,
    /// `x + sin²(α·x) / (α + 1e-9)`, an `α` for each row (Ziyin et al., 2020, arXiv:2006.08195).
    Snake(&'a Vector),
    /// The exact one.
    Gelu,
    Tanh,
}

/// What becomes of the results of a [`Conv`].
#[derive(Default)]
pub struct Out<'a> {
    /// Where they go.
    pub plain: Option<&'a mut Signal>,
    /// They are added to what `plain` holds, instead of replacing it.
    pub add: bool,
    /// Where a function of them (after adding) goes; after a transposed convolution beside `plain` only.
    pub active: Option<Active<'a>>,
    /// Instead of the layer's own, `[rows]`.
    pub bias: Option<&'a Vector>,
}

/// Where a function of the results goes.
pub struct Active<'a> {
    pub to: &'a mut Signal,
    pub function: Function<'a>,
    /// As f32, whatever the convolutions compute in: no convolution reads it.
    pub exact: bool,
}

impl<'a> Out<'a> {
    /// The results as they are.
    pub fn plain(to: &'a mut Signal) -> Self {
        Self {
            plain: Some(to),
            ..Self::default()
        }
    }

    /// The results, added to what is there.
    pub fn added(to: &'a mut Signal) -> Self {
        Self {
            plain: Some(to),
            add: true,
            ..Self::default()
        }
    }

    /// A function of them, for the next convolution.
    pub fn active(to: &'a mut Signal, function: Function<'a>) -> Self {
        Self::default().and(to, function)
    }

    /// A function of them as f32.
    pub fn exact(to: &'a mut Signal, function: Function<'a>) -> Self {
        Self {
            active: Some(Active {
                to,
                function,
                exact: true,
            }),
            ..Self::default()
        }
    }

    /// Also a function of them, for the next convolution.
    pub fn and(self, to: &'a mut Signal, function: Function<'a>) -> Self {
        Self {
            active: Some(Active {
                to,
                function,
                exact: false,
            }),
            ..self
        }
    }
}

impl Space {
    /// Where the tensors of `loader` go; signals between convolutions are kept as `unit` on the CPU.
    pub fn new(loader: &Loader, unit: Unit) -> Self {
        #[cfg(not(feature = "cuda"))]
        let _ = loader;
        Self {
            unit,
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

    #[cfg(feature = "cuda")]
    pub(super) fn gpu(&self) -> Option<&std::sync::Arc<cuda::Gpu>> {
        self.scratch.as_ref().map(cuda::conv::Scratch::gpu)
    }
}

impl Conv {
    /// Reads `name.weight` `[rows, channels, size]`, times `gain`, and `name.bias` `[rows]`.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape; no memory.
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
    /// As [`Conv::scaled`].
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
    /// As [`Conv::scaled`].
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
    /// As [`Conv::scaled`].
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

    fn of(loader: &Loader, unit: Unit, numbers: Numbers) -> Result<Self, WeightsError> {
        let (bias, transposed) = (numbers.bias.clone(), numbers.transposed);
        #[cfg(feature = "cuda")]
        if let Some(gpu) = loader.gpu() {
            let held = Held::Gpu(numbers.upload(gpu)?);
            return Ok(Self { held, bias });
        }
        let filter = numbers.pack(loader, unit)?;
        let held = Held::Host { filter, transposed };
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
    /// Signals of other shapes or units.
    pub fn apply(&self, x: &Signal, out: Out, space: &mut Space) -> Result<(), Failed> {
        match &self.held {
            Held::Host { filter, transposed } => on_host(filter, *transposed, x, out, space),
            #[cfg(feature = "cuda")]
            Held::Gpu(filter) => {
                let scratch = space.scratch.as_mut().ok_or_else(GpuError::elsewhere)?;
                filter.apply(x.gpu()?, out.on_gpu()?, scratch)
            }
        }
    }
}

fn on_host(
    filter: &Filter,
    transposed: bool,
    x: &Signal,
    out: Out,
    space: &Space,
) -> Result<(), Failed> {
    let bias = out.bias.map(Vector::host).transpose()?;
    let active = match out.active {
        Some(active) => Some((
            active.to.host_mut(),
            space.unit(active.exact),
            active.function.on_host()?,
        )),
        None => None,
    };
    let (x, plain) = (x.host()?, out.plain.map(Signal::host_mut));
    match (active, plain) {
        // Its phases write every so many samples each: the function follows when they are together.
        (Some((active, unit, function)), Some(plain)) if transposed => {
            let out = host::Out {
                bias,
                ..host::Out::plain(plain)
            };
            filter.apply(x, out);
            activate(Simd::detect(), plain, function, unit, active);
        }
        (active, plain) => filter.apply(
            x,
            host::Out {
                plain,
                add: out.add,
                active,
                bias,
            },
        ),
    }
    Ok(())
}

impl<'a> Function<'a> {
    fn on_host(self) -> Result<Activation<'a>, Failed> {
        Ok(match self {
            Self::Identity => Activation::Identity,
            Self::Snake(alpha) => Activation::Snake(alpha.host()?),
            Self::Gelu => Activation::Gelu,
            Self::Tanh => Activation::Tanh,
        })
    }
}
