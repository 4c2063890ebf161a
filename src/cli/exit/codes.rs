//! Which exit code each kind of error gets.

use std::io;

use super::{
    CliError, CLOSED_PIPE, CONDITION, CORRUPT, FAILED, INTERRUPTED, MISSING, NETWORK, TOO_LARGE,
    USAGE,
};
use crate::audio::AudioError;
use crate::bench::BenchError;
use crate::generate::{ConstraintError, GenerateError};
use crate::hub::HubError;
use crate::image::{ImageError, ProcessorError};
#[cfg(feature = "cuda")]
use crate::kernels::cuda::GpuError;
use crate::models::ModelError;
use crate::speech::SpeechError;
use crate::text::TextError;
use crate::vision::VisionError;
use crate::weights::WeightsError;

/// The code of one cause, if it has one.
pub(super) fn of(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if let Some(error) = cause.downcast_ref::<CliError>() {
        return Some(cli_code(error));
    }
    if let Some(error) = cause.downcast_ref::<HubError>() {
        return Some(hub_code(error));
    }
    if let Some(error) = cause.downcast_ref::<GenerateError>() {
        return Some(generate_code(error));
    }
    if let Some(error) = cause.downcast_ref::<ConstraintError>() {
        return Some(constraint_code(error));
    }
    if let Some(error) = cause.downcast_ref::<ModelError>() {
        return Some(model_code(error));
    }
    if let Some(error) = cause.downcast_ref::<WeightsError>() {
        return Some(weights_code(error));
    }
    #[cfg(feature = "cuda")]
    if let Some(error) = cause.downcast_ref::<GpuError>() {
        return Some(gpu_code(error));
    }
    if let Some(error) = cause.downcast_ref::<ImageError>() {
        return Some(image_code(error));
    }
    if let Some(error) = cause.downcast_ref::<VisionError>() {
        return Some(vision_code(error));
    }
    if let Some(error) = cause.downcast_ref::<BenchError>() {
        return Some(bench_code(error));
    }
    if let Some(error) = cause.downcast_ref::<TextError>() {
        return Some(text_code(error));
    }
    if let Some(error) = cause.downcast_ref::<SpeechError>() {
        return Some(speech_code(error));
    }
    if let Some(error) = cause.downcast_ref::<AudioError>() {
        return Some(audio_code(error));
    }
    cause.downcast_ref::<io::Error>().map(io_code)
}

fn cli_code(error: &CliError) -> u8 {
    match error {
        CliError::Usage(_) => USAGE,
        CliError::Missing(_) => MISSING,
        CliError::TooLarge(_) | CliError::Required(_) => TOO_LARGE,
        CliError::Corrupt(_) => CORRUPT,
        CliError::Condition(_) => CONDITION,
        CliError::Device(_) | CliError::Failed(_) => FAILED,
        CliError::Interrupted => INTERRUPTED,
    }
}

fn hub_code(error: &HubError) -> u8 {
    match error {
        HubError::BadReference(_) => USAGE,
        HubError::NotFound(_) => MISSING,
        HubError::Network(_) => NETWORK,
        HubError::NoSpace(_) => TOO_LARGE,
        HubError::Corrupt(_) => CORRUPT,
        HubError::Interrupted => INTERRUPTED,
        HubError::Io { source, .. } => file_code(source),
    }
}

fn generate_code(error: &GenerateError) -> u8 {
    match error {
        GenerateError::Model(error) => model_code(error),
        GenerateError::Text(error) => text_code(error),
        GenerateError::Constraint(error) => constraint_code(error),
        GenerateError::BadLogits { .. } => FAILED,
        GenerateError::EmptyPrompt | GenerateError::NothingToScore { .. } => USAGE,
        GenerateError::ContextFull { .. } => TOO_LARGE,
    }
}

fn constraint_code(error: &ConstraintError) -> u8 {
    match error {
        ConstraintError::DeadEnd | ConstraintError::TooComplex(_) => FAILED,
        _ => USAGE,
    }
}

fn model_code(error: &ModelError) -> u8 {
    match error {
        ModelError::UnknownArchitecture { .. } => FAILED,
        ModelError::Config { .. } => CORRUPT,
        ModelError::ContextFull { .. } | ModelError::ContextSize { .. } => TOO_LARGE,
        ModelError::Weights(error) => weights_code(error),
        #[cfg(feature = "cuda")]
        ModelError::Gpu(error) => gpu_code(error),
        ModelError::Compute(_)
        | ModelError::NoTokens
        | ModelError::Released
        | ModelError::Tokens(_) => FAILED,
    }
}

fn weights_code(error: &WeightsError) -> u8 {
    match error {
        WeightsError::Corrupt { .. } => CORRUPT,
        WeightsError::Missing { .. } => MISSING,
        WeightsError::Unsupported { .. } => FAILED,
        WeightsError::Io { source, .. } => file_code(source),
        #[cfg(feature = "cuda")]
        WeightsError::Gpu(error) => gpu_code(error),
        WeightsError::Compute(_) => FAILED,
    }
}

#[cfg(feature = "cuda")]
fn gpu_code(error: &GpuError) -> u8 {
    match error.is_memory() {
        true => TOO_LARGE,
        false => FAILED,
    }
}

fn image_code(error: &ImageError) -> u8 {
    match error {
        ImageError::Missing { .. } => MISSING,
        ImageError::Io { source, .. } => file_code(source),
        ImageError::Name { .. } => USAGE,
        ImageError::Corrupt { .. } => CORRUPT,
        ImageError::TooLarge { .. } | ImageError::TooLong { .. } => TOO_LARGE,
        ImageError::Unsupported { .. } => FAILED,
    }
}

fn vision_code(error: &VisionError) -> u8 {
    match error {
        VisionError::Image(error) => image_code(error),
        VisionError::Processor(ProcessorError::Config { .. }) => CORRUPT,
        VisionError::Processor(ProcessorError::Picture { source, .. })
            if matches!(**source, ProcessorError::Memory { .. }) =>
        {
            TOO_LARGE
        }
        VisionError::Processor(_) => FAILED,
        VisionError::Model(error) => model_code(error),
        VisionError::Weights(error) => weights_code(error),
        VisionError::Text(error) => text_code(error),
        VisionError::NoProjector { .. } => MISSING,
        VisionError::Width { .. } => CORRUPT,
        VisionError::Context { .. } => TOO_LARGE,
        VisionError::TextOnly(_) | VisionError::Places { .. } => FAILED,
    }
}

fn bench_code(error: &BenchError) -> u8 {
    match error {
        BenchError::Context { .. } | BenchError::Memory { .. } | BenchError::Buffer { .. } => {
            TOO_LARGE
        }
        BenchError::Width { .. }
        | BenchError::Threads { .. }
        | BenchError::Cache { .. }
        | BenchError::NoImage => FAILED,
        BenchError::NoListener => MISSING,
        BenchError::Widths { .. } => CORRUPT,
        BenchError::ShortText { .. } => USAGE,
        BenchError::Model(error) => model_code(error),
        BenchError::Weights(error) => weights_code(error),
        BenchError::Vision(error) => vision_code(error),
        BenchError::Text(error) => text_code(error),
        BenchError::Generate(error) => generate_code(error),
        BenchError::Interrupted => INTERRUPTED,
    }
}

fn text_code(error: &TextError) -> u8 {
    match error {
        TextError::Tokenizer { .. } => CORRUPT,
        TextError::NoTokenizer { .. } => MISSING,
        TextError::Template { .. } => FAILED,
        TextError::NoTemplate { .. } => USAGE,
    }
}

fn speech_code(error: &SpeechError) -> u8 {
    match error {
        SpeechError::Audio(error) => audio_code(error),
        SpeechError::Model(error) => model_code(error),
        SpeechError::Weights(error) => weights_code(error),
        SpeechError::Generate(error) => generate_code(error),
        SpeechError::Text(error) => text_code(error),
        SpeechError::Voice(_) => CORRUPT,
        SpeechError::Context { .. } => TOO_LARGE,
        SpeechError::Io(error) => io_code(error),
        SpeechError::Interrupted => INTERRUPTED,
    }
}

fn audio_code(error: &AudioError) -> u8 {
    match error {
        AudioError::Missing { .. } => MISSING,
        AudioError::Io { source, .. } => file_code(source),
        AudioError::Corrupt { .. } => CORRUPT,
        AudioError::TooLong { .. } => TOO_LARGE,
        AudioError::Unsupported { .. }
        | AudioError::Rate { .. }
        | AudioError::TooShort { .. }
        | AudioError::Silent { .. } => FAILED,
    }
}

/// A bare io error comes from stdout or from a file that the user named.
fn io_code(error: &io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::BrokenPipe => CLOSED_PIPE,
        _ => file_code(error),
    }
}

fn file_code(error: &io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::NotFound => MISSING,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::OutOfMemory => {
            TOO_LARGE
        }
        _ => FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::super::code;
    #[cfg(feature = "cuda")]
    use super::super::message;
    use super::*;

    fn code_of(error: impl Into<anyhow::Error>) -> u8 {
        code(&error.into())
    }

    fn io_error(kind: io::ErrorKind) -> io::Error {
        io::Error::new(kind, "text")
    }

    #[test]
    fn every_kind_of_error_has_its_code() {
        assert_eq!(code_of(CliError::Usage("x".into())), 2);
        assert_eq!(code_of(CliError::Interrupted), 130);
        assert_eq!(code_of(CliError::Condition("x".into())), 7);
        assert_eq!(code_of(CliError::Device("x".into())), 1);
        assert_eq!(code_of(CliError::Required("x".into())), 5);
        assert_eq!(code_of(HubError::BadReference("x".into())), 2);
        assert_eq!(code_of(HubError::NotFound("x".into())), 3);
        assert_eq!(code_of(HubError::Network("x".into())), 4);
        assert_eq!(code_of(HubError::NoSpace("x".into())), 5);
        assert_eq!(code_of(HubError::Corrupt("x".into())), 6);
        assert_eq!(code_of(HubError::Interrupted), 130);
        assert_eq!(
            code_of(GenerateError::ContextFull {
                needed: 2,
                limit: 1
            }),
            5
        );
        assert_eq!(
            code_of(TextError::NoTemplate { file: "x".into() }),
            USAGE,
            "the remedy is another flag"
        );
        assert_eq!(
            code_of(BenchError::Context {
                test: "pp9".into(),
                needed: 9,
                limit: 8
            }),
            5
        );
        assert_eq!(code_of(anyhow::anyhow!("anything")), 1);
    }

    #[test]
    #[cfg(feature = "cuda")]
    fn a_gpu_without_room_is_5_and_one_that_fails_is_1_wherever_it_happens() {
        let full = || GpuError::OutOfMemory {
            asked: 3,
            free: 2,
            total: 4,
        };
        let driver = || GpuError::NoMemory { call: "a call" };
        let failed = || GpuError::Failed {
            call: "a call",
            reason: "a reason".into(),
        };
        for (error, expected) in [(full(), 5), (driver(), 5), (failed(), 1)] {
            let in_model = ModelError::Gpu(error.clone());
            let in_weights = WeightsError::Gpu(error.clone());
            assert_eq!(code_of(error), expected);
            assert_eq!(code_of(GenerateError::Model(in_model)), expected);
            assert_eq!(code_of(ModelError::Weights(in_weights)), expected);
        }
        let speech = SpeechError::Generate(GenerateError::Model(ModelError::Gpu(full())));
        assert_eq!(code_of(speech), 5);
        let bench = BenchError::Model(ModelError::Gpu(failed()));
        assert_eq!(code_of(bench), 1);
        let line = message(&GenerateError::Model(ModelError::Gpu(full())).into());
        assert!(
            line.contains("2 of 4 MiB") && line.contains("--ctx-size"),
            "{line}"
        );
        assert_eq!(line.lines().count(), 1);
    }

    #[test]
    fn the_code_is_found_through_contexts_and_wrapped_errors() {
        let corrupt = WeightsError::Corrupt {
            file: "a.gguf".into(),
            reason: "cut short".into(),
        };
        let wrapped = anyhow::Error::from(GenerateError::Model(ModelError::Weights(corrupt)))
            .context("while loading");
        assert_eq!(code(&wrapped), 6);
    }

    #[test]
    fn only_stdout_ends_quietly_on_a_broken_pipe() {
        assert_eq!(code_of(io_error(io::ErrorKind::BrokenPipe)), 141);
        assert_eq!(
            code_of(HubError::Io {
                context: "connection".into(),
                source: io_error(io::ErrorKind::BrokenPipe)
            }),
            1
        );
        assert_eq!(code_of(io_error(io::ErrorKind::NotFound)), 3);
        assert_eq!(code_of(io_error(io::ErrorKind::StorageFull)), 5);
    }
}
