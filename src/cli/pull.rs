//! `crane pull`.

use std::io::Write;
use std::sync::atomic::AtomicBool;

use crate::hub::HubSettings;

#[derive(Debug, clap::Args)]
pub struct PullArgs {
    /// Models to fetch
    #[arg(required = true, value_name = "MODEL")]
    pub models: Vec<String>,
}

#[allow(clippy::too_many_arguments)] // the signature all store commands share
pub fn run(
    _args: PullArgs,
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
