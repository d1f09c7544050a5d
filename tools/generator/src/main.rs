//! The command `trackbox-generator`: reads or asks for the options, shows progress, and prints a summary.
//!
//! The summary goes to stdout, everything else to stderr. Exit codes: 0 done, 1 given up, 2 invalid options, 130 Ctrl-C.

mod bar;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use trackbox_generator::ask;
use trackbox_generator::options::Options;
use trackbox_generator::progress::{RunEvent, Summary};
use trackbox_generator::run::run;

use crate::bar::Bar;

/// The exit code that shells report for a program ended by Ctrl-C: 128 + SIGINT.
const EXIT_INTERRUPTED: u8 = 130;

/// Makes demo parcels: gives the carrier emulator a journey for each, then creates the trackings through the API.
///
/// Without arguments on a terminal, it asks for each value.
#[derive(Parser)]
#[command(name = "trackbox-generator", version)]
struct Command {
    #[command(flatten)]
    options: Options,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = options()?;
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        anyhow::bail!("a TLS provider is installed already");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let exit_code = runtime.block_on(generate(&options));
    // A name lookup that hangs must not delay the exit.
    runtime.shutdown_background();
    exit_code
}

/// Reads the options from the command line. If that is empty and this is a terminal, asks for them.
fn options() -> anyhow::Result<Options> {
    let bare = std::env::args_os().len() <= 1;
    if bare && io::stdin().is_terminal() && io::stderr().is_terminal() {
        return ask::ask(&mut io::stdin().lock(), &mut io::stderr().lock())
            .context("asking for the options");
    }
    let options = Command::parse().options;
    if let Err(reason) = options.check() {
        Command::command()
            .error(ErrorKind::ValueValidation, reason)
            .exit();
    }
    Ok(options)
}

async fn generate(options: &Options) -> anyhow::Result<ExitCode> {
    let mut bar = Bar::new(options);
    let started = Instant::now();
    let mut so_far: Option<Summary> = None;
    let mut progress = |event: RunEvent<'_>| {
        if let RunEvent::Created(summary) = &event {
            so_far = Some((*summary).clone());
        }
        bar.show(&event);
    };
    let finished = tokio::select! {
        outcome = run(options, &mut progress) => Some(outcome),
        signal = tokio::signal::ctrl_c() => {
            signal.context("listening for Ctrl-C")?;
            None
        }
    };
    bar.clear();
    match finished {
        Some(outcome) => {
            println!("{}", outcome?);
            Ok(ExitCode::SUCCESS)
        }
        None => {
            match so_far {
                Some(mut summary) => {
                    summary.seconds = started.elapsed().as_secs_f64();
                    println!("stopped: {summary}");
                }
                None => println!("stopped before any tracking was created"),
            }
            Ok(ExitCode::from(EXIT_INTERRUPTED))
        }
    }
}
