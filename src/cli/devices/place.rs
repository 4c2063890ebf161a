//! Where a model's weights go.

#[cfg(feature = "cuda")]
use std::sync::Arc;

#[cfg(feature = "cuda")]
use super::failure;
#[cfg(feature = "cuda")]
use super::pick::Picked;
use super::pick::Wanted;
use super::purpose::Purpose;
#[cfg(feature = "cuda")]
use crate::cli::exit::CliError;
#[cfg(feature = "cuda")]
use crate::cli::global::DeviceChoice;
#[cfg(feature = "cuda")]
use crate::kernels::cuda::Gpu;
use crate::weights::LoadOptions;

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

    /// Does `work` here; where a GPU that `auto` has taken fails at it, once more on the CPU, which is taken from then on.
    ///
    /// # Errors
    /// Those of `work`, and of [`Place::leave`].
    pub fn attempt<T>(
        &mut self,
        purpose: Purpose,
        work: &mut dyn FnMut(&LoadOptions) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let done = work(&self.options).and_then(|done| self.settled().map(|()| done));
        match done {
            Ok(done) => Ok(done),
            Err(error) => {
                self.leave(purpose, error)?;
                work(&self.options)
            }
        }
    }

    /// Waits for a GPU: what fails there may be known only later.
    ///
    /// # Errors
    /// Whatever failed.
    pub fn settled(&self) -> anyhow::Result<()> {
        #[cfg(feature = "cuda")]
        if let Some(gpu) = &self.options.gpu {
            gpu.synchronize()?;
        }
        Ok(())
    }

    /// Takes the CPU where it is a GPU that `error` is about, and `auto` has taken it; a note says why.
    ///
    /// # Errors
    /// `error`, where the GPU is not left; with what helps where it has no room for `purpose`.
    #[cfg(feature = "cuda")]
    pub fn leave(&mut self, purpose: Purpose, error: anyhow::Error) -> anyhow::Result<()> {
        let failed = failure::of_gpu(&error).filter(|_| self.options.gpu.is_some());
        let Some(failed) = failed else {
            return Err(error);
        };
        let named = self.wanted.device != DeviceChoice::Auto;
        let stays = named && !self.wanted.required;
        // What the error itself says would help is for a language model and its images.
        let own = matches!(purpose, Purpose::Model | Purpose::Images);
        let full = (!own && failed.is_memory()).then(|| purpose.advised(&failed.plain(), stays));
        if stays {
            return Err(match full {
                Some(why) => CliError::TooLarge(why).into(),
                None => error,
            });
        }
        let why = full.unwrap_or_else(|| failed.to_string());
        let why = format!("{} cannot {} ({why})", self.name, purpose.act());
        self.notes = vec![self.wanted.fall_back(&why)?];
        self.name = "cpu".into();
        self.options.gpu = None;
        Ok(())
    }

    /// No other device is left.
    ///
    /// # Errors
    /// `error`.
    #[cfg(not(feature = "cuda"))]
    pub fn leave(&mut self, _: Purpose, error: anyhow::Error) -> anyhow::Result<()> {
        let _ = self.wanted;
        Err(error)
    }
}
