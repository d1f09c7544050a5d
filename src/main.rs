//! The program: reads the command line and the configuration, and runs what they ask for.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgMatches, Args, FromArgMatches, Parser, Subcommand};
use trackbox::app;
use trackbox::app::role::Role;
use trackbox::carriers::routes::Routes;
use trackbox::commands::carriers::Carriers;
use trackbox::config::{Config, Preset};
use trackbox::demo::{self, Demo};
use trackbox::simulate::{self, Simulation};
use trackbox::{commands, logging};

/// Keeps parcels' tracking numbers fresh within what the carriers allow, and publishes every change.
///
/// One program, several roles: `all` runs everything in one process; `serve`, `work` and `consume` run apart and meet in
/// PostgreSQL, Kafka and Redis. Try `trackbox all --demo`: it brings its own carriers and parcels.
#[derive(Parser)]
#[command(
    version,
    after_help = "Settings: defaults < work.cadence preset < --config FILE (else ./config.toml) < \
variables such as TRACKBOX_HTTP__LISTEN=0.0.0.0:8080. `trackbox config` prints the configuration in force."
)]
struct Cli {
    /// The configuration file. Without this option, TRACKBOX_CONFIG names it; without both, ./config.toml is read if it
    /// exists.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything in one process: API, worker and consumer, with SQLite and nothing else installed.
    All(All),
    #[command(flatten)]
    Role(RunRole),
    /// Brings the database's tables up to date. Every role does so at its start too.
    Migrate {
        /// Only show which migrations are applied and which are missing.
        #[arg(long)]
        status: bool,
    },
    /// Prints the configuration in force, with secrets hidden.
    Config,
    /// Lists the carriers that can be asked, asks one, or tests a carrier's file.
    Carriers {
        #[command(subcommand)]
        command: Carriers,
    },
    /// Asks the process on this machine whether it is ready, and exits with 0 if it is. For a container's health check.
    Health {
        /// The role to ask. Without one, the first role that answers is asked.
        #[arg(value_name = "ROLE", value_parser = a_role())]
        role: Option<&'static Role>,
    },
    /// Compares polling policies on invented carriers in virtual time: how fresh is each with the same number of calls?
    Simulate(Box<Simulation>),
    /// Shows how many records of the topic are not applied yet, by partition.
    Lag,
    /// Judges the stored events again by today's words and rules, shows what would change, and with --apply changes it.
    ///
    /// Use it after an upgrade: a parcel that ended with a wrong status is asked for no more, so only this mends it.
    Reread(commands::reread::Reread),
    /// Makes, lists and revokes API keys.
    Keys {
        #[command(subcommand)]
        command: commands::keys::Keys,
    },
    /// Makes, lists, disables and enables tenants: shops that share this installation without seeing each other's parcels.
    Tenants {
        #[command(subcommand)]
        command: commands::tenants::Tenants,
    },
    /// Reads the archived answers of carriers again by today's files, shows what would change, and with --apply changes it.
    ///
    /// Use it after a carrier's file has changed: what its events are mapped to, or where their text, place and time stand.
    Replay(commands::replay::Replay),
    /// Lists or retries records that were set aside because they could not be read or applied.
    DeadLetters {
        #[command(subcommand)]
        command: commands::DeadLetters,
    },
}

/// A role as a subcommand of its own.
struct RunRole(&'static [&'static Role]);

impl Subcommand for RunRole {
    fn augment_subcommands(command: clap::Command) -> clap::Command {
        let roles = app::ROLES.iter();
        command.subcommands(roles.map(|role| clap::Command::new(role.name).about(role.about)))
    }

    fn augment_subcommands_for_update(command: clap::Command) -> clap::Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        app::ROLES.iter().any(|role| role.name == name)
    }
}

impl FromArgMatches for RunRole {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let name = matches.subcommand_name().unwrap_or_default();
        let place = app::ROLES.iter().position(|role| role.name == name);
        let place =
            place.ok_or_else(|| clap::Error::new(clap::error::ErrorKind::MissingSubcommand))?;
        Ok(Self(&app::ROLES[place..=place]))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Reads the name of a role.
fn a_role() -> impl TypedValueParser<Value = &'static Role> {
    let names = PossibleValuesParser::new(app::ROLES.iter().map(|role| role.name));
    names.try_map(|name| {
        let found = app::ROLES.iter().find(|role| role.name == name);
        found.copied().ok_or("this role is not known")
    })
}

#[derive(Args)]
struct All {
    /// Runs beside an emulator of carriers, with parcels that travel while you watch, in a database of its own.
    #[arg(long)]
    demo: bool,
    /// How many parcels the demo makes [default: 200]; with --speed, how many are under way at a time [default: 900].
    #[arg(long, value_name = "N", requires = "demo",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    parcels: Option<u32>,
    /// Continues with the last demo's database instead of a fresh one.
    #[arg(long, requires = "demo", conflicts_with = "speed")]
    keep: bool,
    /// Lets time run N times as fast (1440: a day a minute) and two policies race: the same parcels and the same number of
    /// calls, once with work.policy fixed and once with learned.
    #[arg(long, value_name = "N", requires = "demo", value_parser = clap::value_parser!(u32).range(1..=1_440))]
    speed: Option<u32>,
}

impl All {
    fn demo(&self) -> Option<Demo> {
        let parcels = if self.speed.is_some() { 900 } else { 200 };
        self.demo.then(|| Demo {
            parcels: self.parcels.unwrap_or(parcels),
            keep: self.keep,
            speed: self.speed,
        })
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    if let Command::Simulate(simulation) = &cli.command {
        return simulate::simulate(simulation);
    }
    if let Command::Carriers {
        command:
            Carriers::Test {
                file: Some(file),
                answers,
                write,
            },
    } = &cli.command
    {
        return commands::carriers::test(file, answers.as_deref(), *write);
    }
    if let Command::Carriers {
        command: Carriers::Show { name },
    } = &cli.command
    {
        return commands::carriers::show(name);
    }
    let preset = match &cli.command {
        Command::All(All { demo: true, .. }) => Some(Preset::Demo),
        _ => None,
    };
    let variables = Config::variables();
    let config = Config::load(
        cli.config.as_deref(),
        variables.clone(),
        preset,
        Routes::check,
    )?;
    if let Command::Config = cli.command {
        print!("{}", config.shown());
        return Ok(());
    }
    match &cli.command {
        Command::Carriers {
            command: Carriers::List,
        } => return commands::carriers::list(&config),
        Command::Carriers {
            command: Carriers::Test { write, .. },
        } => {
            return commands::carriers::test_all(&config, *write);
        }
        _ => {}
    }
    logging::start(&config.log)?;
    let ignored = Config::ignored_variables(&variables).join(", ");
    if !ignored.is_empty() {
        tracing::warn!("ignoring the variables {ignored}, which name no key of the configuration");
    }
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("the TLS provider is installed already"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        match cli.command {
            Command::All(all) => match all.demo() {
                Some(demo) => demo::run(config, demo).await,
                None => app::run(config, app::ROLES).await,
            },
            Command::Role(RunRole(role)) => app::run(config, role).await,
            Command::Migrate { status } => commands::migrate(&config, status).await,
            Command::Health { role } => commands::health(&config, role).await,
            Command::Reread(reread) => commands::reread::run(&config, &reread).await,
            Command::Replay(replay) => commands::replay::run(&config, &replay).await,
            Command::Lag => commands::lag(&config).await,
            Command::Keys { command } => commands::keys::run(&config, command).await,
            Command::Tenants { command } => commands::tenants::run(&config, command).await,
            Command::DeadLetters { command } => commands::dead_letters(&config, command).await,
            Command::Carriers {
                command: Carriers::Check { code, number, told },
            } => commands::ask::check(&config, code, &number, &told).await,
            Command::Carriers {
                command:
                    Carriers::Record {
                        code,
                        number,
                        told,
                        folder,
                    },
            } => commands::ask::record(&config, code, &number, &told, &folder).await,
            Command::Carriers { .. } | Command::Config | Command::Simulate(_) => Ok(()),
        }
    })
}
