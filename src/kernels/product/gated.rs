//! Two products of the same activations, and the gate between them.

use super::{add_to, rows_a_task, Inputs, SCRATCH};
#[cfg(target_arch = "x86_64")]
use crate::kernels::float::TileInputs;
use crate::kernels::pool::{self, Parts};
use crate::kernels::simd::{silu, Kernel, Lanes, Simd, LANES};
use crate::kernels::{Matrix, PANEL};

/// A linear layer without its input: matrix and bias.
#[derive(Clone, Copy)]
pub struct Weights<'a> {
    pub matrix: &'a Matrix,
    /// `[rows]`.
    pub bias: Option<&'a [f32]>,
}

/// `silu(x · Gᵀ + g) ⊙ (x · Uᵀ + u)` of the same `x`, `[tokens, width]`, into `out`, `[tokens, rows]`.
///
/// # Panics
/// Shapes that do not fit each other.
pub fn swiglu(
    simd: Simd,
    x: &[f32],
    gate: Weights,
    up: Weights,
    out: &mut [f32],
    inputs: &mut Inputs,
) {
    let (rows, width) = (gate.matrix.rows(), gate.matrix.width());
    assert!(
        x.len().is_multiple_of(width)
            && up.matrix.rows() == rows
            && out.len() == x.len() / width * rows,
        "gate and up of one shape"
    );
    let tokens = x.len() / width;
    if tokens == 0 {
        return;
    }
    inputs.prepare(simd, x, width, [gate.matrix, up.matrix].into_iter());
    let inputs = &*inputs;
    let out = Parts::new(out);
    #[cfg(target_arch = "x86_64")]
    if let Some(x) = inputs.tiles([gate.matrix, up.matrix], tokens) {
        return swiglu_on_tiles(simd, tokens, x, [gate, up], &out);
    }
    let step = match tokens {
        1 => rows_a_task(gate.matrix),
        _ => PANEL,
    };
    pool::run(rows.div_ceil(step), |task| {
        let first = task * step;
        let n = step.min(rows - first);
        SCRATCH.with_borrow_mut(|scratch| {
            let [gates, ups] = &mut scratch.panels;
            for (weights, panel) in [(gate, &mut *gates), (up, &mut *ups)] {
                if tokens == 1 {
                    panel.resize(panel.len().max(n), 0.0);
                    inputs.dot(weights.matrix, x, first, &mut panel[..n]);
                } else {
                    inputs.panel(weights.matrix, x, (first, n), panel, &mut scratch.float);
                }
                let bias = weights.bias.map(|bias| &bias[first..first + n]);
                if bias.is_some() {
                    for row in panel
                        .chunks_mut(if tokens == 1 { n } else { PANEL })
                        .take(tokens)
                    {
                        add_to(&mut row[..n], bias);
                    }
                }
            }
            for token in 0..tokens {
                // SAFETY: each task has its own columns of the result.
                let out = unsafe { out.part(token * rows + first, n) };
                let at = token * PANEL;
                simd.run(Gated {
                    gate: &gates[at..at + n],
                    up: &ups[at..at + n],
                    out,
                });
            }
        });
    });
}

/// [`swiglu`] where both matrices take the same tiles.
#[cfg(target_arch = "x86_64")]
fn swiglu_on_tiles(
    simd: Simd,
    tokens: usize,
    x: &TileInputs,
    weights: [Weights; 2],
    out: &Parts<f32>,
) {
    let [Matrix::Float(gate), Matrix::Float(up)] = weights.map(|weights| weights.matrix) else {
        return;
    };
    let (gate, up) = (gate.view(), up.view());
    let rows = gate.rows();
    // Half as many of each as of a matrix alone.
    let step = (gate.rows_a_task(gate.form(tokens)) / 2).next_multiple_of(PANEL);
    pool::run(rows.div_ceil(step), |task| {
        let first = task * step;
        let n = step.min(rows - first);
        let panels = n.div_ceil(PANEL);
        let both = gate.panels(first, n).chain(up.panels(first, n));
        let bias = weights.map(|weights| weights.bias.map(|bias| &bias[first..first + n]));
        SCRATCH.with_borrow_mut(|scratch| {
            x.multiply(both, &mut scratch.float, |made| {
                for token in 0..made.tokens {
                    for (i, at) in (0..n).step_by(PANEL).enumerate() {
                        let len = PANEL.min(n - at);
                        let mut sums = [[0f32; PANEL]; 2];
                        for (half, sums) in sums.iter_mut().enumerate() {
                            sums.copy_from_slice(made.row(half * panels + i, token));
                            let bias = bias[half].map(|bias| &bias[at..at + len]);
                            add_to(&mut sums[..len], bias);
                        }
                        let place = (made.first + token) * rows + first + at;
                        simd.run(Gated {
                            gate: &sums[0][..len],
                            up: &sums[1][..len],
                            // SAFETY: each task has its own columns of the result.
                            out: unsafe { out.part(place, len) },
                        });
                    }
                }
            });
        });
    });
}

/// `silu(gate) ⊙ up`.
struct Gated<'a> {
    gate: &'a [f32],
    up: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Gated<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn eval<L: Lanes>(self) {
        let whole = self.out.len() / LANES * LANES;
        for i in (0..whole).step_by(LANES) {
            let gate = silu::<L>(L::load(self.gate.as_ptr().add(i)));
            let up = L::load(self.up.as_ptr().add(i));
            L::store(self.out.as_mut_ptr().add(i), L::mul(gate, up));
        }
        for i in whole..self.out.len() {
            let gate = self.gate[i];
            self.out[i] = gate / (1.0 + (-gate).exp()) * self.up[i];
        }
    }
}
