//! Bodies are taken in turns: one look-up, one publication and one statement for all that came in meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::timeout;

use crate::carriers::Pushed;
use crate::carriers::routes::{ANY, Route};
use crate::clock::Time;
use crate::http::Serve;
use crate::http::push::meaning::Meaning;
use crate::kafka::message::encode;
use crate::kafka::record::Outgoing;
use crate::metrics::PushOutcome;
use crate::model::Tracking;
use crate::store::pushed::{Hint, Sought};
use crate::together::Turns;

/// How long each of the three may take: carriers wait some 15 s for an answer.
const STEP_MAX: Duration = Duration::from_secs(2);

/// What one body told.
pub struct Body {
    pub route: Route,
    pub at: Time,
    pub parcels: Vec<Pushed>,
}

/// What became of each parcel of a body, or why it was not taken.
pub type Taken = Result<Vec<PushOutcome>, String>;

/// A body's place in a turn, and a parcel's place in it.
type Place = (usize, usize);

/// Takes bodies of all sections.
pub struct Taker(pub Serve);

/// What a turn is to do.
#[derive(Default)]
struct Plan {
    records: Vec<Outgoing>,
    hints: Vec<Hint>,
    /// Of each body, with what became of its parcels.
    bodies: Vec<Planned>,
}

/// What is to be done about one body.
#[derive(Default)]
struct Planned {
    outcomes: Vec<PushOutcome>,
    publishes: bool,
    hints: bool,
}

impl Turns for Taker {
    type Work = Body;
    type Result = Taken;

    async fn do_all(&self, bodies: Vec<Body>) -> Vec<Taken> {
        let found = match self.find(&bodies).await {
            Ok(found) => found,
            Err(reason) => return bodies.iter().map(|_| Err(reason.clone())).collect(),
        };
        let Plan {
            records,
            hints,
            bodies,
        } = self.plan(&bodies, &found);
        let published = self.publish(records).await;
        let hinted = self.hint(&hints).await;
        let taken = |body: Planned| {
            let done = [(body.publishes, &published), (body.hints, &hinted)];
            let failed = done
                .into_iter()
                .find(|(wants, done)| *wants && done.is_err());
            match failed {
                Some((_, Err(reason))) => Err(reason.clone()),
                _ => Ok(body.outcomes),
            }
        };
        bodies.into_iter().map(taken).collect()
    }
}

impl Taker {
    /// The trackings of each parcel of each body.
    async fn find(&self, bodies: &[Body]) -> Result<BTreeMap<Place, Vec<Tracking>>, String> {
        let mut sought: BTreeMap<(Option<&str>, &str), Vec<Place>> = BTreeMap::new();
        for (nth, body) in bodies.iter().enumerate() {
            for (place, parcel) in body.parcels.iter().enumerate() {
                for code in &body.route.account.codes {
                    let code = Some(code.as_str()).filter(|code| *code != ANY);
                    let key = (code, parcel.0.as_str());
                    sought.entry(key).or_default().push((nth, place));
                }
            }
        }
        let (keys, places): (Vec<_>, Vec<_>) = sought.into_iter().unzip();
        let keys: Vec<Sought> = keys
            .into_iter()
            .map(|(code, number)| Sought {
                carrier: code.map(str::to_owned),
                number: number.to_owned(),
            })
            .collect();
        let looking = timeout(STEP_MAX, self.0.store.by_number(&keys));
        let rows = looking
            .await
            .map_err(|_| "the database did not answer in time".to_owned())?
            .map_err(|error| error.to_string())?;
        let mut found: BTreeMap<Place, Vec<Tracking>> = BTreeMap::new();
        for (key, row) in rows {
            let named = places.get(key).into_iter().flatten();
            for (nth, place) in named {
                let own = &bodies[*nth].route.account.name;
                let route = self.0.routes.resolve(&row.carrier_code);
                // A code of another section may be found too, and one of a section of its own twice.
                let rows = found.entry((*nth, *place)).or_default();
                let is_own = route.is_some_and(|route| route.account.name == *own);
                if is_own && rows.iter().all(|known| known.id != row.id) {
                    rows.push(row.clone());
                }
            }
        }
        Ok(found)
    }

    fn plan(&self, bodies: &[Body], found: &BTreeMap<Place, Vec<Tracking>>) -> Plan {
        let mut plan = Plan::default();
        for (nth, body) in bodies.iter().enumerate() {
            let mut planned = Planned::default();
            for (place, parcel) in body.parcels.iter().enumerate() {
                let rows = found.get(&(nth, place)).map_or(&[][..], Vec::as_slice);
                let outcome = self.plan_parcel(&mut plan, &mut planned, body, parcel, rows);
                planned.outcomes.push(outcome);
            }
            plan.bodies.push(planned);
        }
        plan
    }

    /// Plans what one parcel wants. If several trackings have its number, which one is meant is for their checks to find out.
    fn plan_parcel(
        &self,
        plan: &mut Plan,
        planned: &mut Planned,
        body: &Body,
        (_, seen): &Pushed,
        rows: &[Tracking],
    ) -> PushOutcome {
        let is_trusted = body.route.door.as_ref().is_some_and(|it| it.is_trusted());
        let is_certain = is_trusted && rows.len() == 1;
        let mut outcome = match rows.is_empty() {
            true => PushOutcome::UnknownNumber,
            false => PushOutcome::Known,
        };
        for row in rows {
            let rules = &self.0.pushes;
            match rules.meaning(row, seen.as_ref(), is_certain, &body.route, body.at) {
                Meaning::Publish(checked) => {
                    plan.records.extend(encode(&checked));
                    planned.publishes = true;
                    outcome = PushOutcome::Published;
                }
                Meaning::Check(hint) => {
                    plan.hints.push(hint);
                    planned.hints = true;
                    outcome = PushOutcome::Hinted;
                }
                Meaning::Nothing => {}
            }
        }
        outcome
    }

    async fn publish(&self, records: Vec<Outgoing>) -> Result<(), String> {
        if records.is_empty() {
            return Ok(());
        }
        let Some(bus) = &self.0.bus else {
            return Err("this process has no bus: kafka.brokers is not set".to_owned());
        };
        if !bus.may_publish().await {
            return Err("the bus does not take records now".to_owned());
        }
        let count = records.len() as u64;
        let published = timeout(STEP_MAX, bus.publish(records)).await;
        let published = match published {
            Ok(published) => published.map_err(|error| error.to_string()),
            Err(_) => Err("the bus did not answer in time".to_owned()),
        };
        match published {
            Ok(()) => self.0.metrics.published().inc_by(count),
            Err(_) => self.0.metrics.publish_failures().inc_by(count),
        };
        published
    }

    async fn hint(&self, hints: &[Hint]) -> Result<(), String> {
        let now = self.0.clock.now();
        let hinting = timeout(STEP_MAX, self.0.current.hint(hints, now)).await;
        let hinted = hinting.map_err(|_| "the database did not answer in time".to_owned())?;
        hinted.map(|_| ()).map_err(|error| error.to_string())
    }
}
