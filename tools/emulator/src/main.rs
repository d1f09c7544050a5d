//! The command `trackbox-emulator`: an emulator on a port.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use trackbox_emulator::emulator::Emulator;
use trackbox_emulator::oauth::OAuth;
use trackbox_emulator::options::{Behaviour, Options, Progress};
use trackbox_emulator::serve::serve;
use trackbox_emulator::time::Time;

/// Emulates the tracking APIs of CDEK, Russian Post, any other carrier, and two aggregators.
///
/// Ask for a number:   curl localhost:9000/v1/tracking/CDEK/1234567890
/// See counted calls:  curl localhost:9000/v1/admin/ledger
/// See what is true:   curl localhost:9000/v1/admin/truth
/// Make CDEK hang:     curl localhost:9000/v1/admin/faults -d '{"carrier":"CDEK","fault":"hang"}'
/// Repair it:          curl localhost:9000/v1/admin/faults -d '{"carrier":"CDEK","fault":"none"}'
#[derive(Parser)]
#[command(version, verbatim_doc_comment)]
struct Cli {
    /// IP address and port to listen on
    #[arg(long, default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// What makes parcels move
    #[arg(long, value_enum, default_value_t = Progress::Ask)]
    progress: Progress,
    /// Calls a minute that a carrier allows, such as CDEK=600; 0: no limit; may be given several times
    ///
    /// Built in: CDEK=60, POST_RU=20, no limit for other carriers.
    #[arg(long, value_name = "CARRIER=N", value_parser = limit)]
    limit: Vec<(String, u32)>,
    /// Calls need a token, which this client gets with this secret at /v1/oauth/token (see /v1/admin/logins)
    #[arg(long, value_name = "CLIENT:SECRET", value_parser = credentials)]
    oauth: Option<(String, String)>,
    /// How long a token lives, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600)]
    token_life_secs: u64,
    /// What it does beside the common; may be given several times
    #[arg(long, value_enum, value_name = "NAME")]
    behave: Vec<Behaviour>,
    /// How long a ticket's answer takes, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    ticket_secs: u64,
    /// Seed of everything random: the same seed gives the same steps, delays and failures
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn limit(text: &str) -> Result<(String, u32), String> {
    let (carrier, limit) = text
        .split_once('=')
        .ok_or("must be CARRIER=N, such as CDEK=600")?;
    let limit = limit
        .parse()
        .map_err(|_| "N must be a whole number, 0 or more")?;
    Ok((carrier.to_owned(), limit))
}

fn credentials(text: &str) -> Result<(String, String), String> {
    let (client, secret) = text
        .split_once(':')
        .ok_or("must be CLIENT:SECRET, such as me:hunter2")?;
    Ok((client.to_owned(), secret.to_owned()))
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new("info"))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(cli: Cli) -> anyhow::Result<()> {
    let listener = TcpListener::bind(cli.listen)
        .await
        .with_context(|| format!("cannot listen on {}", cli.listen))?;
    let stop = CancellationToken::new();
    stop_on_signals(&stop)?;
    let limits: BTreeMap<String, u32> = cli.limit.into_iter().collect();
    let options = Options {
        progress: cli.progress,
        seed: cli.seed,
        limits,
        oauth: cli.oauth.map(|(client, secret)| OAuth {
            client,
            secret,
            life: Duration::from_secs(cli.token_life_secs),
        }),
        behaviours: cli.behave.into_iter().collect(),
        ticket_wait: Duration::from_secs(cli.ticket_secs),
    };
    let address = listener
        .local_addr()
        .context("cannot read the address of the port")?;
    tracing::info!(
        %address,
        "emulating carriers on http://{address} (ledger: /v1/admin/ledger, truth: /v1/admin/truth)"
    );

    serve(Emulator::new(options, Time::system()), listener, stop).await?;
    tracing::info!("stopped");
    Ok(())
}

fn stop_on_signals(stop: &CancellationToken) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let stop = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}
