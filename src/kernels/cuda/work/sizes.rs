//! How large the workspace of an image encoder becomes, known before there is one.

use super::encoder::CHUNK;
use super::segments::Heads;
use crate::kernels::cuda::blas::SCRATCH;
use crate::kernels::planes::Kind;

/// What the workspace of an encoder depends on, in numbers.
#[derive(Debug, Clone, Copy)]
pub struct EncoderSizes {
    pub hidden: usize,
    /// Between the two layers of the feed-forward block.
    pub intermediate: usize,
    pub heads: Heads,
    /// Of a patch.
    pub row: usize,
    /// Patches that make a row of the decoder, and the row's numbers.
    pub group: usize,
    pub out: usize,
    /// Whether the connector takes all patches at once.
    pub at_once: bool,
}

impl EncoderSizes {
    /// Bytes of each place while an image of so many `patches` is encoded with matrices of `operand`, at least.
    pub fn places(&self, operand: Kind, patches: usize) -> Vec<u64> {
        let bytes = operand.float_bytes().unwrap_or(4);
        let chunk = patches.min(CHUNK);
        let rows = patches.div_ceil(self.group.max(1));
        let &Self { hidden, out, .. } = self;
        let connected = match self.at_once {
            true => bytes * patches * hidden.max(out / self.group.max(1)),
            false => bytes * chunk * hidden,
        };
        let feed_forward = bytes * chunk * self.intermediate;
        let embedded = 4 * chunk * self.row.next_multiple_of(8);
        let places = [
            // The patches as they came, their order, and the residual stream.
            4 * patches * self.row,
            4 * patches,
            4 * patches * hidden,
            // Before and behind the product that makes queries, keys and values; their heads, and what attention finds.
            connected.max(bytes * chunk * hidden),
            4 * chunk * 3 * hidden,
            self.heads.bytes(patches),
            bytes * patches * hidden,
            (2 * feed_forward).max(2 * connected),
            feed_forward.max(embedded).max(connected),
            4 * rows * out,
            // Angles and what they are of; which queries see which keys: a segment is a cell at least.
            4 * patches * self.heads.dim(),
            16 * patches,
            16 * rows,
            SCRATCH,
        ];
        places.map(|bytes| bytes as u64).to_vec()
    }
}
