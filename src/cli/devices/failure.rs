//! Whether it is a GPU that failed, and not a model or a file.

use std::error::Error;

use crate::bench::BenchError;
use crate::generate::GenerateError;
use crate::kernels::cuda::GpuError;
use crate::models::ModelError;
use crate::speech::SpeechError;
use crate::vision::VisionError;
use crate::weights::WeightsError;

/// What failed on a GPU, if that is what `error` is about.
pub(super) fn of_gpu(error: &anyhow::Error) -> Option<&GpuError> {
    error.chain().find_map(of_cause)
}

/// A transparent error gives its cause's own causes alone, so that each kind is looked into.
fn of_cause<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a GpuError> {
    if let Some(error) = cause.downcast_ref::<ModelError>() {
        return of_model(error);
    }
    if let Some(error) = cause.downcast_ref::<WeightsError>() {
        return of_weights(error);
    }
    if let Some(error) = cause.downcast_ref::<SpeechError>() {
        return match error {
            SpeechError::Model(error) => of_model(error),
            SpeechError::Weights(error) => of_weights(error),
            _ => None,
        };
    }
    if let Some(error) = cause.downcast_ref::<VisionError>() {
        return of_vision(error);
    }
    if let Some(error) = cause.downcast_ref::<BenchError>() {
        return match error {
            BenchError::Model(error) => of_model(error),
            BenchError::Weights(error) => of_weights(error),
            BenchError::Vision(error) => of_vision(error),
            BenchError::Generate(GenerateError::Model(error)) => of_model(error),
            _ => None,
        };
    }
    cause.downcast_ref()
}

fn of_model(error: &ModelError) -> Option<&GpuError> {
    match error {
        ModelError::Gpu(error) => Some(error),
        ModelError::Weights(error) => of_weights(error),
        _ => None,
    }
}

fn of_weights(error: &WeightsError) -> Option<&GpuError> {
    match error {
        WeightsError::Gpu(error) => Some(error),
        _ => None,
    }
}

fn of_vision(error: &VisionError) -> Option<&GpuError> {
    match error {
        VisionError::Model(error) => of_model(error),
        VisionError::Weights(error) => of_weights(error),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_gpu_is_found_behind_every_error() {
        let gpu = || GpuError::NoMemory { call: "cuMemAlloc" };
        let model = || ModelError::Weights(WeightsError::Gpu(gpu()));
        let errors: [anyhow::Error; 7] = [
            gpu().into(),
            model().into(),
            WeightsError::Gpu(gpu()).into(),
            SpeechError::Model(gpu().into()).into(),
            VisionError::Model(model()).into(),
            BenchError::Vision(VisionError::Model(model())).into(),
            BenchError::Generate(GenerateError::Model(model())).into(),
        ];
        for error in errors {
            assert!(of_gpu(&error).is_some(), "{error:?}");
        }
        let told = Err::<(), _>(model()).context("loading").unwrap_err();
        assert!(of_gpu(&told).is_some());
        assert!(of_gpu(&ModelError::NoTokens.into()).is_none());
    }
}
