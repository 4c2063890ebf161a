//! Products of a layer: several matrices with the same activations at once, and what follows them.
//!
//! One call is one piece of work for the pool. With one token a task is a run of rows of a matrix, read once at the
//! speed of memory; with many it is a panel of 32 rows, which meets all tokens while it is in the core's own cache.

mod gated;

use std::cell::RefCell;

pub use gated::{swiglu, Weights};

use super::float::{FloatInputs, FloatScratch, Packed};
use super::pool::{self, Parts};
use super::quant::Activations;
use super::simd::{Simd, LANES};
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
    /// Whether each token is computed as if it came alone, to the last bit: they belong to different sequences.
    /// Quantised products are so in any case.
    pub apart: bool,
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
                Matrix::Float(data) if tokens > 1 && !self.apart => {
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

    /// Rows `first .. first + n` of `matrix`, at most 32, with all tokens of `x`, into `panel`, `[tokens, 32]`, which
    /// grows as needed.
    fn panel(
        &self,
        matrix: &Matrix,
        x: &[f32],
        (first, n): (usize, usize),
        panel: &mut Vec<f32>,
        scratch: &mut FloatScratch,
    ) {
        let tokens = x.len() / matrix.width();
        let len = match matrix {
            Matrix::Packed(_) => PackedMatrix::panel_len(&self.blocks),
            Matrix::Float(_) => tokens * PANEL,
        };
        if panel.len() < len {
            panel.resize(len, 0.0);
        }
        match matrix {
            Matrix::Packed(matrix) => matrix.panel(&self.blocks, first, panel),
            Matrix::Float(data) if self.apart => data.view().dots(x, first, n, panel),
            Matrix::Float(data) => {
                let matrix = data.view();
                match self.floats.form(matrix.form(tokens)) {
                    Packed::Vectors(x) => matrix.panel(x, first, n, panel, scratch),
                    #[cfg(target_arch = "x86_64")]
                    Packed::Tiles(x) => x.multiply(matrix.panels(first, n), scratch, |made| {
                        for token in 0..made.tokens {
                            let at = (made.first + token) * PANEL;
                            panel[at..at + PANEL].copy_from_slice(made.row(0, token));
                        }
                    }),
                }
            }
        }
    }

    /// The form on tiles that all of `matrices` take for so many tokens.
    #[cfg(target_arch = "x86_64")]
    fn tiles<const N: usize>(
        &self,
        matrices: [&Matrix; N],
        tokens: usize,
    ) -> Option<&super::float::TileInputs> {
        let mut form = None;
        for matrix in matrices {
            let Matrix::Float(data) = matrix else {
                return None;
            };
            if self.apart {
                return None;
            }
            let own = data.view().form(tokens);
            if *form.get_or_insert(own) != own {
                return None;
            }
        }
        match self.floats.form(form?) {
            Packed::Tiles(x) => Some(x),
            Packed::Vectors(_) => None,
        }
    }
}

/// Rows of a task with many tokens.
fn rows_of_panels(matrix: &Matrix, tokens: usize, apart: bool) -> usize {
    match matrix {
        Matrix::Packed(_) => PANEL,
        Matrix::Float(_) if apart => PANEL,
        Matrix::Float(data) => {
            let matrix = data.view();
            matrix.rows_a_task(matrix.form(tokens))
        }
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
    let jobs = products.map(|product| Job::new(product, tokens, inputs.apart));
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
    fn new(product: Product<'a>, tokens: usize, apart: bool) -> Self {
        let rows = product.matrix.rows();
        assert_eq!(product.out.len(), tokens * rows, "a result of that shape");
        assert!(
            product.bias.is_none_or(|bias| bias.len() == rows),
            "a bias a row"
        );
        let step = match tokens {
            0 | 1 => rows_a_task(product.matrix),
            _ => rows_of_panels(product.matrix, tokens, apart),
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
            let put = |token: usize, at: usize, sums: &[f32]| {
                // SAFETY: as above, in each row of the result.
                let out = unsafe { self.out.part(token * rows + first + at, sums.len()) };
                match self.add {
                    false => out.copy_from_slice(sums),
                    true => add_to(out, Some(sums)),
                }
                add_to(out, bias.map(|bias| &bias[at..at + sums.len()]));
            };
            #[cfg(target_arch = "x86_64")]
            if let (Matrix::Float(data), Some(x)) =
                (self.matrix, inputs.tiles([self.matrix], tokens))
            {
                let panels = data.view().panels(first, n);
                return x.multiply(panels, &mut scratch.float, |made| {
                    for token in 0..made.tokens {
                        for (i, at) in (0..n).step_by(PANEL).enumerate() {
                            let sums = &made.row(i, token)[..PANEL.min(n - at)];
                            put(made.first + token, at, sums);
                        }
                    }
                });
            }
            inputs.panel(self.matrix, x, (first, n), panel, &mut scratch.float);
            for (token, sums) in panel.chunks_exact(PANEL).take(tokens).enumerate() {
                put(token, 0, &sums[..n]);
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

#[cfg(test)]
mod tests;
