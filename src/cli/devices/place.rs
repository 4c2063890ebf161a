//! Where a model's weights go.

#[cfg(feature = "cuda")]
use std::sync::Arc;

#[cfg(feature = "cuda")]
use super::pick::Picked;
use super::pick::Wanted;
use crate::cli::global::DeviceChoice;
#[cfg(feature = "cuda")]
use crate::kernels::cuda::Gpu;
use crate::models::ModelError;
#[cfg(feature = "cuda")]
use crate::weights::WeightsError;
use crate::weights::{LoadOptions, Loader};

/// Where a model goes.
pub struct Place {
    pub(super) wanted: Wanted,
    /// As `--device` spells it.
    pub name: String,
    /// Its device, and all else as asked for.
    pub options: LoadOptions,
    /// What the user should know of the choice.
    pub notes: Vec<String>,
    /// What was weighed, for `-v`.
    pub detail: String,
    /// Whether there is room only once what is going to be freed is free.
    pub crowded: bool,
}

impl Place {
    /// On a GPU.
    #[cfg(feature = "cuda")]
    pub(super) fn on_gpu(
        picked: &Picked,
        gpu: &Arc<Gpu>,
        options: LoadOptions,
        detail: String,
    ) -> Self {
        Self {
            wanted: picked.wanted,
            name: picked.name.clone(),
            options: LoadOptions {
                gpu: Some(Arc::clone(gpu)),
                ..options
            },
            notes: Vec::new(),
            detail,
            crowded: false,
        }
    }

    /// On the CPU in place of a GPU, as `note` says.
    #[cfg(feature = "cuda")]
    pub(super) fn on_cpu(wanted: Wanted, options: LoadOptions, note: String) -> Self {
        Self {
            wanted,
            name: "cpu".into(),
            options: LoadOptions {
                gpu: None,
                ..options
            },
            notes: vec![note],
            detail: "computing on cpu".into(),
            crowded: false,
        }
    }

    /// Loads by `load`, to here as `loader` does; where a GPU that `auto` has taken fails at it, once more, to the CPU.
    ///
    /// # Errors
    /// Those of `load`.
    pub fn load<T>(
        &mut self,
        loader: &Loader,
        load: &dyn Fn(&Loader) -> Result<T, ModelError>,
    ) -> anyhow::Result<T> {
        let error = match load(loader) {
            Ok(loaded) => return Ok(loaded),
            Err(error) => error,
        };
        if self.wanted.device != DeviceChoice::Auto || !is_of_gpu(&error) {
            return Err(error.into());
        }
        let why = format!("{} cannot load the model ({error})", self.name);
        self.notes = vec![self.wanted.fall_back(&why)?];
        self.name = "cpu".into();
        #[cfg(feature = "cuda")]
        {
            self.options.gpu = None;
        }
        Ok(load(&Loader::new(loader.checkpoint(), &self.options)?)?)
    }
}

/// Whether it is the GPU that failed, and not the model.
fn is_of_gpu(error: &ModelError) -> bool {
    #[cfg(feature = "cuda")]
    return matches!(
        error,
        ModelError::Gpu(_) | ModelError::Weights(WeightsError::Gpu(_))
    );
    #[cfg(not(feature = "cuda"))]
    {
        let _ = error;
        false
    }
}
