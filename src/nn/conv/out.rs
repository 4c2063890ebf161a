//! What becomes of the results of a convolution.

use super::{Failed, Signal, Vector};
use crate::kernels::conv::{self as host, Activation};
use crate::kernels::Unit;

/// A function of each result.
#[derive(Clone, Copy)]
pub enum Function<'a> {
    Identity,
    /// `x + sin²(α·x) / (α + 1e-9)`, an `α` for each row (Ziyin et al., 2020, arXiv:2006.08195).
    Snake(&'a Vector),
    /// The exact one.
    Gelu,
    Tanh,
    Relu,
    /// `scale · max(x, 0) + shift`, two numbers for each row: a batch norm after a ReLU.
    ReluAffine {
        scale: &'a Vector,
        shift: &'a Vector,
    },
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

    /// On the CPU, where functions of results are kept as `unit`.
    pub(super) fn on_host(self, unit: Unit) -> Result<host::Out<'a>, Failed> {
        let active = match self.active {
            Some(active) => Some((
                active.to.host_mut(),
                if active.exact { Unit::F32 } else { unit },
                active.function.on_host()?,
            )),
            None => None,
        };
        Ok(host::Out {
            bias: self.bias.map(Vector::host).transpose()?,
            plain: self.plain.map(Signal::host_mut),
            add: self.add,
            active,
        })
    }
}

impl<'a> Function<'a> {
    fn on_host(self) -> Result<Activation<'a>, Failed> {
        Ok(match self {
            Self::Identity => Activation::Identity,
            Self::Snake(alpha) => Activation::Snake(alpha.host()?),
            Self::Gelu => Activation::Gelu,
            Self::Tanh => Activation::Tanh,
            Self::Relu => Activation::Relu,
            Self::ReluAffine { scale, shift } => Activation::ReluAffine {
                scale: scale.host()?,
                shift: shift.host()?,
            },
        })
    }
}
