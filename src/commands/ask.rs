//! Asks a carrier once, outside its account's limits: to show its answer, or to record it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use hyper_util::client::proxy::matcher::Matcher;
use serde_json::{Value, json};

use crate::carriers::blanked::{Blanked, blanked};
use crate::carriers::routes::{Route, Routes};
use crate::carriers::{
    Answer, Asked, Auth, CarrierError, Request, STEPS_MAX, Sighting, State, Step, Ticket, Verdict,
    recorded,
};
use crate::clock::{Clock, Time};
use crate::config::Config;
use crate::model::extra::Extra;
use crate::model::token::Token;
use crate::model::{CarrierCode, TrackNumber};
use crate::scheduler::connections::Connections;
use crate::scheduler::sender::Sender;
use crate::tls;

/// The most bytes of an answer that are printed.
const SHOWN_BYTES_MAX: usize = 100_000;

/// The most recorded answers of one name.
const RECORDED_MAX: usize = 1_000;

/// Asks a carrier for one number, and prints what it answers and what that means.
///
/// # Errors
/// If the carrier has no section, cannot be reached, or its answer cannot be read.
pub async fn check(
    config: &Config,
    code: CarrierCode,
    number: &TrackNumber,
    told: &[(String, String)],
) -> anyhow::Result<()> {
    let line = Line::open(config, code, number, told).await?;
    let mut step = line.start();
    for _ in 0..STEPS_MAX {
        let (request, state) = match step {
            Step::Send(request, state) => (request, state),
            Step::Done(sightings) => {
                println!("What is read from it:");
                for sighting in &sightings {
                    println!("{:#}", recorded::shown(sighting, line.clock.now()));
                }
                ensure!(
                    !sightings.is_empty(),
                    "the answer says nothing of the number"
                );
                return Ok(());
            }
            Step::Wait(ticket) => {
                println!("{}", later(&ticket));
                return Ok(());
            }
        };
        let answer = line.send(&request).await?;
        print_answer(&answer);
        step = line
            .route
            .adapter
            .resume(state, &answer, line.clock.now())?;
    }
    bail!("a check took more than {STEPS_MAX} calls")
}

/// Asks a carrier for one number, and keeps its answer in `folder` as a recorded one, without personal data.
///
/// # Errors
/// If the carrier has no section, cannot be reached, or takes several calls; if the files cannot be written.
pub async fn record(
    config: &Config,
    code: CarrierCode,
    number: &TrackNumber,
    told: &[(String, String)],
    folder: &Path,
) -> anyhow::Result<()> {
    ensure!(folder.is_dir(), "there is no folder {}", folder.display());
    let line = Line::open(config, code, number, told).await?;
    let Step::Send(request, state) = line.start() else {
        bail!("nothing is sent for this number");
    };
    let answer = line.send(&request).await?;
    let now = line.clock.now();
    let read = line.read(&state, &answer, now);
    ensure!(
        !matches!(read, Ok(Step::Send(..) | Step::Wait(_))),
        "the answer leads to another request, and what takes several calls cannot be recorded"
    );
    let section = &config.carriers[&line.route.section];
    let secrets = [
        section.api_key.expose(),
        section.secret.expose(),
        &section.user,
        &section.domain,
    ];
    let token = line.token.iter().map(Token::expose);
    let secrets: Vec<&str> = secrets.into_iter().chain(token).collect();
    let status = answer.status;
    let shown = |body: &[u8]| {
        let body = body.to_vec();
        shown(&line.read(&state, &Answer { status, body }, now), now)
    };
    let blanked = blanked(&answer.body, &secrets, shown);
    let mut given = json!({
        "source": format!("recorded {}", now.format("%Y-%m-%d")),
        "http": status,
        "zone": section.time_zone.name(),
        "numbers": [line.asked.number.as_str()],
    });
    // What was told is an addressee's; that something was is enough to read the answer.
    for (name, _) in told {
        given["extra"][name] = json!("…");
    }
    let place = write(folder, case(&read), &blanked, &given)?;
    print_blanked(&place, &blanked);
    Ok(())
}

/// What is needed to ask one carrier for one number.
struct Line {
    route: Route,
    asked: Asked,
    clock: Clock,
    sender: Sender,
    token: Option<Token>,
}

impl Line {
    /// Logs in if the account needs a token.
    async fn open(
        config: &Config,
        code: CarrierCode,
        number: &TrackNumber,
        told: &[(String, String)],
    ) -> anyhow::Result<Self> {
        let told = told.iter().cloned();
        let told = told.map(|(name, value)| (name, Some(value))).collect();
        let routes = Routes::new(config)?;
        let route = routes.resolve(&code).cloned();
        let route = route.with_context(|| {
            format!("the configuration has no [carriers.{code}] and no [carriers.\"*\"]")
        })?;
        let number = number.clone().asked(route.adapter.spelling());
        let tls = tls::client_config(&config.tls.ca_file)?;
        let clock = Clock::system();
        let connections = Arc::new(Connections::new(tls, Matcher::from_env()));
        let sender = Sender::new(clock.clone(), connections);
        let token = match route.adapter.login() {
            Some(login) => {
                let asked_at = clock.now();
                let answer = ask(&sender, &login.request, None, route.timeout).await?;
                Some(route.adapter.read_token(&login, &answer, asked_at)?)
            }
            None => None,
        };
        Ok(Self {
            route,
            asked: Asked {
                extra: Extra::default().with(&told),
                ..Asked::of(code, number)
            },
            clock,
            sender,
            token,
        })
    }

    fn start(&self) -> Step {
        self.route.adapter.start(std::slice::from_ref(&self.asked))
    }

    async fn send(&self, request: &Request) -> anyhow::Result<Answer> {
        let token = self.token.as_ref().filter(|_| request.auth != Auth::None);
        ask(&self.sender, request, token, self.route.timeout).await
    }

    fn read(&self, state: &State, answer: &Answer, now: Time) -> Result<Step, CarrierError> {
        self.route.adapter.resume(state.clone(), answer, now)
    }
}

/// The answer to one request.
async fn ask(
    sender: &Sender,
    request: &Request,
    token: Option<&Token>,
    within: Duration,
) -> anyhow::Result<Answer> {
    let connection = sender.connect(request).await?;
    let answer = sender.send(connection, request, token, within).await?;
    answer.context("the carrier closed the connection before the request was sent: try again")
}

fn print_answer(answer: &Answer) {
    println!("The carrier answered with the status {}:", answer.status);
    let json = serde_json::from_slice::<Value>(&answer.body).ok();
    let text = match json {
        Some(json) => format!("{json:#}"),
        None => String::from_utf8_lossy(&answer.body).into_owned(),
    };
    let end = text.floor_char_boundary(SHOWN_BYTES_MAX);
    println!("{}", &text[..end]);
    if end < text.len() {
        println!("and {} bytes more", text.len() - end);
    }
    println!();
}

/// What is read from an answer, as text, without the name of the person who took the parcel: that may be blanked.
fn shown(read: &Result<Step, CarrierError>, now: Time) -> String {
    match read {
        Ok(Step::Done(sightings)) => {
            let shown = sightings.iter().map(|it| {
                let mut shown = recorded::shown(it, now);
                if let Some(facts) = shown["facts"].as_object_mut() {
                    facts.remove("signed_by");
                }
                shown.to_string()
            });
            shown.collect()
        }
        Ok(Step::Send(..)) => "it leads to another request".to_owned(),
        Ok(Step::Wait(ticket)) => later(ticket),
        Err(error) => error.to_string(),
    }
}

/// What is read from an answer that gives a ticket.
fn later(ticket: &Ticket) -> String {
    format!(
        "The carrier took the number and answers later: a worker would ask for the ticket {} every {} s.",
        ticket.id,
        ticket.wait.as_secs()
    )
}

/// What to call an answer.
fn case(read: &Result<Step, CarrierError>) -> &'static str {
    let Ok(Step::Done(sightings)) = read else {
        return "error";
    };
    match sightings.first().map(|Sighting { verdict, .. }| verdict) {
        Some(Verdict::Seen(_)) => "seen",
        Some(Verdict::NotFoundYet) => "not_found",
        Some(Verdict::Invalid { .. }) => "invalid",
        Some(Verdict::Unasked { .. }) => "unasked",
        Some(Verdict::Failed { .. }) | None => "failed",
    }
}

/// Writes an answer and how it came, under a name that is not taken, and returns the answer's place.
fn write(folder: &Path, case: &str, blanked: &Blanked, given: &Value) -> anyhow::Result<String> {
    for nth in 1..=RECORDED_MAX {
        let name = folder.join(format!("recorded_{case}_{nth}"));
        // Held by the first file, the name is ours.
        let given_place = name.with_extension("given.json");
        let mut file = match OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&given_place)
        {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
            file => file.with_context(|| format!("cannot write {}", given_place.display()))?,
        };
        let place = name.with_extension(blanked.ending);
        writeln!(file, "{given:#}")
            .and_then(|()| std::fs::write(&place, &blanked.body))
            .with_context(|| format!("cannot write {}", place.display()))?;
        return Ok(place.display().to_string());
    }
    bail!(
        "{} has {RECORDED_MAX} recorded answers of this kind: delete some",
        folder.display()
    )
}

fn print_blanked(place: &str, blanked: &Blanked) {
    println!("wrote {place} and its .given.json");
    let list = |names: &[String]| match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    };
    println!("fields blanked: {}", list(&blanked.fields));
    println!(
        "e-mail addresses, phone numbers and credentials blanked in texts: {}",
        blanked.by_form
    );
    println!(
        "fields that may be personal and were kept, since they are read: {}",
        list(&blanked.kept)
    );
    println!(
        "the number stands in it, and nothing else was looked for: read it before you hand it on"
    );
}
