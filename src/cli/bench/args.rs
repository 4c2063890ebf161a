//! The flags of `crane bench`.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};

use super::work::Source;
use crate::bench::gate::Gate;
use crate::bench::{self, synthetic, Test};
use crate::cli::exit::CliError;
use crate::cli::global::{DTypeArg, DeviceChoice, QuantArg};

/// `device`, `dtype` and `threads` are the global flags under their own names and with their own types: here they take
/// lists, and the rest of the command line sees the first value.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// Aliases, org/repo, folders or .gguf files [default: --synthetic qwen2.5-0.5b; with --task tts spark-tts-0.5b with
    /// seeded weights; with --task vision --synthetic namo-500m]
    #[arg(value_name = "MODEL")]
    pub models: Vec<String>,
    /// What the models do. tts measures the language model, the codec, both, and what cloning a voice does first; vision
    /// the encoding of a picture, and the language model with it in the prompt
    #[arg(long, value_name = "TASK", default_value = "text")]
    pub task: BenchTask,
    /// A model of the catalogue with seeded weights instead of its own: nothing is downloaded, and the speed is the same
    #[arg(long, value_name = "NAME", value_delimiter = ',', ignore_case = true,
          value_parser = PossibleValuesParser::new([synthetic::names(), bench::vision::names()].concat()))]
    pub synthetic: Vec<String>,
    /// With --task vision, width and height of the picture [default: 1024x768]
    #[arg(long, value_name = "WxH", value_parser = size)]
    pub image_size: Option<[usize; 2]>,
    /// With --task vision, leave the language model out
    #[arg(long)]
    pub encoder_only: bool,
    /// Tokens of a prompt, in one pass; 0 leaves the test out [default: 512]
    #[arg(short = 'p', long, value_name = "N", value_delimiter = ',')]
    pub n_prompt: Vec<u32>,
    /// Tokens generated one by one; 0 leaves the test out [default: 128]
    #[arg(short = 'n', long, value_name = "N", value_delimiter = ',')]
    pub n_gen: Vec<u32>,
    /// A prompt and what is generated after it, together (repeatable)
    #[arg(long, value_name = "P,N", value_parser = pair)]
    pub pg: Vec<(usize, usize)>,
    /// Tokens that are in the cache before each test [default: 0]
    #[arg(short = 'd', long, value_name = "N", value_delimiter = ',')]
    pub n_depth: Vec<u32>,
    /// Sequences that are generated together, as the answers of 'crane run --batch'; speeds are those of all of them.
    /// Their prompts are read one after the other, so that a prompt alone is measured once [default: 1]
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=256))]
    pub parallel: Vec<u32>,
    /// Threads [default: the physical cores this process may use]
    #[arg(short, long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Vec<u32>,
    /// Times that each test is repeated, in turn with the others, after one to warm up
    #[arg(short, long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub repetitions: u32,
    /// Number types; auto keeps what the file stores. A quantised model is measured once, whatever stands here
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    pub dtype: Vec<DTypeArg>,
    /// Quantise at load; q4_k_m is the mix of llama.cpp's files of that name
    #[arg(
        long,
        value_name = "FORMAT",
        value_delimiter = ',',
        default_value = "none"
    )]
    pub quant: Vec<QuantArg>,
    /// Where to compute: auto, cpu, cuda, cuda:N or metal
    #[arg(long, value_name = "DEVICE", value_delimiter = ',')]
    pub device: Vec<DeviceChoice>,
    /// Shape of the output; --json alone is --format json
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Shape>,
    /// Keep the result under a name, for --compare
    #[arg(long, value_name = "NAME")]
    pub save: Option<String>,
    /// Ratios to a saved result, or to a file of --format json
    #[arg(long, value_name = "NAME|FILE", value_hint = clap::ValueHint::FilePath)]
    pub compare: Option<String>,
    /// Exit with 7 if this is so: decode, prefill, ttft, load, memory, nll or kl; '<' or '>'; a number or a change in
    /// percent against --compare, as in 'decode<-5%' (repeatable)
    #[arg(long, value_name = "CONDITION", allow_hyphen_values = true)]
    pub fail_if: Vec<Gate>,
    /// Also say how likely the model finds this text, and how far it is from itself in f32
    #[arg(long, value_name = "TEXTFILE", value_hint = clap::ValueHint::FilePath)]
    pub quality: Option<PathBuf>,
}

/// `--task`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BenchTask {
    /// Language models
    Text,
    /// Models that speak
    Tts,
    /// Models that read images
    Vision,
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// A Markdown table
    Md,
    /// Comma-separated values
    Csv,
    /// An array of objects, one on each line
    Json,
}

impl BenchArgs {
    /// The size of the process's thread pools: the largest count asked for, or `default`.
    pub fn most_threads(&self, default: usize) -> usize {
        let most = self.threads.iter().max();
        most.map_or(default, |&n| n as usize)
    }

    /// Each count once, as far as there are threads, `most`; `default` where none was given.
    pub(super) fn thread_counts(&self, default: usize, most: usize) -> Vec<usize> {
        let mut counts: Vec<usize> = Vec::new();
        for count in self.threads.iter().map(|&n| (n as usize).min(most)) {
            if !counts.contains(&count) {
                counts.push(count);
            }
        }
        match counts.is_empty() {
            true => vec![default.min(most)],
            false => counts,
        }
    }

    /// Refuses the flags that `task` does not take.
    pub(super) fn refuse_other_flags(&self, task: BenchTask) -> Result<(), CliError> {
        let is = |wanted: BenchTask| task == wanted;
        let known = match task {
            BenchTask::Text => synthetic::names(),
            BenchTask::Tts => Vec::new(),
            BenchTask::Vision => bench::vision::names(),
        };
        let unknown = |name: &&String| !known.iter().any(|known| known.eq_ignore_ascii_case(name));
        let stranger = self.synthetic.iter().find(unknown);
        let flags = [
            (
                "--n-prompt",
                !is(BenchTask::Text) && !self.n_prompt.is_empty(),
            ),
            ("--n-gen", !is(BenchTask::Text) && !self.n_gen.is_empty()),
            (
                "--n-depth",
                !is(BenchTask::Text) && !self.n_depth.is_empty(),
            ),
            (
                "--parallel",
                !is(BenchTask::Text) && !self.parallel.is_empty(),
            ),
            ("--pg", !is(BenchTask::Text) && !self.pg.is_empty()),
            ("--quality", !is(BenchTask::Text) && self.quality.is_some()),
            ("--save", !is(BenchTask::Text) && self.save.is_some()),
            ("--compare", !is(BenchTask::Text) && self.compare.is_some()),
            (
                "--fail-if",
                !is(BenchTask::Text) && !self.fail_if.is_empty(),
            ),
            (
                "--image-size",
                !is(BenchTask::Vision) && self.image_size.is_some(),
            ),
            (
                "--encoder-only",
                !is(BenchTask::Vision) && self.encoder_only,
            ),
        ];
        let task = ValueEnum::to_possible_value(&task);
        let task = task.as_ref().map_or("", |value| value.get_name());
        if let Some((flag, _)) = flags.iter().find(|(_, refused)| *refused) {
            return Err(CliError::Usage(format!(
                "'crane bench --task {task}' does not take {flag}"
            )));
        }
        match stranger {
            Some(name) => Err(CliError::Usage(format!(
                "'crane bench --task {task}' does not take --synthetic {name}{}",
                match known.is_empty() {
                    true => String::new(),
                    false => format!("; it knows {}", known.join(", ")),
                }
            ))),
            None => Ok(()),
        }
    }

    pub(super) fn tests(&self) -> Vec<Test> {
        let sizes = |list: &[u32], default: usize| match list {
            [] => vec![default],
            list => list.iter().map(|&n| n as usize).collect(),
        };
        bench::tests(
            &sizes(&self.n_prompt, 512),
            &sizes(&self.n_gen, 128),
            &self.pg,
            &sizes(&self.n_depth, 0),
            &sizes(&self.parallel, 1),
        )
    }

    /// Number type and quantisation of each configuration. Quantised weights are multiplied in f32 whatever `--dtype`
    /// says, so they come once.
    pub(super) fn formats(&self) -> Vec<(DTypeArg, QuantArg)> {
        let mut all = Vec::new();
        for &quant in &self.quant {
            for &dtype in &self.dtype {
                let format = match quant {
                    QuantArg::None => (dtype, quant),
                    _ => (DTypeArg::Auto, quant),
                };
                if !all.contains(&format) {
                    all.push(format);
                }
            }
        }
        all
    }

    pub(super) fn sources(&self) -> Vec<Source> {
        let named = self.models.iter().cloned().map(Source::Named);
        let synthetic = self.synthetic.iter().cloned().map(Source::Synthetic);
        let all: Vec<Source> = named.chain(synthetic).collect();
        match all.is_empty() {
            true => vec![Source::Synthetic(synthetic::DEFAULT.into())],
            false => all,
        }
    }
}

fn pair(typed: &str) -> Result<(usize, usize), String> {
    let number = |text: &str| text.trim().parse::<u32>().ok().map(|n| n as usize);
    typed
        .split_once(',')
        .and_then(|(p, n)| Some((number(p)?, number(n)?)))
        .ok_or_else(|| "two numbers are meant, such as 512,128".to_string())
}

fn size(typed: &str) -> Result<[usize; 2], String> {
    let side = |text: &str| text.parse().ok().filter(|n| (1..=16_384).contains(n));
    typed
        .split_once(['x', 'X'])
        .and_then(|(width, height)| Some([side(width)?, side(height)?]))
        .ok_or_else(|| "width and height from 1 to 16384 are meant, such as 1024x768".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn parse(line: &str) -> Result<(Cli, BenchArgs), clap::Error> {
        let cli = Cli::try_parse_from(line.split(' '))?;
        match &cli.command {
            Command::Bench(args) => {
                let args = args.clone();
                Ok((cli, args))
            }
            other => panic!("{other:?} is not bench"),
        }
    }

    #[test]
    fn global_flags_take_lists_here_and_here_alone() {
        let (cli, args) = parse("crane bench --dtype f16,bf16 -t 1,2 --device cpu,cuda:1").unwrap();
        assert_eq!(args.dtype, [DTypeArg::F16, DTypeArg::Bf16]);
        assert_eq!(args.threads, [1, 2]);
        assert_eq!(args.device, [DeviceChoice::Cpu, DeviceChoice::Cuda(1)]);
        assert_eq!(cli.global.dtype, DTypeArg::F16, "the first value");
        assert_eq!((args.most_threads(9), cli.global.threads), (2, Some(1)));
        assert_eq!(args.thread_counts(9, 8), [1, 2]);
        let (_, many) = parse("crane bench -t 1,16,99").unwrap();
        assert_eq!(many.thread_counts(2, 8), [1, 8]);
        for line in [
            "crane run m hi -t 1,2",
            "crane run m hi --dtype f32,f16",
            "crane run m hi --device cpu,cuda",
            "crane bench -t 0",
            "crane bench -t 1,x",
            "crane bench --dtype f8",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn flags_before_the_subcommand_reach_it() {
        let (_, args) = parse("crane --dtype f16 -t 3 bench").unwrap();
        assert_eq!((args.dtype, args.threads), (vec![DTypeArg::F16], vec![3]));
    }

    #[test]
    fn defaults_are_llama_benchs() {
        let (_, args) = parse("crane bench").unwrap();
        let names: Vec<String> = args.tests().iter().map(Test::to_string).collect();
        assert_eq!(
            (names, args.repetitions),
            (vec!["pp512".into(), "tg128".into()], 5)
        );
        assert_eq!(args.dtype, [DTypeArg::Auto]);
        assert_eq!(args.device, [DeviceChoice::Auto]);
        assert_eq!(args.most_threads(9), 9);
        let sources = args.sources();
        assert!(
            matches!(sources.as_slice(), [Source::Synthetic(name)] if name == synthetic::DEFAULT)
        );
    }

    #[test]
    fn lists_may_be_repeated() {
        let (_, args) =
            parse("crane bench a b -p 8 -p 16,32 -n 0 -d 0,64 --pg 4,2 --pg 8,1").unwrap();
        assert_eq!(args.models, ["a", "b"]);
        assert_eq!(args.n_prompt, [8, 16, 32]);
        assert_eq!(args.pg, [(4, 2), (8, 1)]);
        assert_eq!(args.tests().len(), 10);
        assert!(parse("crane bench --pg 4").is_err());
        let (_, args) = parse("crane bench --parallel 1,8 --parallel 32 -d 0,64").unwrap();
        assert_eq!(args.parallel, [1, 8, 32]);
        assert_eq!(args.tests().len(), 2 * (1 + 3));
        for wrong in ["0", "257", "1,x"] {
            let line = format!("crane bench --parallel {wrong}");
            assert!(parse(&line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_quantisation_comes_once_for_all_types() {
        let (_, args) = parse("crane bench --dtype f32,f16 --quant none,q8_0,q4k").unwrap();
        assert_eq!(
            args.formats(),
            [
                (DTypeArg::F32, QuantArg::None),
                (DTypeArg::F16, QuantArg::None),
                (DTypeArg::Auto, QuantArg::Q8_0),
                (DTypeArg::Auto, QuantArg::Q4K)
            ]
        );
    }
}
