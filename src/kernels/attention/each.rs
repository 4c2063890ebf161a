//! One token of each of several sequences, as one piece of work.

use half::f16;

use super::scratch::Partials;
use super::{Attention, Call, Workspace};
use crate::kernels::cache::{CacheType, Element, KvCache};
use crate::kernels::pool;
use crate::kernels::simd::Simd;

/// One token of a sequence of its own, for [`Attention::each`].
#[derive(Clone, Copy)]
pub struct Alone<'a> {
    /// `[heads · head_dim]`.
    pub q: &'a [f32],
    /// Its last token is the one that `q` belongs to.
    pub cache: &'a KvCache,
}

impl Attention {
    /// One token of each of several sequences, whose caches have one shape and type; each result, a row of `out`
    /// `[sequences, heads · head_dim]`, is what [`Attention::forward`] gives for that sequence by itself.
    ///
    /// # Panics
    /// Shapes that do not fit each other, or an empty cache.
    pub fn each(
        &self,
        simd: Simd,
        sequences: &[Alone],
        workspace: &mut Workspace,
        out: &mut [f32],
    ) {
        let width = self.heads * self.head_dim;
        assert!(self.kv_heads > 0 && self.heads.is_multiple_of(self.kv_heads));
        assert!(out.len() == sequences.len() * width);
        let Some(first) = sequences.first() else {
            return;
        };
        for Alone { q, cache } in sequences {
            let shape = cache.shape();
            assert!(shape == first.cache.shape() && cache.kind() == first.cache.kind());
            assert!(shape.kv_heads == self.kv_heads && shape.head_dim == self.head_dim);
            assert!(q.len() == width && !cache.is_empty());
        }
        match first.cache.kind() {
            CacheType::F32 => self.run_each::<f32>(simd, sequences, workspace, out),
            CacheType::F16 => self.run_each::<f16>(simd, sequences, workspace, out),
            CacheType::Q8_0 => self.run_each::<i8>(simd, sequences, workspace, out),
        }
    }

    fn run_each<E: Element>(
        &self,
        simd: Simd,
        sequences: &[Alone],
        workspace: &mut Workspace,
        out: &mut [f32],
    ) {
        let width = self.heads * self.head_dim;
        let more = &mut workspace.more_partials;
        more.resize_with(more.len().max(sequences.len()), Partials::default);
        let calls: Vec<Call<E>> = sequences
            .iter()
            .zip(more)
            .zip(out.chunks_exact_mut(width))
            .map(|((alone, partials), out)| {
                Call::new(self, simd, (alone.q, width), alone.cache, 1, partials, out)
            })
            .collect();
        let scratch = &workspace.stack;
        pool::run(calls.iter().map(Call::tasks).sum(), |mut task| {
            for call in &calls {
                if task < call.tasks() {
                    let mut own = scratch.take();
                    call.task(task, &mut own);
                    return scratch.give(own);
                }
                task -= call.tasks();
            }
        });
    }
}
