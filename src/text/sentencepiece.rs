//! SentencePiece BPE: merges from the scores of the pieces.

use tokenizers::models::bpe::{Merges, Vocab};

/// Pieces longer than this are refused: finding their splits takes time that grows with the square.
const LONGEST_PIECE: usize = 1024;

/// Every way to put a piece together from two known ones, best score first.
///
/// SentencePiece joins the neighbours whose union has the best score; a BPE that applies these merges in order
/// does the same. The order among equals is transformers' own (convert_slow_tokenizer's `generate_merges`):
/// longer parts first, then smaller ids.
pub(super) fn merges(pieces: &[(&str, f32)], vocab: &Vocab) -> Result<Merges, String> {
    struct Merge<'a> {
        left: (&'a str, usize),
        right: (&'a str, usize),
        score: f32,
    }
    let mut merges: Vec<Merge<'_>> = Vec::new();
    let mut local: Vec<(u32, u32, Merge<'_>)> = Vec::new();
    for &(piece, score) in pieces {
        if piece.len() > LONGEST_PIECE {
            return Err(format!(
                "a token of {} bytes is longer than any real one; {}",
                piece.len(),
                super::gguf::DAMAGED
            ));
        }
        let chars = piece.chars().count();
        for (n, (at, _)) in piece.char_indices().enumerate().skip(1) {
            let (left, right) = piece.split_at(at);
            if let (Some(&l), Some(&r)) = (vocab.get(left), vocab.get(right)) {
                let merge = Merge {
                    left: (left, n),
                    right: (right, chars - n),
                    score,
                };
                local.push((l, r, merge));
            }
        }
        local.sort_by_key(|(l, r, _)| (*l, *r));
        merges.extend(local.drain(..).map(|(_, _, merge)| merge));
    }
    merges.sort_by(|a, b| {
        let by_score = b.score.total_cmp(&a.score);
        by_score
            .then(b.left.1.cmp(&a.left.1))
            .then(b.right.1.cmp(&a.right.1))
    });
    Ok(merges
        .into_iter()
        .map(|m| (m.left.0.to_string(), m.right.0.to_string()))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_come_by_score_then_by_length() {
        let pieces = [
            ("ab", -1.0),
            ("abc", 0.0),
            ("bc", -1.0),
            ("a", -9.0),
            ("éa", -2.0),
        ];
        let known = ["a", "b", "c", "é", "ab", "bc", "abc", "éa"];
        let vocab: Vocab = known
            .iter()
            .zip(0..)
            .map(|(t, i)| (t.to_string(), i))
            .collect();
        let merges = merges(&pieces, &vocab).unwrap();
        let merges: Vec<String> = merges.iter().map(|(a, b)| format!("{a} {b}")).collect();
        assert_eq!(merges, ["ab c", "a bc", "a b", "b c", "é a"]);
    }

    #[test]
    fn an_absurd_piece_is_refused() {
        let long = "a".repeat(LONGEST_PIECE + 1);
        assert!(merges(&[(&long, 0.0)], &Vocab::new()).is_err());
    }

    #[test]
    fn scores_that_are_not_numbers_do_no_harm() {
        let vocab: Vocab = ["a", "aa", "aaa"]
            .iter()
            .zip(0..)
            .map(|(t, i)| (t.to_string(), i))
            .collect();
        let pieces = [("aa", f32::NAN), ("aaa", 1.0)];
        assert_eq!(merges(&pieces, &vocab).unwrap().len(), 3);
    }
}
