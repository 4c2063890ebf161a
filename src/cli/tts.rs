//! `crane tts`: text → speech.

mod args;
mod player;
mod report;
mod script;
mod sink;
mod source;
mod studio;

pub use args::TtsArgs;

use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use crate::speech::{Joiner, Listener, Manner, Problem, SayOptions, Speaker, SpeechError, Spoken};

use super::devices::Purpose;
use super::exit::CliError;
use super::settings::Settings;
use super::{interrupt, voices};
use args::Output;
use report::Report;
use script::Script;
use sink::AudioSink;
use source::Source;
use studio::Studio;

/// Silence at the end of a paragraph, in pauses.
const PARAGRAPH: f64 = 2.5;

/// Speaks what the arguments name.
pub fn run(args: &TtsArgs, settings: &Settings, out: &mut dyn Write) -> anyhow::Result<()> {
    args.check(settings)?;
    let output = args.output(settings)?;
    if let Some(file) = &args.tokens {
        return again(args, file, &output, settings, out);
    }
    let source = Source::open(args, settings)?;
    if matches!(source, Source::Nothing) && !args.only_keeps_a_voice() {
        return Err(source::no_text(settings).into());
    }
    let started = Instant::now();
    let studio = Studio::locate(args, settings)?;
    let llm = match source {
        Source::Nothing => None,
        _ => Some(studio.language_model()?),
    };
    let reference = studio.reference(args, llm.is_some())?;
    let reference = reference.as_ref();
    let mut place = studio.place(args, settings, llm.as_ref(), reference)?;
    settings.detail(&place.detail);
    let mut notes = Notes::new(settings);
    // That the CPU listens is said before it does; of a GPU it is not yet known whether it stays.
    if place.name == "cpu" {
        notes.say(&mut place.notes);
    }
    if let Some(reference) = reference {
        notes.say(&mut reference.recording.warnings.clone());
    }
    let mut manner = studio.manner(args, settings, reference, &mut place)?;
    if place.name == "cpu" {
        notes.say(&mut place.notes);
    }
    if let (Some(name), Some(voice)) = (&args.save_voice, manner.voice()) {
        voices::save(name, &voice, &studio.origin(args), settings)?;
    }
    let Some(llm) = llm else { return Ok(()) };
    let sink = AudioSink::open(&output, out, studio.sample_rate(), args.stream)?;
    let (mut speaker, mut of_weights) = studio.load(args, settings, &llm, &mut place)?;
    notes.say(&mut place.notes);
    notes.say(&mut of_weights);
    let mut session = Session {
        args,
        settings,
        sink,
        joiner: Joiner::new(studio.sample_rate()),
        pause: None,
        report: Report::new(args, &studio, started, place.name, notes.said),
        studio: &studio,
        polled: interrupt::Deferred::new(),
    };
    let said = session.say_all(source, &mut speaker, &mut manner);
    session.close(said, &manner)
}

/// What the user is told before anything is spoken.
struct Notes<'a> {
    settings: &'a Settings,
    said: Vec<String>,
}

impl<'a> Notes<'a> {
    fn new(settings: &'a Settings) -> Self {
        Self {
            settings,
            said: Vec::new(),
        }
    }

    /// Says them, and keeps them for the JSON.
    fn say(&mut self, notes: &mut Vec<String>) {
        notes.iter().for_each(|note| self.settings.note(note));
        self.said.append(notes);
    }
}

/// A run from the first piece to the closed file.
struct Session<'a> {
    args: &'a TtsArgs,
    settings: &'a Settings,
    sink: AudioSink<'a>,
    joiner: Joiner,
    /// Samples of silence before the next piece, once there was one.
    pause: Option<usize>,
    report: Report,
    studio: &'a Studio,
    /// Ctrl-C ends the speech, not the program.
    polled: interrupt::Deferred,
}

impl Session<'_> {
    /// True: all that there was; false: Ctrl-C came first.
    fn say_all(
        &mut self,
        mut source: Source,
        speaker: &mut Speaker,
        manner: &mut Manner,
    ) -> anyhow::Result<bool> {
        let options = SayOptions {
            sampling: self.args.sampling(),
            seed: self.report.seed,
            max_tokens: self.args.max_tokens,
            retries: self.args.retries,
            stream: self.args.stream || self.args.play,
        };
        let rate = f64::from(speaker.decoder().sample_rate());
        let mut index = 0;
        while let Some(piece) = source.next(self.settings)? {
            if interrupt::pressed() {
                return Ok(false);
            }
            let unknown = manner.voice().is_none();
            let spoken = self.say(&piece.text, index, speaker, manner, &options)?;
            let interrupted = spoken.interrupted;
            let fatal = spoken.problem.filter(|p| p.is_fatal());
            self.note_problem(index, &spoken);
            if spoken.samples > 0 {
                let paragraph = if piece.paragraph { PARAGRAPH } else { 1.0 };
                self.pause = Some((self.args.pause * paragraph * rate) as usize);
            }
            self.report.pieces.push(spoken);
            if interrupted {
                return Ok(false);
            }
            if unknown {
                match manner.voice() {
                    Some(voice) => self.keep(&voice)?,
                    // Without a voice every later piece would have another one.
                    None => {
                        let problem = fatal.unwrap_or(Problem::NoVoice);
                        return Err(CliError::Failed(format!(
                            "\"{}\" cannot be spoken: {problem}; try another --seed, or --clone a voice",
                            source::start_of(&piece.text)
                        ))
                        .into());
                    }
                }
            }
            index += 1;
        }
        Ok(!interrupt::pressed())
    }

    fn say(
        &mut self,
        text: &str,
        index: usize,
        speaker: &mut Speaker,
        manner: &mut Manner,
        options: &SayOptions,
    ) -> anyhow::Result<Spoken> {
        let mut writer = Writer {
            joiner: &mut self.joiner,
            pause: &mut self.pause,
            sink: &mut self.sink,
            report: &mut self.report,
            settings: self.settings,
            piece: index + 1,
            retries: options.retries,
        };
        let pressed = &interrupt::pressed;
        Ok(speaker.say(text, index, manner, options, pressed, &mut writer)?)
    }

    fn note_problem(&self, index: usize, spoken: &Spoken) {
        let Some(problem) = spoken.problem else {
            return;
        };
        let left_out = match problem.is_fatal() {
            true => "is left out",
            false => "is kept as it is",
        };
        self.settings.note(&format!(
            "piece {} (\"{}\") {left_out}: {problem}",
            index + 1,
            source::start_of(&spoken.text)
        ));
    }

    fn keep(&self, voice: &crate::speech::VoiceTokens) -> anyhow::Result<()> {
        match &self.args.save_voice {
            Some(name) => voices::save(name, voice, &self.studio.origin(self.args), self.settings),
            None => Ok(()),
        }
    }

    /// Writes what was said, whatever became of the rest.
    fn close(mut self, said: anyhow::Result<bool>, manner: &Manner) -> anyhow::Result<()> {
        let interrupted = match &said {
            Ok(all) => !all,
            Err(error) => matches!(
                error.downcast_ref::<SpeechError>(),
                Some(SpeechError::Interrupted)
            ),
        };
        let rest = self.joiner.finish();
        let written = match &said {
            Ok(_) => self.sink.write(&rest).map_err(anyhow::Error::from),
            Err(_) => Ok(()),
        };
        if let Some(file) = &self.args.tokens_out {
            script::save(file, manner.voice(), &self.report.pieces)?;
        }
        if !interrupted {
            said?;
        }
        written?;
        let silent = self.sink.samples() == 0;
        if silent && !interrupted {
            return Err(self.nothing_said());
        }
        let (target, samples) = (self.sink.name(), self.sink.samples());
        if !silent {
            // A closed pipe is what its reader wanted, and no failure of the rest.
            self.sink.finish()?;
        }
        drop(self.polled);
        if interrupted {
            if !silent {
                self.settings.note(&format!(
                    "interrupted; {target} holds the {:.2} s that were spoken",
                    samples as f64 / f64::from(self.report.sample_rate)
                ));
            }
            return Err(CliError::Interrupted.into());
        }
        self.report.finish(&target, samples, self.settings);
        let lost = self.report.left_out();
        if self.settings.json {
            writeln!(std::io::stdout(), "{}", self.report.json(&target, samples))?;
        }
        if self.args.stats {
            self.settings.terminal.note(&self.report.stats(samples));
        }
        match lost {
            0 => Ok(()),
            n => Err(CliError::Failed(format!(
                "{n} of {} pieces could not be spoken; {target} has the others",
                self.report.pieces.len()
            ))
            .into()),
        }
    }

    fn nothing_said(&self) -> anyhow::Error {
        let why = match self.report.pieces.iter().find_map(|p| p.problem) {
            Some(problem) => format!("nothing was spoken: {problem}; try another --seed"),
            None => "the text holds nothing that could be spoken".into(),
        };
        match self.report.pieces.is_empty() {
            true => CliError::Usage(why).into(),
            false => CliError::Failed(why).into(),
        }
    }
}

/// Joins a piece to what was said and writes it.
struct Writer<'a, 'b> {
    joiner: &'a mut Joiner,
    pause: &'a mut Option<usize>,
    sink: &'a mut AudioSink<'b>,
    report: &'a mut Report,
    settings: &'a Settings,
    piece: usize,
    retries: usize,
}

impl Listener for Writer<'_, '_> {
    fn samples(&mut self, samples: &[f32]) -> io::Result<()> {
        self.report.first_audio();
        // A piece that is not spoken leaves no silence either.
        if let Some(pause) = self.pause.take() {
            self.sink.write(&self.joiner.join(pause))?;
        }
        self.sink.write(&self.joiner.push(samples))
    }

    fn again(&mut self, problem: Problem, tries: usize) {
        self.settings.note(&format!(
            "piece {} is tried again ({tries} of {}): {problem}",
            self.piece, self.retries
        ));
    }
}

/// `--tokens FILE.json`: the codec alone.
fn again(
    args: &TtsArgs,
    file: &Path,
    output: &Output,
    settings: &Settings,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let script = Script::read(file, settings)?;
    let studio = Studio::locate(args, settings)?;
    let mut sink = AudioSink::open(output, out, studio.sample_rate(), args.stream)?;
    let mut place = studio.place_codec(settings)?;
    settings.detail(&place.detail);
    let (mut decoder, voice) = place.attempt(Purpose::Codec, &mut |options| {
        let decoder = studio.decoder(args, settings, options)?;
        script.check(file, &decoder)?;
        let voice = decoder.voice(&script.global)?;
        Ok((decoder, voice))
    })?;
    place.notes.iter().for_each(|note| settings.note(note));
    let mut joiner = Joiner::new(decoder.sample_rate());
    let polled = interrupt::Deferred::new();
    let go_on = || !interrupt::pressed();
    let pause = (args.pause * f64::from(decoder.sample_rate())) as usize;
    let mut interrupted = false;
    let spoken = script.pieces.iter().filter(|p| !p.semantic.is_empty());
    for (index, piece) in spoken.enumerate() {
        if index > 0 {
            sink.write(&joiner.join(pause))?;
        }
        let all = 0..piece.semantic.len();
        let Some(samples) = decoder.samples(&voice, &piece.semantic, all, &go_on)? else {
            interrupted = true;
            break;
        };
        sink.write(&joiner.push(&samples))?;
    }
    sink.write(&joiner.finish())?;
    let (target, samples) = (sink.name(), sink.samples());
    if samples > 0 {
        sink.finish()?;
    }
    drop(polled);
    if interrupted {
        return Err(CliError::Interrupted.into());
    }
    if samples == 0 {
        return Err(CliError::Failed(format!(
            "{} holds no semantic tokens to speak",
            file.display()
        ))
        .into());
    }
    report::say_written(&target, samples, decoder.sample_rate(), settings);
    Ok(())
}
