//! What prompts that begin alike may share.

/// How much of one prompt's keys and values serves another that begins alike, so that no number of the other's answer
/// becomes another than if all of it were computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reuse {
    /// A prompt is computed in passes that end at multiples of this, and at its end.
    pub chunk: usize,
    /// A pass of so many tokens or more gives each the numbers that any other such pass gives it; None: only the same
    /// pass does.
    pub settled: Option<usize>,
}

impl Reuse {
    /// Nothing is shared, and sequences are computed one by one: a model on a device without crane's kernels.
    pub const NONE: Self = Self {
        chunk: usize::MAX,
        settled: None,
    };

    /// How many tokens at the beginning of a prompt that was computed serve others.
    pub fn kept(&self, prompt: usize) -> usize {
        let rest = prompt % self.chunk;
        match self.settled {
            Some(least) if rest >= least => prompt,
            _ => prompt - rest,
        }
    }

    /// From where on a prompt of `prompt` tokens is to be computed, the first `shared` of which are there, computed as
    /// [`Reuse::kept`] asks. Its last token is always computed.
    pub fn start(&self, shared: usize, prompt: usize) -> usize {
        let shared = shared.min(prompt.saturating_sub(1));
        let begin = shared - shared % self.chunk;
        let end = begin.saturating_add(self.chunk).min(prompt);
        match self.settled {
            Some(least) if end - begin >= least => shared.min(end - least),
            _ => begin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLED: Reuse = Reuse {
        chunk: 512,
        settled: Some(32),
    };

    #[test]
    fn passes_stay_large_enough() {
        assert_eq!(SETTLED.kept(31), 0);
        assert_eq!(SETTLED.kept(32), 32);
        assert_eq!(SETTLED.kept(512 + 31), 512);
        assert_eq!(SETTLED.kept(512 + 40), 552);
        assert_eq!(SETTLED.start(100, 200), 100);
        assert_eq!(SETTLED.start(199, 200), 168);
        assert_eq!(SETTLED.start(500, 700), 480);
        assert_eq!(SETTLED.start(512, 530), 512);
        assert_eq!(SETTLED.start(520, 530), 512);
        assert_eq!(SETTLED.start(20, 31), 0);
        assert_eq!(SETTLED.start(9, 9), 0);
        assert_eq!(SETTLED.start(0, 0), 0);
    }

    #[test]
    fn whole_passes_alone_serve_where_nothing_settles() {
        let whole = Reuse {
            settled: None,
            ..SETTLED
        };
        assert_eq!((whole.kept(700), whole.kept(511)), (512, 0));
        assert_eq!((whole.start(700, 900), whole.start(511, 900)), (512, 0));
        assert_eq!((whole.start(512, 512), whole.start(1024, 1025)), (0, 1024));
        assert_eq!(
            (Reuse::NONE.kept(9000), Reuse::NONE.start(9000, 9001)),
            (0, 0)
        );
    }
}
