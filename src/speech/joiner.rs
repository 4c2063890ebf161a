//! Pieces of speech, one after the other, without clicks where they meet.

/// Seconds over which a piece fades at a joint.
const FADE: f64 = 0.005;

/// Puts pieces together as their samples come. Pieces fade where they meet and nowhere else: the first begins and the last
/// ends as it is.
#[derive(Debug)]
pub struct Joiner {
    fade: usize,
    /// The last samples of the piece, which may have to fade.
    held: Vec<f32>,
    /// Samples of the piece so far.
    taken: usize,
    /// Whether there was a piece before.
    follows: bool,
}

impl Joiner {
    /// For samples of `sample_rate`.
    pub fn new(sample_rate: u32) -> Self {
        Self {
            fade: (FADE * f64::from(sample_rate)) as usize,
            held: Vec::new(),
            taken: 0,
            follows: false,
        }
    }

    /// Samples of the piece that is spoken; returns those that are certain.
    pub fn push(&mut self, samples: &[f32]) -> Vec<f32> {
        let start = self.held.len();
        self.held.extend_from_slice(samples);
        if self.follows {
            for (i, x) in self.held[start..].iter_mut().enumerate() {
                let at = self.taken + i;
                if at < self.fade {
                    *x *= ramp(at, self.fade);
                }
            }
        }
        self.taken += samples.len();
        let certain = self.held.len().saturating_sub(self.fade);
        self.held.drain(..certain).collect()
    }

    /// Another piece follows after `pause` samples of silence: what was held back, and the silence.
    pub fn join(&mut self, pause: usize) -> Vec<f32> {
        let n = self.held.len();
        for (i, x) in self.held.iter_mut().enumerate() {
            *x *= ramp(n - 1 - i, self.fade);
        }
        let mut out = std::mem::take(&mut self.held);
        out.resize(out.len() + pause, 0.0);
        self.taken = 0;
        self.follows = true;
        out
    }

    /// That was the last piece: what was held back.
    pub fn finish(&mut self) -> Vec<f32> {
        std::mem::take(&mut self.held)
    }
}

/// From nearly 0 to 1 over `len` samples.
fn ramp(at: usize, len: usize) -> f32 {
    ((at + 1) as f32 / (len + 1) as f32).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_piece_is_left_as_it_is() {
        let piece: Vec<f32> = (0..1000).map(|i| (i as f32).sin()).collect();
        let mut joiner = Joiner::new(16_000);
        let mut out = Vec::new();
        for part in piece.chunks(37) {
            out.extend(joiner.push(part));
        }
        out.extend(joiner.finish());
        assert_eq!(out, piece);
    }

    #[test]
    fn pieces_meet_in_silence_however_they_come() {
        let piece = vec![0.5f32; 400];
        let spoken = |step: usize| {
            let mut joiner = Joiner::new(16_000);
            let mut out = Vec::new();
            for last in [false, true] {
                for part in piece.chunks(step) {
                    out.extend(joiner.push(part));
                }
                out.extend(match last {
                    true => joiner.finish(),
                    false => joiner.join(100),
                });
            }
            out
        };
        let whole = spoken(400);
        assert_eq!(whole.len(), 900);
        assert_eq!(whole, spoken(1));
        assert_eq!(whole, spoken(63));
        assert_eq!((whole[0], whole[300], whole[899]), (0.5, 0.5, 0.5));
        assert_eq!(whole[400..500], [0.0; 100]);
        let most = whole
            .windows(2)
            .map(|w| (w[0] - w[1]).abs())
            .fold(0.0, f32::max);
        assert!(most < 0.5 / 80.0, "{most}");
    }
}
