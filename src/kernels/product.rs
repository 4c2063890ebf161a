//! Products of a layer: several matrices with the same activations at once, and what follows them.
//!
//! One call is one piece of work for the pool. With one token a task is a run of rows of a matrix, read once at the
//! speed of memory; with many it is a panel of 32 rows, which meets all tokens while it is in the core's own cache.

use std::cell::RefCell;

use super::float::{FloatInputs, FloatScratch};
use super::pool::{self, Parts};
use super::quant::Activations;
use super::simd::{silu, Kernel, Lanes, Simd, LANES};
use super::{Matrix, PackedMatrix, PANEL};

/// Bytes of weights that make a task worth its hand-over.
const TASK_BYTES: usize = 64 << 10;
/// Tasks that a thread has of a matrix, at least.
const TASKS_A_THREAD: usize = 4;

/// One product `x · Wᵀ + b`.
pub struct Product<'a> {
    pub matrix: &'a Matrix,
    /// `[rows]`.
    pub bias: Option<&'a [f32]>,
    /// `[tokens, rows]`.
    pub out: &'a mut [f32],
    /// Added to what `out` holds, instead of replacing it.
    pub add: bool,
}

/// The activations of a call in the forms that its matrices want; memory is kept from call to call.
#[derive(Default)]
pub struct Inputs {
    blocks: Activations,
    floats: FloatInputs,
}

/// Results of a task before they are put in place.
#[derive(Default)]
struct Scratch {
    panels: [Vec<f32>; 2],
    float: FloatScratch,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Inputs {
    /// Brings `x`, `[tokens, width]`, into the forms that `matrices` take.
    fn prepare<'m>(
        &mut self,
        simd: Simd,
        x: &[f32],
        width: usize,
        matrices: impl Iterator<Item = &'m Matrix>,
    ) {
        let tokens = x.len() / width;
        let (mut blocks, mut forms) = (false, Vec::new());
        for matrix in matrices {
            assert_eq!(matrix.width(), width, "matrices that share activations");
            match matrix {
                Matrix::Packed(_) => blocks = true,
                Matrix::Float(data) if tokens > 1 => {
                    let form = data.view().form(tokens);
                    if !forms.contains(&form) {
                        forms.push(form);
                    }
                }
                Matrix::Float(_) => {}
            }
        }
        if blocks {
            self.blocks.quantize(simd, x, width);
        }
        for form in forms {
            self.floats.pack(simd, form, x, width);
        }
    }

    /// Rows `first ..` of `matrix` with the one token.
    fn dot(&self, matrix: &Matrix, x: &[f32], first: usize, out: &mut [f32]) {
        match matrix {
            Matrix::Packed(matrix) => matrix.dot(&self.blocks, first, out),
            Matrix::Float(data) => data.view().dot(x, first, out),
        }
    }

    /// Rows `first .. first + n` of `matrix` with all tokens, into `panels`, for each 32 of them `[tokens, 32]`, which
    /// grows as needed.
    fn panels(
        &self,
        matrix: &Matrix,
        tokens: usize,
        (first, n): (usize, usize),
        panels: &mut Vec<f32>,
        scratch: &mut FloatScratch,
    ) {
        let len = match matrix {
            Matrix::Packed(_) => PackedMatrix::panel_len(&self.blocks),
            Matrix::Float(_) => tokens * n.next_multiple_of(PANEL),
        };
        if panels.len() < len {
            panels.resize(len, 0.0);
        }
        match matrix {
            Matrix::Packed(matrix) => matrix.panel(&self.blocks, first, panels),
            Matrix::Float(data) => data.view().panels(&self.floats, first, n, panels, scratch),
        }
    }
}

/// Rows of a task with many tokens.
fn rows_of_panels(matrix: &Matrix, tokens: usize) -> usize {
    match matrix {
        Matrix::Packed(_) => PANEL,
        Matrix::Float(data) => data.view().rows_a_task(tokens),
    }
}

/// Computes all `products` of the same `x`, `[tokens, width]`.
///
/// # Panics
/// Shapes that do not fit each other.
pub fn multiply<const N: usize>(
    simd: Simd,
    x: &[f32],
    products: [Product; N],
    inputs: &mut Inputs,
) {
    let Some(width) = products.first().map(|p| p.matrix.width()) else {
        return;
    };
    assert!(x.len().is_multiple_of(width), "activations in whole rows");
    let tokens = x.len() / width;
    inputs.prepare(simd, x, width, products.iter().map(|p| p.matrix));
    let inputs = &*inputs;
    let jobs = products.map(|product| Job::new(product, tokens));
    let tasks = jobs.iter().map(|job| job.tasks).sum();
    pool::run(tasks, |mut task| {
        for job in &jobs {
            if task < job.tasks {
                return job.run(inputs, x, tokens, task);
            }
            task -= job.tasks;
        }
    });
}

/// Rows `first .. first + out.len()` of `x · Wᵀ + b` for one token `x`, `[width]`; `first` is a multiple of 16.
///
/// # Panics
/// Shapes that do not fit each other.
pub fn multiply_rows(
    simd: Simd,
    x: &[f32],
    weights: Weights,
    first: usize,
    out: &mut [f32],
    inputs: &mut Inputs,
) {
    let matrix = weights.matrix;
    assert!(x.len() == matrix.width() && first + out.len() <= matrix.rows());
    inputs.prepare(simd, x, x.len(), std::iter::once(matrix));
    let inputs = &*inputs;
    let (rows, step) = (out.len(), rows_a_task(matrix));
    let parts = Parts::new(out);
    pool::run(rows.div_ceil(step), |task| {
        let start = task * step;
        let n = step.min(rows - start);
        let at = first + start;
        // SAFETY: each task has its own rows.
        let out = unsafe { parts.part(start, n) };
        inputs.dot(matrix, x, at, out);
        add_to(out, weights.bias.map(|bias| &bias[at..at + n]));
    });
}

/// A product while it is computed.
struct Job<'a> {
    matrix: &'a Matrix,
    bias: Option<&'a [f32]>,
    add: bool,
    out: Parts<f32>,
    step: usize,
    tasks: usize,
}

impl<'a> Job<'a> {
    fn new(product: Product<'a>, tokens: usize) -> Self {
        let rows = product.matrix.rows();
        assert_eq!(product.out.len(), tokens * rows, "a result of that shape");
        assert!(
            product.bias.is_none_or(|bias| bias.len() == rows),
            "a bias a row"
        );
        let step = match tokens {
            0 | 1 => rows_a_task(product.matrix),
            _ => rows_of_panels(product.matrix, tokens),
        };
        Self {
            matrix: product.matrix,
            bias: product.bias,
            add: product.add,
            out: Parts::new(product.out),
            step,
            tasks: rows.div_ceil(step) * tokens.min(1),
        }
    }

    fn run(&self, inputs: &Inputs, x: &[f32], tokens: usize, task: usize) {
        let rows = self.matrix.rows();
        let first = task * self.step;
        let n = self.step.min(rows - first);
        let bias = self.bias.map(|bias| &bias[first..first + n]);
        SCRATCH.with_borrow_mut(|scratch| {
            let [panel, _] = &mut scratch.panels;
            if tokens == 1 {
                // SAFETY: each task has its own rows, which are columns of the one result.
                let out = unsafe { self.out.part(first, n) };
                if !self.add {
                    inputs.dot(self.matrix, x, first, out);
                    return add_to(out, bias);
                }
                panel.resize(panel.len().max(n), 0.0);
                inputs.dot(self.matrix, x, first, &mut panel[..n]);
                add_to(out, Some(&panel[..n]));
                return add_to(out, bias);
            }
            inputs.panels(self.matrix, tokens, (first, n), panel, &mut scratch.float);
            for (at, panel) in (0..n).step_by(PANEL).zip(panel.chunks(tokens * PANEL)) {
                let n = PANEL.min(n - at);
                let bias = bias.map(|bias| &bias[at..at + n]);
                for (token, sums) in panel.chunks_exact(PANEL).enumerate() {
                    // SAFETY: as above, in each row of the result.
                    let out = unsafe { self.out.part(token * rows + first + at, n) };
                    match self.add {
                        false => out.copy_from_slice(&sums[..n]),
                        true => add_to(out, Some(&sums[..n])),
                    }
                    add_to(out, bias);
                }
            }
        });
    }
}

/// Rows of a one-token task: some [`TASK_BYTES`], and fewer where that makes too few tasks to share out evenly.
fn rows_a_task(matrix: &Matrix) -> usize {
    let rows = matrix.rows().max(1);
    let bytes_of_row = (matrix.size() / rows).max(1);
    let even = rows.div_ceil(TASKS_A_THREAD * pool::threads());
    (TASK_BYTES / bytes_of_row)
        .min(even)
        .max(1)
        .next_multiple_of(LANES)
}

fn add_to(out: &mut [f32], terms: Option<&[f32]>) {
    for (out, term) in out.iter_mut().zip(terms.unwrap_or_default()) {
        *out += term;
    }
}

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
    let step = match tokens {
        1 => rows_a_task(gate.matrix),
        // Both have to come in the same steps.
        _ => rows_of_panels(gate.matrix, tokens).min(rows_of_panels(up.matrix, tokens)),
    };
    pool::run(rows.div_ceil(step), |task| {
        let first = task * step;
        let n = step.min(rows - first);
        SCRATCH.with_borrow_mut(|scratch| {
            let [gates, ups] = &mut scratch.panels;
            for (weights, panels) in [(gate, &mut *gates), (up, &mut *ups)] {
                if tokens == 1 {
                    panels.resize(panels.len().max(n), 0.0);
                    inputs.dot(weights.matrix, x, first, &mut panels[..n]);
                } else {
                    let rows = (first, n);
                    inputs.panels(weights.matrix, tokens, rows, panels, &mut scratch.float);
                }
            }
            let bias = |weights: Weights<'_>, at: usize, n: usize, sums: &mut [f32]| {
                add_to(
                    sums,
                    weights.bias.map(|bias| &bias[first + at..first + at + n]),
                );
            };
            let width = if tokens == 1 { n } else { PANEL };
            for at in (0..n).step_by(width) {
                let n = width.min(n - at);
                for token in 0..tokens {
                    let place = at * tokens + token * width;
                    let (gates, ups) = (&mut gates[place..place + n], &mut ups[place..place + n]);
                    bias(gate, at, n, gates);
                    bias(up, at, n, ups);
                    // SAFETY: each task has its own columns of the result.
                    let out = unsafe { out.part(token * rows + first + at, n) };
                    simd.run(Gated {
                        gate: gates,
                        up: ups,
                        out,
                    });
                }
            }
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

#[cfg(test)]
mod tests;
