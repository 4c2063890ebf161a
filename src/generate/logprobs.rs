//! Log-probabilities of the model's own distribution.

use super::{TokenLogprob, TopLogprob};

/// The natural logarithm of the sum of `exp(logits)`, accumulated in f64.
fn log_sum_exp(logits: &[f32]) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&l| f64::from(l - max).exp()).sum();
    f64::from(max) + sum.ln()
}

/// `ln softmax(logits)[token]`; None past the end.
pub fn log_softmax(logits: &[f32], token: u32) -> Option<f64> {
    let logit = logits.get(token as usize)?;
    Some(f64::from(*logit) - log_sum_exp(logits))
}

/// The log-probability of `token` and of the `k` likeliest, best first (equal ones by id).
pub(super) fn token_logprob(logits: &[f32], token: u32, k: usize) -> TokenLogprob {
    let total = log_sum_exp(logits);
    let logprob = |id: u32| {
        logits
            .get(id as usize)
            .map_or(f64::NEG_INFINITY, |&l| f64::from(l) - total)
    };
    let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
    let order = |a: &u32, b: &u32| {
        logits[*b as usize]
            .total_cmp(&logits[*a as usize])
            .then(a.cmp(b))
    };
    if k < ids.len() {
        ids.select_nth_unstable_by(k, order);
        ids.truncate(k);
    }
    ids.sort_unstable_by(order);
    TokenLogprob {
        token,
        logprob: logprob(token),
        top: ids
            .into_iter()
            .map(|id| TopLogprob {
                token: id,
                logprob: logprob(id),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_definition() {
        let logits = [1.0f32, -2.0, 0.5, 700.0, 699.0];
        let row = token_logprob(&logits, 4, 3);
        // ln(1 / (1 + e)), the others vanish beside e^700.
        assert!((row.logprob - -(1.0 + 1f64.exp()).ln()).abs() < 1e-12);
        assert_eq!(
            row.top.iter().map(|t| t.token).collect::<Vec<_>>(),
            [3, 4, 0]
        );
        assert_eq!(log_softmax(&logits, 9), None);
    }

    #[test]
    fn more_than_the_vocabulary_gives_all_of_it() {
        assert_eq!(token_logprob(&[0.0, 1.0], 0, 10).top.len(), 2);
    }
}
