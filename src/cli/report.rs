//! What a run says about itself: the JSON object and the statistics.

use rayon::prelude::*;
use serde::Serialize;
use serde_json::{json, Value};

use crate::generate::{Output, Step, Timings, TopLogprob};
use crate::hub::{self, StoredFile};
use crate::models::picture::NO_TOKEN;

use super::devices;
use super::sampling::Resolved;
use super::session::{Prompt, Session};

/// A finished run with all that led to it.
pub struct Report<'a> {
    pub session: &'a Session,
    pub settings: &'a Resolved,
    pub prompt: &'a Prompt,
    pub prefill: &'a str,
    pub truncated_tokens: usize,
    pub overflow: &'static str,
    pub threads: usize,
    /// Its text is the answer alone.
    pub output: &'a Output,
    /// What the model thought before it; empty for none.
    pub thinking: &'a str,
    pub logprobs: bool,
    /// The structure that was asked for, and what the model gave each choice.
    pub constraint: Option<Value>,
    pub choices: Option<Value>,
    /// What was seen of the images, and the boxes that the answer names, for a model of images.
    pub images: Option<Vec<Value>>,
    pub boxes: Option<Value>,
}

/// What stands in `prompt_tokens` where an image is and the model has no token for it: LLaVA's `IMAGE_TOKEN_INDEX`, which
/// Namo took over.
const IMAGE_INDEX: i64 = -200;

fn ids(prompt: &Prompt) -> Vec<i64> {
    let spelled = |id: &u32| match *id {
        NO_TOKEN => IMAGE_INDEX,
        id => i64::from(id),
    };
    prompt.ids.iter().map(spelled).collect()
}

/// `settings` of the JSON object.
#[derive(Serialize)]
struct SettingsJson<'a> {
    #[serde(flatten)]
    sampling: &'a Resolved,
    ctx_size: usize,
    overflow: &'static str,
    raw: bool,
    prefill: &'a str,
    threads: usize,
}

impl Report<'_> {
    /// The whole object. Field names are part of crane's interface; see the README.
    pub fn json(&self) -> anyhow::Result<Value> {
        let (session, output) = (self.session, self.output);
        let mut object = json!({
            "model": session.located.typed,
            "resolved": session.located.resolved,
            "files": files(&session.located.files)?,
            "device": session.device(),
            "dtype": session.dtype,
            "seed": self.settings.seed,
            "settings": SettingsJson {
                sampling: self.settings,
                ctx_size: session.engine.context(),
                overflow: self.overflow,
                raw: self.prompt.raw,
                prefill: self.prefill,
                threads: self.threads,
            },
            "prompt": self.prompt.text,
            "prompt_tokens": ids(self.prompt),
            "truncated_tokens": self.truncated_tokens,
            "notes": session.notes,
            "text": output.text,
            "tokens": output.tokens,
            "finish_reason": output.finish_reason,
        });
        let timings = &output.timings;
        let thinking = (!self.thinking.is_empty()).then(|| json!(self.thinking));
        let rest = [
            ("thinking", thinking),
            ("constraint", self.constraint.clone()),
            ("choices", self.choices.clone()),
            ("images", self.images.clone().map(Value::from)),
            ("boxes", self.boxes.clone()),
            ("logprobs", self.logprobs.then(|| json!(output.logprobs))),
            (
                "timings",
                Some(json!({
                    "load_ms": session.load_ms,
                    "ttft_ms": timings.ttft_ms,
                    "prefill_tps": timings.prefill_tps,
                    "decode_tps": timings.decode_tps,
                    "prefill_tokens": timings.prefill_tokens,
                    "cached_tokens": timings.cached_tokens,
                })),
            ),
            (
                "peak_memory_bytes",
                Some(json!(devices::peak_memory_bytes())),
            ),
        ];
        if let Some(map) = object.as_object_mut() {
            for (name, value) in rest {
                if let Some(value) = value {
                    map.insert(name.into(), value);
                }
            }
        }
        Ok(object)
    }

    /// The lines of `--stats`.
    pub fn stats(&self) -> String {
        let stats = stats(
            self.session,
            self.settings,
            self.prompt.ids.len(),
            self.output.tokens.len(),
            &self.output.timings,
        );
        let images = self.prompt.looks.iter().map(|look| {
            format!(
                "image          {:.0} ms read, {:.0} ms encoded: {} tokens ({})\n",
                look.read_ms,
                look.encode_ms,
                look.tokens(),
                look.label
            )
        });
        images.collect::<String>() + &stats
    }
}

/// One line a fact, for stderr.
pub fn stats(
    session: &Session,
    settings: &Resolved,
    prompt_tokens: usize,
    output_tokens: usize,
    timings: &Timings,
) -> String {
    let memory = match devices::peak_memory_bytes() {
        Some(bytes) => format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20)),
        None => "not known on this system".into(),
    };
    let cached = match timings.cached_tokens {
        0 => String::new(),
        n => format!(", {n} of them kept from before"),
    };
    format!(
        "load           {:.0} ms\n\
         first token    {:.0} ms\n\
         prefill        {:.1} tokens/s ({prompt_tokens} tokens{cached})\n\
         decode         {:.1} tokens/s ({output_tokens} tokens)\n\
         peak memory    {memory}\n\
         computed on    {} ({})\n\
         sampling       temperature {}, top-k {}, top-p {}, min-p {}, repeat penalty {}; defaults from {}\n\
         seed           {}",
        session.load_ms,
        timings.ttft_ms,
        timings.prefill_tps,
        timings.decode_tps,
        session.device(),
        session.dtype,
        settings.sampling.temperature,
        settings.sampling.top_k,
        settings.sampling.top_p,
        settings.sampling.min_p,
        settings.sampling.repeat_penalty,
        settings.defaults_from,
        settings.seed
    )
}

/// A line of `--format ndjson`.
#[derive(Serialize)]
pub struct StepJson<'a> {
    /// Null for text that was held back until the output ended.
    token: Option<u32>,
    text: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    thinking: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprob: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top: Option<&'a [TopLogprob]>,
}

impl<'a> StepJson<'a> {
    /// `step` with its text told apart.
    pub fn new(step: &Step<'a>, text: &'a str, thinking: &'a str) -> Self {
        Self {
            token: step.token,
            text,
            thinking,
            logprob: step.logprob.map(|entry| entry.logprob),
            top: step.logprob.map(|entry| entry.top.as_slice()),
        }
    }
}

/// `path` and `sha256` of each file; what the hub did not state is computed.
fn files(files: &[StoredFile]) -> anyhow::Result<Vec<Value>> {
    files
        .par_iter()
        .map(|file| {
            let sum = match &file.sha256 {
                Some(sum) => sum.clone(),
                None => hub::verify::sha256(&file.path)?,
            };
            Ok(json!({ "path": file.path, "sha256": sum }))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::TokenLogprob;

    #[test]
    fn known_sums_are_kept_and_others_computed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, "abc").unwrap();
        let file = |sha256: Option<&str>| StoredFile {
            name: "config.json".into(),
            path: path.clone(),
            bytes: 3,
            sha256: sha256.map(str::to_string),
        };
        let both = files(&[file(Some("known")), file(None)]).unwrap();
        assert_eq!(both[0]["sha256"], "known");
        assert_eq!(
            both[1]["sha256"],
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        std::fs::remove_file(&path).unwrap();
        assert!(files(&[file(None)]).is_err());
    }

    #[test]
    fn a_step_is_one_object_a_token() {
        let step = Step {
            token: Some(5),
            text: "é",
            logprob: None,
        };
        let line = serde_json::to_string(&StepJson::new(&step, step.text, "")).unwrap();
        assert_eq!(line, r#"{"token":5,"text":"é"}"#);
        let entry = TokenLogprob {
            token: 5,
            logprob: -1.0 / 3.0,
            top: vec![TopLogprob {
                token: 7,
                logprob: -0.25,
            }],
        };
        let step = Step {
            logprob: Some(&entry),
            ..step
        };
        let line = serde_json::to_string(&StepJson::new(&step, step.text, "")).unwrap();
        assert_eq!(
            line,
            r#"{"token":5,"text":"é","logprob":-0.3333333333333333,"top":[{"token":7,"logprob":-0.25}]}"#
        );
    }
}
