//! What is measured: tests in llama-bench's terms.

use std::fmt;

/// A prompt of `n_prompt` tokens, then `n_gen` tokens one by one, both behind `n_depth` tokens that are in the cache
/// already; all of it for each of `n_parallel` sequences, at least one: prompts one after the other, then a token of each
/// sequence in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Test {
    pub n_prompt: usize,
    pub n_gen: usize,
    pub n_depth: usize,
    pub n_parallel: usize,
}

impl Test {
    /// Tokens whose time is taken, of all sequences.
    pub fn tokens(&self) -> usize {
        self.n_prompt
            .saturating_add(self.n_gen)
            .saturating_mul(self.n_parallel)
    }

    /// Tokens that the context of a sequence must hold.
    pub fn needed(&self) -> usize {
        self.n_prompt
            .saturating_add(self.n_gen)
            .saturating_add(self.n_depth)
    }
}

impl fmt::Display for Test {
    /// `pp512`, `tg128@d4096`, `pp512+tg128`, `tg128@d4096@x8`.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match (self.n_prompt, self.n_gen) {
            (p, 0) => write!(f, "pp{p}")?,
            (0, n) => write!(f, "tg{n}")?,
            (p, n) => write!(f, "pp{p}+tg{n}")?,
        }
        match self.n_depth {
            0 => {}
            d => write!(f, "@d{d}")?,
        }
        match self.n_parallel {
            1 => Ok(()),
            x => write!(f, "@x{x}"),
        }
    }
}

/// All tests of the lists as typed, depth by depth so that what stands in the cache is computed once: prompts,
/// generations, then the combined ones, the latter two for each number of sequences. Prompts alone are not: they are read
/// one after the other in any case. A 0 leaves a test out; what comes twice is measured once.
pub fn tests(
    prompts: &[usize],
    generations: &[usize],
    combined: &[(usize, usize)],
    depths: &[usize],
    parallel: &[usize],
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
            let sequences = match n_gen {
                0 => &[1],
                _ => parallel,
            };
            for &n_parallel in sequences {
                let test = Test {
                    n_prompt,
                    n_gen,
                    n_depth,
                    n_parallel,
                };
                if !all.contains(&test) {
                    all.push(test);
                }
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
        let all = tests(&[512], &[128], &[(64, 8)], &[4096, 0], &[1]);
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
        assert_eq!(names(&tests(&[0], &[4, 4], &[], &[0, 0], &[1])), ["tg4"]);
        assert_eq!(names(&tests(&[8, 0], &[0], &[(0, 0)], &[0], &[1])), ["pp8"]);
        assert!(tests(&[0], &[0], &[], &[0], &[1]).is_empty());
    }

    #[test]
    fn sequences_generate_together_and_prompts_come_once() {
        let all = tests(&[512], &[128], &[(64, 8)], &[0, 9], &[1, 8, 8]);
        assert_eq!(
            names(&all[..5]),
            ["pp512", "tg128", "tg128@x8", "pp64+tg8", "pp64+tg8@x8"]
        );
        assert_eq!(names(&all[5..8]), ["pp512@d9", "tg128@d9", "tg128@d9@x8"]);
        // Tokens of all of them, room for each.
        assert_eq!((all[9].tokens(), all[9].needed()), (8 * 72, 9 + 72));
        assert_eq!(
            names(&tests(&[4], &[2], &[], &[0], &[8])),
            ["pp4", "tg2@x8"]
        );
    }
}
