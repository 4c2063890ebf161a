//! What is measured: tests in llama-bench's terms.

use std::fmt;

/// A prompt of `n_prompt` tokens, then `n_gen` tokens one by one, both behind `n_depth` tokens that are in the cache
/// already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Test {
    pub n_prompt: usize,
    pub n_gen: usize,
    pub n_depth: usize,
}

impl Test {
    /// Tokens whose time is taken.
    pub fn tokens(&self) -> usize {
        self.n_prompt.saturating_add(self.n_gen)
    }

    /// Tokens that the context must hold.
    pub fn needed(&self) -> usize {
        self.tokens().saturating_add(self.n_depth)
    }
}

impl fmt::Display for Test {
    /// `pp512`, `tg128@d4096`, `pp512+tg128`.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match (self.n_prompt, self.n_gen) {
            (p, 0) => write!(f, "pp{p}")?,
            (0, n) => write!(f, "tg{n}")?,
            (p, n) => write!(f, "pp{p}+tg{n}")?,
        }
        match self.n_depth {
            0 => Ok(()),
            d => write!(f, "@d{d}"),
        }
    }
}

/// All tests of the lists as typed, depth by depth so that what stands in the cache is computed once: prompts,
/// generations, then the combined ones. A 0 leaves a test out; what comes twice is measured once.
pub fn tests(
    prompts: &[usize],
    generations: &[usize],
    combined: &[(usize, usize)],
    depths: &[usize],
) -> Vec<Test> {
    let shapes = prompts
        .iter()
        .map(|&p| (p, 0))
        .chain(generations.iter().map(|&n| (0, n)))
        .chain(combined.iter().copied())
        .filter(|shape| *shape != (0, 0));
    let mut depths = depths.to_vec();
    depths.sort_unstable();
    let mut all: Vec<Test> = Vec::new();
    for n_depth in depths {
        for (n_prompt, n_gen) in shapes.clone() {
            let test = Test {
                n_prompt,
                n_gen,
                n_depth,
            };
            if !all.contains(&test) {
                all.push(test);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[Test]) -> Vec<String> {
        all.iter().map(Test::to_string).collect()
    }

    #[test]
    fn names_are_llama_benchs() {
        let all = tests(&[512], &[128], &[(64, 8)], &[4096, 0]);
        assert_eq!(
            names(&all),
            [
                "pp512",
                "tg128",
                "pp64+tg8",
                "pp512@d4096",
                "tg128@d4096",
                "pp64+tg8@d4096"
            ]
        );
        assert_eq!(all[5].needed(), 4096 + 72);
    }

    #[test]
    fn zero_leaves_a_test_out_and_doubles_count_once() {
        assert_eq!(names(&tests(&[0], &[4, 4], &[], &[0, 0])), ["tg4"]);
        assert_eq!(names(&tests(&[8, 0], &[0], &[(0, 0)], &[0])), ["pp8"]);
        assert!(tests(&[0], &[0], &[], &[0]).is_empty());
    }
}
