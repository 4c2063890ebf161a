//! `crane list`, `crane rm` and `crane verify`.

use std::io::Write;
use std::sync::atomic::AtomicBool;

use crate::hub::HubSettings;

#[derive(Debug, clap::Args)]
pub struct ListArgs {}

#[derive(Debug, clap::Args)]
pub struct RmArgs {
    /// Model to remove
    #[arg(value_name = "MODEL")]
    pub model: String,
}

#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// Model to check
    #[arg(value_name = "MODEL")]
    pub model: String,
}

macro_rules! later {
    ($name:ident, $args:ty) => {
        #[allow(clippy::too_many_arguments)] // the signature all store commands share
        pub fn $name(
            _args: $args,
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
    };
}

later!(list, ListArgs);
later!(rm, RmArgs);
later!(verify, VerifyArgs);
