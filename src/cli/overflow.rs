//! A prompt that is longer than the context.

use clap::ValueEnum;

use super::exit::CliError;

/// `--overflow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Overflow {
    /// Refuse the prompt
    #[default]
    Error,
    /// Leave out tokens in the middle
    Middle,
}

impl Overflow {
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Middle => "middle",
        }
    }
}

/// Makes `prompt` fit `context` tokens, or refuses. Returns how many tokens were left out.
///
/// With [`Overflow::Middle`] room is kept for `max_tokens` of output, at most half of the context (without a
/// limit: a quarter), and the start and the end of the prompt stay, where a template has its markers and a
/// user the task.
pub fn fit(
    prompt: &mut Vec<u32>,
    context: usize,
    max_tokens: Option<usize>,
    overflow: Overflow,
) -> Result<usize, CliError> {
    let needed = prompt.len();
    match overflow {
        Overflow::Error if needed <= context => Ok(0),
        Overflow::Error => Err(CliError::TooLarge(format!(
            "the prompt has {needed} tokens and the context holds {context}; shorten it, raise --ctx-size \
             as far as the model goes, or cut it with --overflow middle"
        ))),
        Overflow::Middle => {
            let wanted = max_tokens.unwrap_or(1).min(context / 2).max(1);
            if needed + wanted <= context {
                return Ok(0);
            }
            let room = max_tokens.unwrap_or(context / 4).min(context / 2).max(1);
            let keep = context.saturating_sub(room);
            if keep == 0 {
                return Err(CliError::TooLarge(format!(
                    "a context of {context} tokens holds no prompt; raise --ctx-size"
                )));
            }
            let head = keep / 2;
            let left_out = needed.saturating_sub(keep);
            prompt.drain(head..head + left_out);
            Ok(left_out)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(len: u32, context: usize, n: Option<usize>) -> (Vec<u32>, usize) {
        let mut ids: Vec<u32> = (0..len).collect();
        let left_out = fit(&mut ids, context, n, Overflow::Middle).unwrap();
        (ids, left_out)
    }

    #[test]
    fn what_fits_is_left_alone() {
        assert_eq!(fitted(10, 16, Some(6)), ((0..10).collect(), 0));
        assert_eq!(fitted(15, 16, None), ((0..15).collect(), 0));
    }

    #[test]
    fn head_and_tail_stay() {
        let (ids, left_out) = fitted(20, 16, Some(4));
        assert_eq!(left_out, 8);
        assert_eq!(ids, [0, 1, 2, 3, 4, 5, 14, 15, 16, 17, 18, 19]);
    }

    #[test]
    fn output_never_takes_more_than_half() {
        let (ids, left_out) = fitted(100, 16, Some(1000));
        assert_eq!((ids.len(), left_out), (8, 92));
        assert_eq!(ids.last(), Some(&99));
    }

    #[test]
    fn a_prompt_as_long_as_the_context_is_cut_for_one_token_at_least() {
        let (ids, left_out) = fitted(16, 16, None);
        assert_eq!((ids.len(), left_out), (12, 4));
    }

    #[test]
    fn refusal_names_both_numbers_and_the_flag() {
        let mut ids: Vec<u32> = (0..20).collect();
        let text = fit(&mut ids, 16, None, Overflow::Error)
            .unwrap_err()
            .to_string();
        assert!(text.contains("20") && text.contains("16") && text.contains("--overflow middle"));
        assert_eq!(fit(&mut ids, 20, None, Overflow::Error).unwrap(), 0);
        assert!(fit(&mut ids, 1, None, Overflow::Middle).is_err());
    }
}
