//! `crane completions` and `crane man`, made from the command line's own definition.

use std::io::Write;

use clap_complete::Shell;
use clap_mangen::Man;

#[derive(Debug, Clone, clap::Args)]
pub struct CompletionsArgs {
    /// Shell to print the script for
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// `crane completions SHELL`.
pub fn run(args: &CompletionsArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "crane", &mut script);
    out.write_all(&script)?;
    Ok(())
}

/// One page: the root's sections, then one for each subcommand with its own flags.
pub fn man(out: &mut dyn Write) -> anyhow::Result<()> {
    let root = super::command();
    let page = Man::new(root.clone());
    let mut roff = Vec::new();
    page.render_title(&mut roff)?;
    page.render_name_section(&mut roff)?;
    page.render_synopsis_section(&mut roff)?;
    page.render_description_section(&mut roff)?;
    page.render_options_section(&mut roff)?;
    for sub in root.get_subcommands() {
        // Not built as a part of the root, it does not repeat the global options.
        let name = format!("crane {}", sub.get_name());
        let page = Man::new(sub.clone().bin_name(name.clone()));
        let mut part = Vec::new();
        page.render_synopsis_section(&mut part)?;
        page.render_description_section(&mut part)?;
        page.render_options_section(&mut part)?;
        let part = String::from_utf8(part)?.replace(".SH ", ".SS ");
        write!(roff, ".SH \"{}\"\n{part}", name.to_uppercase())?;
    }
    page.render_extra_section(&mut roff)?;
    page.render_version_section(&mut roff)?;
    out.write_all(&roff)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn every_shell_gets_a_script() {
        for shell in Shell::value_variants() {
            let mut out = Vec::new();
            run(&CompletionsArgs { shell: *shell }, &mut out).unwrap();
            let script = String::from_utf8(out).unwrap();
            assert!(
                script.contains("score") && script.contains("top-p"),
                "{shell}"
            );
        }
    }

    #[test]
    fn the_manual_names_the_exit_codes() {
        let mut out = Vec::new();
        man(&mut out).unwrap();
        let page = String::from_utf8(out).unwrap();
        assert!(
            page.starts_with(".ie") || page.contains(".TH"),
            "{page:.80}"
        );
        assert!(page.contains("141"));
    }
}
