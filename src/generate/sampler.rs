//! How the next token is chosen.
//!
//! The order is transformers': repetition penalty, presence and frequency penalties (OpenAI's), temperature,
//! top-k, top-p, min-p, then one draw. Everything runs on one thread and in a fixed order, so that a seed gives the
//! same token whatever the number of threads.

use std::collections::HashMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::SamplingSettings;

/// Chooses tokens; keeps what was seen, for the penalties, and the random state.
pub struct Sampler {
    settings: SamplingSettings,
    rng: StdRng,
    /// Prompt and output, in order.
    seen: Vec<u32>,
    prompt_len: usize,
}

/// Candidates looked at first when only top-p or min-p bound them; all are looked at if these do not suffice.
const FIRST_CANDIDATES: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub id: u32,
    pub logit: f32,
}

impl Sampler {
    /// What is done to the logits of a token, in this order.
    pub const ORDER: [&'static str; 9] = [
        "structure",
        "repeat_penalty",
        "presence_penalty",
        "frequency_penalty",
        "temperature",
        "top_k",
        "top_p",
        "min_p",
        "draw (ChaCha12 of rand 0.9)",
    ];

    /// A sampler that has seen `prompt`.
    pub fn new(settings: &SamplingSettings, seed: u64, prompt: &[u32]) -> Self {
        Self {
            settings: settings.clone(),
            rng: StdRng::seed_from_u64(seed),
            seen: prompt.to_vec(),
            prompt_len: prompt.len(),
        }
    }

    /// Chooses a token of `logits` (`[vocab]`, changed by the penalties) and remembers it. None where no finite
    /// logit is left or one is not a number.
    pub fn sample(&mut self, logits: &mut [f32]) -> Option<u32> {
        self.prepare(logits)?;
        self.choose(logits)
    }

    /// The first half of [`Sampler::sample`]: the penalties. None where a logit is not a number. Between the halves
    /// tokens may be ruled out (−∞), which comes to the same as before the first.
    pub(super) fn prepare(&self, logits: &mut [f32]) -> Option<()> {
        if logits.iter().any(|l| l.is_nan() || *l == f32::INFINITY) {
            return None;
        }
        self.penalise(logits);
        Some(())
    }

    /// How many of the likeliest tokens, with those that equal the last of them, decide what is chosen; None: all.
    pub(super) fn deciding(&self) -> Option<usize> {
        match (self.settings.temperature > 0.0, self.settings.top_k) {
            (false, _) => Some(1),
            (true, 0) => None,
            (true, k) => Some(k),
        }
    }

    /// The second half of [`Sampler::sample`].
    pub(super) fn choose(&mut self, logits: &[f32]) -> Option<u32> {
        let token = match self.settings.temperature > 0.0 {
            true => self.draw(logits)?,
            false => greedy(logits)?,
        };
        self.seen.push(token);
        Some(token)
    }

    /// [`Sampler::choose`] where only some tokens are known, with their logits: those that decide.
    pub(super) fn choose_likely(&mut self, tokens: &[(u32, f32)]) -> Option<u32> {
        let known = tokens.iter().map(|&(id, logit)| Candidate { id, logit });
        let mut few: Vec<_> = known.collect();
        few.sort_unstable_by(by_rank);
        let token = match self.settings.temperature > 0.0 {
            true => {
                keep(&mut few, self.settings.top_k);
                self.draw_of_top(few)?
            }
            false => few.first()?.id,
        };
        self.seen.push(token);
        Some(token)
    }

    fn penalise(&self, logits: &mut [f32]) {
        let repeat = self.settings.repeat_penalty as f32;
        if repeat != 1.0 {
            let from = match self.settings.repeat_last_n {
                Some(n) => self.seen.len().saturating_sub(n),
                None => 0,
            };
            let mut ids = self.seen[from..].to_vec();
            ids.sort_unstable();
            ids.dedup();
            for id in ids {
                if let Some(logit) = logits.get_mut(id as usize) {
                    *logit = match *logit < 0.0 {
                        true => *logit * repeat,
                        false => *logit / repeat,
                    };
                }
            }
        }
        let (presence, frequency) = (
            self.settings.presence_penalty as f32,
            self.settings.frequency_penalty as f32,
        );
        if presence != 0.0 || frequency != 0.0 {
            let mut counts: HashMap<u32, u32> = HashMap::new();
            for &id in &self.seen[self.prompt_len..] {
                *counts.entry(id).or_default() += 1;
            }
            for (id, count) in counts {
                if let Some(logit) = logits.get_mut(id as usize) {
                    *logit -= presence + frequency * count as f32;
                }
            }
        }
    }

    /// How likely a token is beside the one of logit `best`: so the largest weight is 1 whatever the temperature.
    fn weight(&self, logit: f32, best: f32) -> f64 {
        f64::from((logit - best) / self.settings.temperature as f32).exp()
    }

    /// Draws one of the `top_k` likeliest tokens, given best first.
    fn draw_of_top(&mut self, mut few: Vec<Candidate>) -> Option<u32> {
        let best = few.first()?.logit;
        let weight = |logit: f32| self.weight(logit, best);
        let total = few.iter().map(|c| weight(c.logit)).sum();
        few.truncate(self.nucleus(&few, &weight, total));
        self.pick(&few, best)
    }

    /// Draws one of `candidates`.
    fn pick(&mut self, candidates: &[Candidate], best: f32) -> Option<u32> {
        let weights = candidates.iter().map(|c| self.weight(c.logit, best));
        let sum: f64 = weights.sum();
        let mut left = self.rng.random::<f64>() * sum;
        for candidate in candidates {
            left -= self.weight(candidate.logit, best);
            if left < 0.0 {
                return Some(candidate.id);
            }
        }
        candidates.last().map(|c| c.id)
    }

    fn draw(&mut self, logits: &[f32]) -> Option<u32> {
        let best = logits[greedy(logits)? as usize];
        let weight = |logit: f32| self.weight(logit, best);
        let candidates = match self.settings.top_k {
            0 if self.settings.top_p < 1.0 || self.settings.min_p > 0.0 => {
                let total = logits.iter().map(|&l| weight(l)).sum();
                let few = ranked(logits, FIRST_CANDIDATES);
                let kept = self.nucleus(&few, &weight, total);
                match kept < few.len() {
                    true => few[..kept].to_vec(),
                    false => {
                        let mut all = ranked(logits, usize::MAX);
                        all.truncate(self.nucleus(&all, &weight, total));
                        all
                    }
                }
            }
            0 => ranked(logits, usize::MAX),
            k => return self.draw_of_top(ranked(logits, k)),
        };
        self.pick(&candidates, best)
    }

    /// How many of `candidates` (best first) top-p and min-p keep; at least one. `total` is the weight of all that
    /// top-p is measured against.
    fn nucleus(&self, candidates: &[Candidate], weight: &dyn Fn(f32) -> f64, total: f64) -> usize {
        let mut better = 0.0;
        for (index, candidate) in candidates.iter().enumerate() {
            let w = weight(candidate.logit);
            let outside_top_p = self.settings.top_p < 1.0 && better >= self.settings.top_p * total;
            if index > 0 && (outside_top_p || w < self.settings.min_p) {
                return index;
            }
            better += w;
        }
        candidates.len()
    }
}

/// The `k` likeliest candidates, best first and equal ones by id; all that equal the last one are kept too.
pub(super) fn ranked(logits: &[f32], k: usize) -> Vec<Candidate> {
    // The vocabulary is scanned against the k-th best of what was seen so far; few tokens ever pass it.
    let mut kept: Vec<Candidate> = Vec::new();
    let mut threshold = f32::NEG_INFINITY;
    let mut limit = k.max(1).saturating_mul(2).max(64);
    for (id, &logit) in logits.iter().enumerate() {
        if logit < threshold || logit == f32::NEG_INFINITY {
            continue;
        }
        kept.push(Candidate {
            id: id as u32,
            logit,
        });
        if kept.len() >= limit && k < kept.len() {
            let (_, kth, _) = kept.select_nth_unstable_by(k.max(1) - 1, by_rank);
            threshold = kth.logit;
            kept.retain(|c| c.logit >= threshold);
            // Equal ones stay, and are not to be looked at again with each that follows.
            limit = limit.max(2 * kept.len());
        }
    }
    kept.sort_unstable_by(by_rank);
    keep(&mut kept, k);
    kept
}

/// Best first, equal ones by id.
fn by_rank(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.logit.total_cmp(&a.logit).then(a.id.cmp(&b.id))
}

/// Keeps the first `k` of `ranked`, and all that equal the last of them.
fn keep(ranked: &mut Vec<Candidate>, k: usize) {
    if let Some(kth) = ranked.get(k.max(1) - 1).copied() {
        let end = ranked.partition_point(|c| c.logit >= kth.logit);
        ranked.truncate(end);
    }
}

/// The likeliest token (the first of equals); None if no logit is finite.
fn greedy(logits: &[f32]) -> Option<u32> {
    let mut best: Option<(usize, f32)> = None;
    for (id, &logit) in logits.iter().enumerate() {
        if logit > best.map_or(f32::NEG_INFINITY, |(_, b)| b) {
            best = Some((id, logit));
        }
    }
    best.map(|(id, _)| id as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn settings() -> SamplingSettings {
        SamplingSettings {
            top_k: 0,
            ..SamplingSettings::default()
        }
    }

    /// How often each token comes in `n` draws.
    fn frequencies(settings: &SamplingSettings, logits: &[f32], n: usize) -> Vec<f64> {
        let mut sampler = Sampler::new(settings, 7, &[]);
        let mut counts = vec![0.0; logits.len()];
        for _ in 0..n {
            let id = sampler.sample(&mut logits.to_vec()).unwrap();
            counts[id as usize] += 1.0 / n as f64;
        }
        counts
    }

    #[test]
    fn draws_follow_the_softmax() {
        let logits = [0.0f32, 1.0, 2.0, -1.0];
        let total: f64 = logits.iter().map(|&l| f64::from(l).exp()).sum();
        let drawn = frequencies(&settings(), &logits, 20_000);
        for (p, &l) in drawn.iter().zip(&logits) {
            assert!((p - f64::from(l).exp() / total).abs() < 0.015, "{drawn:?}");
        }
    }

    #[test]
    fn top_k_keeps_ties_as_transformers_does() {
        let top2 = SamplingSettings {
            top_k: 2,
            ..settings()
        };
        let drawn = frequencies(&top2, &[1.0, 3.0, 1.0, 0.0], 2000);
        assert!(drawn[0] > 0.0 && drawn[1] > 0.0 && drawn[2] > 0.0 && drawn[3] == 0.0);
    }

    #[test]
    fn top_p_keeps_the_token_that_crosses() {
        // Probabilities 0.5, 0.3, 0.2.
        let logits = [0.5f32.ln(), 0.3f32.ln(), 0.2f32.ln()];
        for (top_p, kept) in [(0.4, 1), (0.6, 2), (0.79, 2), (0.85, 3), (0.0, 1)] {
            let settings = SamplingSettings {
                top_p,
                ..settings()
            };
            let drawn = frequencies(&settings, &logits, 2000);
            assert_eq!(drawn.iter().filter(|p| **p > 0.0).count(), kept, "{top_p}");
        }
    }

    #[test]
    fn min_p_is_relative_to_the_best() {
        let logits = [0.5f32.ln(), 0.3f32.ln(), 0.2f32.ln()];
        let settings = SamplingSettings {
            min_p: 0.5,
            ..settings()
        };
        assert_eq!(frequencies(&settings, &logits, 2000)[2], 0.0);
    }

    #[test]
    fn penalties_change_what_was_seen() {
        let settings = SamplingSettings {
            temperature: 0.0,
            repeat_penalty: 2.0,
            presence_penalty: 0.25,
            frequency_penalty: 0.5,
            ..settings()
        };
        let mut sampler = Sampler::new(&settings, 0, &[0, 1]);
        // 4 / 2 = 2 and -1 · 2 = -2: token 2 with 2.5 wins, then loses 0.25 + 0.5 and half.
        let mut logits = vec![4.0f32, -1.0, 2.5];
        assert_eq!(sampler.sample(&mut logits), Some(2));
        assert_eq!(logits, [2.0, -2.0, 2.5]);
        let mut logits = vec![4.0f32, -1.0, 2.5];
        assert_eq!(sampler.sample(&mut logits), Some(0));
        assert_eq!(logits, [2.0, -2.0, 0.5]);
    }

    #[test]
    fn the_repetition_window_is_bounded() {
        let settings = SamplingSettings {
            temperature: 0.0,
            repeat_penalty: 10.0,
            repeat_last_n: Some(1),
            ..settings()
        };
        let mut sampler = Sampler::new(&settings, 0, &[0, 1]);
        assert_eq!(sampler.sample(&mut [5.0, 4.0]), Some(0));
    }

    #[test]
    fn refuses_what_is_not_a_number() {
        let mut sampler = Sampler::new(&settings(), 0, &[]);
        assert_eq!(sampler.sample(&mut [0.0, f32::NAN]), None);
        assert_eq!(sampler.sample(&mut [0.0, f32::INFINITY]), None);
        assert_eq!(sampler.sample(&mut [f32::NEG_INFINITY; 2]), None);
        assert_eq!(sampler.sample(&mut []), None);
    }

    #[test]
    fn equal_logits_are_ranked_once() {
        assert_eq!(ranked(&[0.5; 200_000], 50).len(), 200_000);
    }

    #[test]
    fn the_likeliest_tokens_decide_as_all_do() {
        let logits: Vec<f32> = (0..500).map(|i| ((i * 37) % 101) as f32 * 0.1).collect();
        for (temperature, top_k, top_p, min_p) in [
            (0.0, 0, 1.0, 0.0),
            (1.0, 1, 1.0, 0.0),
            (0.7, 20, 1.0, 0.0),
            (2.0, 33, 0.8, 0.0),
            (1.5, 50, 1.0, 0.3),
        ] {
            let settings = SamplingSettings {
                temperature,
                top_k,
                top_p,
                min_p,
                ..settings()
            };
            let mut all = Sampler::new(&settings, 3, &[]);
            let mut few = Sampler::new(&settings, 3, &[]);
            let k = all.deciding().unwrap();
            let kth = ranked(&logits, k).last().unwrap().logit;
            // And some that are less likely.
            let likely: Vec<(u32, f32)> = (0u32..)
                .zip(logits.iter().copied())
                .filter(|(_, logit)| *logit >= kth - 0.15)
                .collect();
            for _ in 0..200 {
                let expected = all.sample(&mut logits.clone());
                assert_eq!(few.choose_likely(&likely), expected);
            }
        }
        assert_eq!(Sampler::new(&settings(), 0, &[]).choose_likely(&[]), None);
    }

    proptest! {
        #[test]
        fn ranked_equals_a_full_sort(logits in proptest::collection::vec(-3i8..3, 1..400), k in 1usize..40) {
            let logits: Vec<f32> = logits.into_iter().map(f32::from).collect();
            let mut all: Vec<Candidate> = logits.iter().enumerate()
                .map(|(id, &logit)| Candidate { id: id as u32, logit }).collect();
            all.sort_by(|a, b| b.logit.total_cmp(&a.logit).then(a.id.cmp(&b.id)));
            let kth = all[k.min(all.len()) - 1].logit;
            all.retain(|c| c.logit >= kth);
            prop_assert_eq!(ranked(&logits, k), all);
        }
    }
}
