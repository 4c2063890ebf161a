//! What a model's parts beside its language model take of a GPU's memory.

/// A GPU's memory is given out in pages; what is smaller shares one.
pub(super) const PAGE: u64 = 2 << 20;

/// Bytes of a GPU's memory that a part takes, none of them too few: an image encoder, a half of a codec.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Part {
    /// Matrices, norms and biases as they are held there.
    pub weights: u64,
    /// Activations and scratch memory.
    pub work: u64,
}

impl Part {
    /// Of allocations of so many bytes each.
    pub(super) fn of(
        weights: impl IntoIterator<Item = u64>,
        work: impl IntoIterator<Item = u64>,
    ) -> Self {
        Self {
            weights: all(weights),
            work: all(work),
        }
    }
}

impl Part {
    /// Both at the same time.
    pub fn and(self, other: Self) -> Self {
        Self {
            weights: self.weights.saturating_add(other.weights),
            work: self.work.saturating_add(other.work),
        }
    }

    /// The one that takes more of the two, which are there one after the other.
    pub fn or(self, other: Self) -> Self {
        let all = |part: &Self| part.weights.saturating_add(part.work);
        match all(&other) > all(&self) {
            true => other,
            false => self,
        }
    }
}

/// Rows of a tile of a filter's weights, and channels of a step, as the GPU's kernels have them; rows up to which there
/// are no tiles; results of a block, and bytes of the sums of one.
const ROWS: usize = 96;
const DEPTH: usize = 16;
const NARROW: usize = 4;
const COLUMNS: usize = 64;
const SUMS: u64 = 4 * (ROWS * COLUMNS) as u64;
/// Steps of a block at least where sums are split, and blocks that share a sum at most.
const FEWEST_STEPS: usize = 8;
const MOST_SPLITS: usize = 12;
/// No fewer than GPUs have.
const MULTIPROCESSORS: usize = 192;

/// A convolution on a GPU.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filter {
    pub rows: usize,
    pub channels: usize,
    pub taps: usize,
    /// Results of a row at a time, and those that its work is shared out for.
    pub results: usize,
    pub expected: usize,
}

impl Filter {
    /// Bytes of its weights and its biases.
    pub fn held(&self) -> [u64; 2] {
        let (rows, channels) = match self.rows <= NARROW {
            true => (self.rows, self.channels),
            false => (
                self.rows.next_multiple_of(ROWS),
                self.channels.next_multiple_of(DEPTH),
            ),
        };
        [
            4 * product(&[rows, channels, self.taps]),
            4 * self.rows as u64,
        ]
    }

    /// Bytes of the sums that blocks share.
    pub fn sums(&self) -> u64 {
        let tall = self.rows.div_ceil(ROWS);
        let blocks = tall * self.expected.div_ceil(COLUMNS).max(1);
        let steps = self.channels.div_ceil(DEPTH) * self.taps;
        let each = (2 * MULTIPROCESSORS + blocks / 2) / blocks.max(1);
        match each.min(steps / FEWEST_STEPS).min(MOST_SPLITS) {
            0 | 1 => 0,
            splits => product(&[tall, self.results.div_ceil(COLUMNS), splits]) * SUMS,
        }
    }
}

/// What a signal of `channels` channels of `len` samples takes: rows begin at a multiple of 32 numbers.
pub(super) fn signal(channels: usize, len: usize) -> u64 {
    4 * product(&[channels, len.next_multiple_of(32)])
}

/// What allocations of so many bytes take together.
pub(super) fn all(allocations: impl IntoIterator<Item = u64>) -> u64 {
    let pages = allocations.into_iter().map(taken);
    pages.fold(0, u64::saturating_add)
}

/// What an allocation of `bytes` takes.
pub(super) fn taken(bytes: u64) -> u64 {
    match bytes < PAGE / 2 {
        true => bytes.next_multiple_of(512),
        false => bytes.checked_next_multiple_of(PAGE).unwrap_or(u64::MAX),
    }
}

pub(super) fn product(factors: &[usize]) -> u64 {
    let factors = factors.iter();
    factors.fold(1u64, |all, &n| all.saturating_mul(n as u64))
}
