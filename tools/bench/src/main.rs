//! The command `trackbox-bench`: measures TrackBox beside the limit of what it stands on.
//!
//! A subject measures TrackBox and its limit in turn, on the same machine in the same run, so that the ratio means the same
//! anywhere. [`subjects`] says what is measured, [`report`] what is printed.

mod engines;
mod http;
mod load;
mod machine;
mod parcels;
mod report;
mod subjects;
mod trackbox;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;

use crate::machine::Machine;
use crate::report::Line;
use crate::subjects::{Bare, Subject};

/// Measures TrackBox side by side with its limit: the same work by the parts that it stands on, alone.
///
/// Subjects on PostgreSQL, Kafka and Redis find them by TRACKBOX_TEST_POSTGRES, TRACKBOX_TEST_KAFKA and
/// TRACKBOX_TEST_REDIS: `tools/services target/release/trackbox-bench all`.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    options: Options,
}

#[derive(Clone, clap::Args)]
pub struct Options {
    /// Repetitions, TrackBox and its limit in turn
    #[arg(long, global = true, default_value_t = 5)]
    repetitions: usize,
    /// Run each subject for a moment: shows that it works, not how fast TrackBox is
    #[arg(long, global = true)]
    quick: bool,
    /// Print JSON instead of the table
    #[arg(long, global = true)]
    json: bool,
    /// Exit with 1 if a goal is missed
    #[arg(long, global = true)]
    check: bool,
    /// How many parcels the large tables of `scale` have
    #[arg(long, global = true, value_name = "COUNT", default_value_t = 1_000_000)]
    parcels: i64,
    /// The `trackbox` to measure; without it, the one beside this program
    #[arg(long, global = true, value_name = "FILE")]
    program: Option<PathBuf>,
}

impl Options {
    /// `full`, or `quick` for a moment's run.
    pub fn size<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    pub fn repetitions(&self) -> usize {
        self.size(self.repetitions.max(1), 1)
    }

    pub fn program(&self) -> anyhow::Result<PathBuf> {
        let program = match &self.program {
            Some(program) => program.clone(),
            None => std::env::current_exe()
                .context("this program's own file is unknown")?
                .with_file_name("trackbox"),
        };
        program.canonicalize().with_context(|| {
            format!(
                "{} is missing: build it, or name it by --program",
                program.display()
            )
        })
    }
}

#[derive(clap::Subcommand)]
enum Command {
    /// Every subject
    All,
    #[command(flatten)]
    One(Subject),
    /// The limit of reading, as a process of its own
    #[command(hide = true)]
    Bare(Bare),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        anyhow::bail!("TLS is set up already");
    }
    let subjects = match cli.command {
        Command::All => Subject::ALL.to_vec(),
        Command::One(subject) => vec![subject],
        Command::Bare(bare) => {
            bare.serve().await?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let options = cli.options;
    let machine = Machine::look(&options).await?;
    let mut lines: Vec<Line> = Vec::new();
    for subject in subjects {
        eprintln!("measuring {} ...", subject.name());
        let measured = subject.measure(&options).await;
        lines.extend(measured.with_context(|| format!("subject {}", subject.name()))?);
    }
    if options.json {
        println!("{}", report::json(&machine, &lines)?);
    } else {
        print!("{}", report::table(&machine, &lines));
    }
    let missed = lines.iter().any(|line| line.is_met() == Some(false));
    Ok(if options.check && missed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
