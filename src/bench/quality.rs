//! What a number format costs: how likely the model finds a text, and how far it is from itself in f32.

use candle_core::Tensor;
use rayon::prelude::*;

use crate::generate::GenerateError;
use crate::models::{LanguageModel, ModelError};

use super::statistics::mean;
use super::{threads, BenchError};

/// Positions computed at a time; bounds the logits held, a vocabulary for each.
const CHUNK: usize = 64;

/// Means over the scored positions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// Tokens of the text, the first of which is not scored.
    pub tokens: usize,
    /// Negative log-likelihood, natural logarithm.
    pub nll_mean: f64,
    /// Kullback-Leibler divergence from the reference, nats.
    pub kl_mean: f64,
    /// Share of positions whose likeliest token is the reference's.
    pub top1_agreement: f64,
}

/// Scores `ids` with `model` and, position by position, against `reference` (None: the model is its own). Both caches are
/// emptied before and after.
///
/// # Errors
/// Fewer than two tokens, more than the context holds, logits that are not numbers; [`BenchError::Interrupted`].
pub fn score(
    model: &mut dyn LanguageModel,
    mut reference: Option<&mut dyn LanguageModel>,
    ids: &[u32],
    n_threads: usize,
    interrupted: &(dyn Fn() -> bool + Sync),
) -> Result<Quality, BenchError> {
    let last = ids.len().saturating_sub(1);
    if last == 0 {
        return Err(BenchError::ShortText { tokens: ids.len() });
    }
    model.truncate(0);
    if let Some(reference) = reference.as_deref_mut() {
        reference.truncate(0);
    }
    let mut positions = Vec::with_capacity(last);
    for start in (0..last).step_by(CHUNK) {
        if interrupted() {
            return Err(BenchError::Interrupted);
        }
        let end = (start + CHUNK).min(last);
        let rows = |model: &mut dyn LanguageModel| {
            let logits = threads::use_threads(n_threads, || model.forward_all(&ids[start..end]))?;
            to_rows(&logits)
        };
        let tested = rows(model)?;
        let wanted = match reference.as_deref_mut() {
            Some(reference) => Some(rows(reference)?),
            None => None,
        };
        let wanted = wanted.as_ref().unwrap_or(&tested);
        let chunk: Vec<Option<Position>> = tested
            .par_iter()
            .zip(wanted)
            .zip(&ids[start + 1..=end])
            .map(|((tested, wanted), &next)| Position::of(tested, wanted, next))
            .collect();
        for (i, position) in chunk.into_iter().enumerate() {
            positions.push(position.ok_or(GenerateError::BadLogits {
                position: start + i,
            })?);
        }
    }
    model.truncate(0);
    if let Some(reference) = reference {
        reference.truncate(0);
    }
    let of =
        |figure: fn(&Position) -> f64| mean(&positions.iter().map(figure).collect::<Vec<f64>>());
    Ok(Quality {
        tokens: ids.len(),
        nll_mean: of(|position| position.nll),
        kl_mean: of(|position| position.kl),
        top1_agreement: of(|position| f64::from(u8::from(position.agrees))),
    })
}

fn to_rows(logits: &Tensor) -> Result<Vec<Vec<f32>>, BenchError> {
    Ok(logits.to_vec2().map_err(ModelError::from)?)
}

struct Position {
    nll: f64,
    kl: f64,
    agrees: bool,
}

impl Position {
    /// None where the logits are not numbers or `next` is past the vocabulary.
    fn of(tested: &[f32], wanted: &[f32], next: u32) -> Option<Self> {
        let (tested_total, wanted_total) = (log_sum_exp(tested), log_sum_exp(wanted));
        let nll = tested_total - f64::from(*tested.get(next as usize)?);
        let kl: f64 = wanted
            .iter()
            .zip(tested)
            .map(|(&wanted, &tested)| {
                let wanted = f64::from(wanted) - wanted_total;
                wanted.exp() * (wanted - (f64::from(tested) - tested_total))
            })
            .sum();
        // Rounding may put what is 0 a hair below it.
        let kl = kl.max(0.0);
        (nll.is_finite() && kl.is_finite()).then(|| Self {
            nll,
            kl,
            agrees: likeliest(tested) == likeliest(wanted),
        })
    }
}

fn log_sum_exp(logits: &[f32]) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&l| f64::from(l - max).exp()).sum();
    f64::from(max) + sum.ln()
}

/// The first of the largest.
pub(super) fn likeliest(logits: &[f32]) -> Option<usize> {
    let best = logits
        .iter()
        .enumerate()
        .rev()
        .max_by(|(_, a), (_, b)| a.total_cmp(b));
    best.map(|(id, _)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_no_way_from_itself() {
        let logits = [1.0, 2.0, -3.0];
        let position = Position::of(&logits, &logits, 1).unwrap();
        assert!(position.kl < 1e-12 && position.agrees);
        let total = (1f64.exp() + 2f64.exp() + (-3f64).exp()).ln();
        assert!((position.nll - (total - 2.0)).abs() < 1e-12);
    }

    #[test]
    fn the_divergence_is_that_of_the_reference() {
        // Reference (3/4, 1/4), tested (1/2, 1/2).
        let wanted = [3f32.ln(), 0.0];
        let position = Position::of(&[0.0, 0.0], &wanted, 0).unwrap();
        let expected = 0.75 * 1.5f64.ln() + 0.25 * 0.5f64.ln();
        assert!((position.kl - expected).abs() < 1e-6, "{}", position.kl);
        assert!(position.agrees, "of equals the first counts");
        assert!(!Position::of(&[0.0, 1.0], &wanted, 0).unwrap().agrees);
    }

    #[test]
    fn logits_that_are_no_numbers_are_refused() {
        assert!(Position::of(&[f32::NAN, 0.0], &[0.0, 0.0], 0).is_none());
        assert!(Position::of(&[0.0], &[0.0], 5).is_none());
    }
}
