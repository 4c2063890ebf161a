//! `crane show`.

use std::io::Write;
use std::sync::atomic::AtomicBool;

use crate::hub::HubSettings;

#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// Model to show
    #[arg(required = true, value_name = "MODEL")]
    pub model: String,
}

#[allow(clippy::too_many_arguments)] // the signature all store commands share
pub fn run(
    _args: ShowArgs,
    _settings: &HubSettings,
    _json: bool,
    _quiet: bool,
    _verbose: bool,
    _out: &mut dyn Write,
    _err_is_terminal: bool,
    _interrupted: &'static AtomicBool,
) -> anyhow::Result<()> {
    anyhow::bail!("not built yet")
}
