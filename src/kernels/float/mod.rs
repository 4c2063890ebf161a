//! Products of f32 activations with a matrix of floats (f32, f16 or bf16) that is read as it lies in the file.

#[cfg(target_arch = "x86_64")]
mod amx;
pub(super) mod arithmetic;
mod dots;
mod inputs;
#[cfg(target_arch = "x86_64")]
pub(super) mod pairs;
mod panel;
mod tiles;

use std::cell::RefCell;

use half::{bf16, f16};

use super::pool::{self, Parts};
use super::simd::{Kernel, Lanes};
use super::Simd;
#[cfg(target_arch = "x86_64")]
pub(crate) use amx::{pairs_of, TileInputs};
use arithmetic::{Arithmetic, Float, Line, Widened};
use dots::Dot;
pub use inputs::FloatInputs;
pub(crate) use inputs::{Form, Packed};
use panel::Panel;
use tiles::FloatTiles;

/// Rows of a panel, and numbers from one token's results to the next in it.
pub(crate) const PANEL: usize = 32;

/// The numbers of a [`FloatMatrix`].
#[derive(Clone, Copy)]
pub enum Floats<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
    BF16(&'a [bf16]),
}

/// What products of many tokens are computed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unit {
    /// Numbers as f32.
    #[default]
    F32,
    /// Pairs of bf16, summed in f32: activations are rounded to bf16.
    Pairs,
}

impl Unit {
    /// Numbers of a unit.
    pub(in crate::kernels) fn numbers(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::Pairs => 2,
        }
    }
}

/// Buffers of products, used again by each call.
#[derive(Default)]
pub(crate) struct FloatScratch {
    lines: Vec<Line>,
    #[cfg(target_arch = "x86_64")]
    tiles: amx::TileScratch,
}

/// A matrix of floats `[rows, width]`, row by row.
#[derive(Clone, Copy)]
pub struct FloatMatrix<'a> {
    simd: Simd,
    floats: Floats<'a>,
    rows: usize,
    width: usize,
}

impl<'a> FloatMatrix<'a> {
    /// None where the sizes do not fit.
    pub fn new(simd: Simd, floats: Floats<'a>, rows: usize, width: usize) -> Option<Self> {
        let len = match floats {
            Floats::F32(x) => x.len(),
            Floats::F16(x) => x.len(),
            Floats::BF16(x) => x.len(),
        };
        let fits = width > 0 && rows.checked_mul(width) == Some(len);
        fits.then_some(Self {
            simd,
            floats,
            rows,
            width,
        })
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn width(&self) -> usize {
        self.width
    }

    /// How the activations of so many tokens are to be packed for this matrix.
    pub(crate) fn form(&self, tokens: usize) -> Form {
        #[cfg(target_arch = "x86_64")]
        if self.simd == Simd::Amx
            && matches!(self.floats, Floats::BF16(_))
            && tokens >= amx::LEAST_TOKENS
        {
            return Form::Tiles;
        }
        let _ = tokens;
        Form::Vectors(match self.floats {
            Floats::BF16(_) if self.simd >= Simd::Avx512Bf16 => Unit::Pairs,
            _ => Unit::F32,
        })
    }

    /// Rows that are best computed together where activations come as `form`, a multiple of [`PANEL`].
    pub(crate) fn rows_a_task(&self, form: Form) -> usize {
        match form {
            Form::Vectors(_) => PANEL,
            #[cfg(target_arch = "x86_64")]
            Form::Tiles => {
                // As many panels as read the activations together, but tasks enough for all threads.
                let panels = self.rows.div_ceil(PANEL) / (2 * pool::threads());
                PANEL * panels.clamp(1, amx::GROUPS)
            }
        }
    }

    /// Rows from `first` on with one token `x` `[width]`, as many as `out` takes; in f32 throughout.
    pub(crate) fn dot(&self, x: &[f32], first: usize, out: &mut [f32]) {
        assert!(x.len() == self.width);
        let (n, stride) = (out.len(), out.len().max(1));
        self.each_dot(x, (first, n), out, stride);
    }

    /// Rows `first..first + n` with each token of `x` `[tokens, width]`, to `panel` `[tokens, PANEL]`: the numbers that
    /// [`FloatMatrix::dot`] gives for it.
    pub(crate) fn dots(&self, x: &[f32], first: usize, n: usize, panel: &mut [f32]) {
        assert!(n <= PANEL && panel.len() >= x.len() / self.width * PANEL);
        self.each_dot(x, (first, n), panel, PANEL);
    }

    fn each_dot(&self, x: &[f32], (first, n): (usize, usize), out: &mut [f32], stride: usize) {
        assert!(x.len().is_multiple_of(self.width) && first + n <= self.rows);
        let range = first * self.width..(first + n) * self.width;
        let (simd, width) = (self.simd, self.width);
        match self.floats {
            Floats::F32(w) => run_widened(
                simd,
                Dot {
                    weights: &w[range],
                    x,
                    width,
                    out,
                    stride,
                },
            ),
            Floats::F16(w) => run_widened(
                simd,
                Dot {
                    weights: &w[range],
                    x,
                    width,
                    out,
                    stride,
                },
            ),
            Floats::BF16(w) => run_widened(
                simd,
                Dot {
                    weights: &w[range],
                    x,
                    width,
                    out,
                    stride,
                },
            ),
        }
    }

    /// The columns `first..first + n` of the product with all tokens of `x`, to `panel` `[tokens, PANEL]`, where the
    /// columns past `n` (at most [`PANEL`]) are undefined.
    pub(crate) fn panel(
        &self,
        x: &FloatTiles,
        first: usize,
        n: usize,
        panel: &mut [f32],
        scratch: &mut FloatScratch,
    ) {
        assert!(x.width() == self.width && n <= PANEL);
        let out = &mut panel[..x.tokens() * PANEL];
        let range = first * self.width..(first + n) * self.width;
        let (simd, scratch) = (self.simd, &mut scratch.lines);
        match self.floats {
            Floats::F32(w) => run_widened(
                simd,
                Panel {
                    simd,
                    weights: &w[range],
                    x,
                    out,
                    scratch,
                },
            ),
            Floats::F16(w) => run_widened(
                simd,
                Panel {
                    simd,
                    weights: &w[range],
                    x,
                    out,
                    scratch,
                },
            ),
            Floats::BF16(w) => run_bf16(
                simd,
                x.unit(),
                Panel {
                    simd,
                    weights: &w[range],
                    x,
                    out,
                    scratch,
                },
            ),
        }
    }

    /// The rows `first..first + n` in panels; none of another type than bf16.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn panels(&self, first: usize, n: usize) -> impl Iterator<Item = &'a [bf16]> {
        let rows = match self.floats {
            Floats::BF16(w) => &w[first * self.width..(first + n) * self.width],
            _ => &[],
        };
        rows.chunks(PANEL * self.width)
    }

    /// `x · Wᵀ` for `x` of `[tokens, width]`: `[tokens, rows]`.
    pub fn multiply(&self, x: &[f32]) -> Vec<f32> {
        let mut out = vec![0f32; x.len() / self.width * self.rows];
        self.multiply_into(x, &mut FloatInputs::default(), &mut out);
        out
    }

    /// The same into `out`, with `inputs` as a buffer that is used again.
    pub fn multiply_into(&self, x: &[f32], inputs: &mut FloatInputs, out: &mut [f32]) {
        thread_local! {
            static BUFFERS: RefCell<(Vec<f32>, FloatScratch)> = RefCell::default();
        }
        let (rows, tokens) = (self.rows, x.len() / self.width);
        assert!(
            x.len() == tokens * self.width && out.len() == tokens * rows,
            "whole rows"
        );
        let parts = Parts::new(out);
        if tokens == 1 {
            let step = rows.div_ceil(pool::threads() * 16).next_multiple_of(4);
            pool::run(rows.div_ceil(step), |task| {
                let first = task * step;
                // SAFETY: `out` outlives `run`, and each task has its own rows.
                self.dot(x, first, unsafe {
                    parts.part(first, step.min(rows - first))
                });
            });
            return;
        }
        let form = self.form(tokens);
        inputs.pack(self.simd, form, x, self.width);
        let step = self.rows_a_task(form);
        pool::run(rows.div_ceil(step), |task| {
            BUFFERS.with_borrow_mut(|(panel, scratch)| {
                let (first, n) = (task * step, step.min(rows - task * step));
                match inputs.form(form) {
                    Packed::Vectors(x) => {
                        if panel.len() < tokens * PANEL {
                            panel.resize(tokens * PANEL, 0.0);
                        }
                        self.panel(x, first, n, panel, scratch);
                        for (token, sums) in panel.chunks(PANEL).take(tokens).enumerate() {
                            // SAFETY: `out` outlives `run`, and each task has its own columns.
                            let out = unsafe { parts.part(token * rows + first, n) };
                            out.copy_from_slice(&sums[..n]);
                        }
                    }
                    #[cfg(target_arch = "x86_64")]
                    Packed::Tiles(x) => x.multiply(self.panels(first, n), scratch, |made| {
                        for token in 0..made.tokens {
                            // SAFETY: as above.
                            let out = unsafe { parts.part((made.first + token) * rows + first, n) };
                            for (i, out) in out.chunks_mut(PANEL).enumerate() {
                                out.copy_from_slice(&made.row(i, token)[..out.len()]);
                            }
                        }
                    }),
                }
            });
        });
    }
}

/// An operation over any [`Arithmetic`] for weights of one type.
pub(super) trait Operation {
    type Weight: Copy + Default;

    /// Computes it; must be `#[inline(always)]`, or it is not compiled for the instruction set.
    ///
    /// # Safety
    /// The CPU has the instruction set of `A`.
    unsafe fn eval<A: Arithmetic<Weight = Self::Weight>>(self);
}

struct InF32<O>(O);

impl<O: Operation<Weight: Float>> Kernel for InF32<O> {
    type Output = ();

    #[inline(always)]
    unsafe fn eval<L: Lanes>(self) {
        self.0.eval::<Widened<L, O::Weight>>();
    }
}

pub(super) fn run_widened<O: Operation<Weight: Float>>(simd: Simd, operation: O) {
    simd.run(InF32(operation));
}

pub(super) fn run_bf16<O: Operation<Weight = bf16>>(simd: Simd, unit: Unit, operation: O) {
    match unit {
        Unit::F32 => run_widened(simd, operation),
        #[cfg(target_arch = "x86_64")]
        Unit::Pairs if simd >= Simd::Avx512Bf16 => {
            // SAFETY: the CPU has what `simd` names.
            unsafe { pairs::run(operation) }
        }
        Unit::Pairs => panic!("{simd:?} has no products of pairs"),
    }
}

#[cfg(test)]
mod tests;
