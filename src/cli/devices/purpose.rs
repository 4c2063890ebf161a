//! What a GPU is taken for, in the words of messages.

/// Work that a GPU may have no room for, or fail at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The language model, and what lies beside it.
    Model,
    /// The image encoder, once the language model is there.
    Images,
    /// The codec alone.
    Codec,
    /// A recording, before the language model is there; what takes less of it.
    Listening(&'static [&'static str]),
}

#[cfg(any(feature = "cuda", test))]
impl Purpose {
    /// The subject of a sentence.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Model => "the model",
            Self::Images => "the image encoder",
            Self::Codec => "the codec",
            Self::Listening(_) => "listening to the recording",
        }
    }

    /// What is done, as an infinitive.
    #[cfg(feature = "cuda")]
    pub(super) fn act(self) -> &'static str {
        match self {
            Self::Model => "load the model",
            Self::Images => "encode images",
            Self::Codec => "load the codec",
            Self::Listening(_) => "listen to the recording",
        }
    }

    /// What helps where a GPU has no room for it; `left`: the CPU would do, too. None: nothing.
    pub(super) fn advice(self, left: bool) -> Option<String> {
        let less: &[&str] = match self {
            Self::Model => &["a smaller --ctx-size", "--quant"],
            Self::Images => &["a smaller --max-pixels", "--ctx-size", "--quant"],
            Self::Codec => &[],
            Self::Listening(less) => less,
        };
        let cpu: &[&str] = if left { &["--device cpu"] } else { &[] };
        let all = [less, cpu].concat();
        let (last, others) = all.split_last()?;
        let list = match others {
            [] => (*last).to_string(),
            others => format!("{} or {last}", others.join(", ")),
        };
        Some(format!(
            "{list} {}",
            if left { "helps" } else { "takes less" }
        ))
    }

    /// `why` and behind it what helps, as [`Purpose::advice`].
    pub(super) fn advised(self, why: &str, left: bool) -> String {
        match self.advice(left) {
            Some(advice) => format!("{why}; {advice}"),
            None => why.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_helps_is_listed() {
        let advice = |purpose: Purpose, left| purpose.advice(left).unwrap_or_default();
        assert_eq!(
            advice(Purpose::Model, true),
            "a smaller --ctx-size, --quant or --device cpu helps"
        );
        assert_eq!(
            advice(Purpose::Model, false),
            "a smaller --ctx-size or --quant takes less"
        );
        assert_eq!(advice(Purpose::Codec, true), "--device cpu helps");
        assert_eq!(Purpose::Codec.advised("no room", false), "no room");
        assert_eq!(
            Purpose::Listening(&["a shorter recording"]).advised("no room", true),
            "no room; a shorter recording or --device cpu helps"
        );
    }
}
