//! What a model's parts beside its language model take of a GPU's memory.

/// A GPU's memory is given out in pages; what is smaller shares one.
pub(super) const PAGE: u64 = 2 << 20;

/// Bytes of a GPU's memory that a part takes, none of them too few: an image encoder, the speaking half of a codec.
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
