//! The global flags as resolved: flags over environment over defaults.

use crate::hub::HubSettings;
use crate::kernels::CacheType;
use crate::weights::DTypeChoice;

use super::devices::Wanted;
use super::environment;
use super::global::{DeviceChoice, GlobalArgs};
use super::terminal::Terminal;
use super::threads;

/// What every subcommand may ask.
#[derive(Debug, Clone)]
pub struct Settings {
    pub device: DeviceChoice,
    /// Nothing is computed on the CPU in place of a GPU.
    pub require_device: bool,
    pub dtype: DTypeChoice,
    /// None: as the weights suggest.
    pub cache: Option<CacheType>,
    pub threads: usize,
    pub hub: HubSettings,
    pub quiet: bool,
    pub verbose: bool,
    pub json: bool,
    pub terminal: Terminal,
}

impl Settings {
    /// `get` reads an environment variable.
    pub fn resolve(
        args: &GlobalArgs,
        get: &dyn Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            device: args.device,
            require_device: args.require_device,
            dtype: args.dtype.into(),
            cache: args.cache_type,
            threads: args
                .threads
                .map_or_else(threads::default_count, |n| n as usize),
            hub: environment::hub_settings(get, args.cache_dir.as_deref(), args.offline),
            quiet: args.quiet,
            verbose: args.verbose,
            json: args.json,
            terminal: Terminal::detect(args.color, get),
        })
    }

    /// The device that is asked for.
    pub fn wanted(&self) -> Wanted {
        Wanted {
            device: self.device,
            required: self.require_device,
        }
    }

    /// One line on stderr, unless `-q`.
    pub fn note(&self, message: &str) {
        if !self.quiet {
            self.terminal.note(&format!("crane: {message}"));
        }
    }

    /// One line on a terminal, unless `-q`: what takes a while.
    pub fn progress(&self, message: &str) {
        if self.terminal.stderr {
            self.note(message);
        }
    }

    /// One line on stderr with `-v`.
    pub fn detail(&self, message: &str) {
        if self.verbose {
            self.terminal.note(&format!("crane: {message}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn resolve(line: &[&str]) -> Settings {
        let cli = super::super::Cli::try_parse_from(line).unwrap();
        Settings::resolve(&cli.global, &|_| None).unwrap()
    }

    #[test]
    fn defaults_need_no_flag() {
        let settings = resolve(&["crane", "devices"]);
        assert_eq!(settings.device, DeviceChoice::Auto);
        assert_eq!(settings.dtype, DTypeChoice::Auto);
        assert!(settings.threads >= 1);
        assert!(!settings.json && !settings.quiet && !settings.verbose);
    }

    #[test]
    fn flags_win() {
        let settings = resolve(&[
            "crane",
            "--cache-dir",
            "/somewhere",
            "devices",
            "--dtype",
            "bf16",
            "-t",
            "3",
            "--offline",
            "--json",
            "--require-device",
        ]);
        assert!(settings.wanted().required);
        assert_eq!(settings.dtype, DTypeChoice::BF16);
        assert_eq!(settings.threads, 3);
        assert!(settings.hub.offline && settings.json);
        assert_eq!(
            settings.hub.cache_dir,
            std::path::PathBuf::from("/somewhere")
        );
    }
}
