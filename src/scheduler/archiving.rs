//! Answers on their way to the archive: a check leaves its answer here and goes on; what finds no room is dropped.
//!
//! Most answers are read as the one before. Such a one is not kept again, nor even queued, if this worker made the check
//! before it too.

use std::collections::VecDeque;
use std::sync::Arc;

use moka::sync::Cache;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::archive::{asked, compressed, reading};
use crate::carriers::{Answer, Asked, Carrier, CarrierError, Sighting, Verdict};
use crate::clock::Time;
use crate::kafka::message::Checked;
use crate::metrics::Metrics;
use crate::model::Tracking;
use crate::model::archived::{Archived, Reading};

/// The most answers that wait, and the most bytes of them.
const ANSWERS_MAX: usize = 2_000;
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// The most bytes of a whole answer: it is held until what it says is published, and so are those of a thousand other calls.
const ANSWER_MAX: usize = 512 * 1024;

/// The most parcels of which it is remembered what their last answer said. Of others each answer is written.
const KNOWN_MAX: u64 = 100_000;

/// What a parcel's last check read, and its id.
type Known = (Reading, Uuid);

/// An answer, and the numbers in it that say something new.
pub struct Noted {
    adapter: Arc<dyn Carrier>,
    asked: Vec<Asked>,
    answer: Answer,
    news: Vec<News>,
    asked_at: Time,
}

/// A number that an answer says something new of.
struct News {
    /// Its place among those that were asked for.
    place: usize,
    tracking_id: i64,
    check_id: Uuid,
    reading: Reading,
}

/// What a call heard.
pub struct Heard<'a> {
    pub adapter: &'a Arc<dyn Carrier>,
    /// The parcels that were asked for.
    pub rows: &'a [Tracking],
    pub read: &'a Result<Vec<Sighting>, CarrierError>,
    /// The whole answer; `None` if there was none, or several, none of which says it all.
    pub answer: Option<Answer>,
    pub asked_at: Time,
}

/// The answers of all checks of a process that are not kept yet.
pub struct Archiving {
    /// Whether answers are kept at all.
    enabled: bool,
    /// Whether names of people may be kept.
    names: bool,
    waiting: Mutex<Waiting>,
    known: Cache<i64, Known>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Waiting {
    noted: VecDeque<Noted>,
    answers: usize,
    bytes: usize,
}

impl Archiving {
    pub fn new(enabled: bool, names: bool, metrics: Arc<Metrics>) -> Self {
        Self {
            enabled,
            names,
            waiting: Mutex::default(),
            known: Cache::new(KNOWN_MAX),
            metrics,
        }
    }

    /// Whether an answer about so many numbers is to be held for [`Archiving::note`]. One that is too long is counted.
    pub fn wants(&self, answer: &Answer, numbers: usize) -> bool {
        let is_short = answer.body.len() <= ANSWER_MAX;
        if self.enabled && !is_short {
            self.dropped(numbers);
        }
        self.enabled && is_short
    }

    /// Takes the answer of a call whose `checks`, one for each parcel, are published. Never waits: without room the answer is
    /// dropped and counted.
    pub fn note(&self, heard: Heard<'_>, checks: &[Checked]) {
        let Some(answer) = heard.answer else {
            return;
        };
        let asked: Vec<Asked> = heard.rows.iter().map(asked).collect();
        let checks = heard.rows.iter().zip(checks).zip(&asked);
        let news = checks
            .enumerate()
            .filter_map(|(place, ((row, checked), asked))| {
                let update = &checked.update;
                let read = verdict(heard.read, asked)?;
                let reading = reading(read, self.names)?;
                let known = self.known.get(&row.id);
                if known.is_some() && known == row.last_check_id.map(|id| (reading, id)) {
                    self.known.insert(row.id, (reading, update.check_id));
                    return None;
                }
                Some(News {
                    place,
                    tracking_id: row.id,
                    check_id: update.check_id,
                    reading,
                })
            });
        let news: Vec<News> = news.collect();
        if news.is_empty() {
            return;
        }
        let (answers, bytes) = (news.len(), answer.body.len());
        let mut waiting = self.waiting.lock();
        if waiting.answers + answers > ANSWERS_MAX || waiting.bytes + bytes > BYTES_MAX {
            drop(waiting);
            self.dropped(answers);
            return;
        }
        waiting.answers += answers;
        waiting.bytes += bytes;
        waiting.noted.push_back(Noted {
            adapter: Arc::clone(heard.adapter),
            asked,
            answer,
            news,
            asked_at: heard.asked_at,
        });
    }

    /// Counts answers that are not kept.
    pub fn dropped(&self, answers: usize) {
        self.metrics.answers_not_archived().inc_by(answers as u64);
    }

    /// The answers that have waited longest, about `most` of them.
    pub fn take(&self, most: usize) -> Vec<Noted> {
        let mut waiting = self.waiting.lock();
        let mut taken = Vec::new();
        let mut answers = 0;
        while answers < most
            && let Some(noted) = waiting.noted.pop_front()
        {
            answers += noted.news.len();
            waiting.answers -= noted.news.len();
            waiting.bytes -= noted.answer.body.len();
            taken.push(noted);
        }
        taken
    }

    /// Drops and counts everything that waits; answers how much that was.
    pub fn drop_all(&self) -> usize {
        let left = self.take(usize::MAX);
        let left = left.iter().map(|noted| noted.news.len()).sum();
        self.dropped(left);
        left
    }

    /// Cuts answers apart by number and compresses them. What may not be kept, or is too long, is counted.
    pub fn cut(&self, noted: Vec<Noted>) -> Vec<Archived> {
        noted
            .into_iter()
            .flat_map(|noted| self.cut_one(noted))
            .collect()
    }

    fn cut_one(&self, noted: Noted) -> Vec<Archived> {
        let Noted {
            adapter,
            asked,
            answer,
            news,
            asked_at,
        } = noted;
        let bodies = adapter.kept(&asked, &answer, self.names);
        let archived = |news: &News| {
            let asked = asked.get(news.place)?;
            let body = compressed(bodies.get(news.place)?.as_ref()?)?;
            let check = (asked_at, news.check_id);
            Some(Archived {
                tracking_id: news.tracking_id,
                carrier_code: asked.carrier.clone(),
                track_number: asked.number.clone(),
                adapter: adapter.name().to_owned(),
                status: answer.status,
                reading: news.reading,
                first: check,
                last: check,
                body,
            })
        };
        let kept: Vec<Archived> = news.iter().filter_map(archived).collect();
        self.dropped(news.len() - kept.len());
        kept
    }

    /// Remembers what was written, so that the same is not written again.
    pub fn written(&self, answers: &[Archived]) {
        for answer in answers {
            let (_, check_id) = answer.last;
            self.known
                .insert(answer.tracking_id, (answer.reading, check_id));
        }
        self.metrics.answers_archived().inc_by(answers.len() as u64);
    }
}

/// What was read of a number; `None` if the answer leaves it out.
fn verdict<'a>(
    read: &'a Result<Vec<Sighting>, CarrierError>,
    asked: &Asked,
) -> Option<Result<&'a Verdict, &'a CarrierError>> {
    match read {
        Ok(sightings) => {
            let found = sightings.iter().find(|sighting| sighting.asked == *asked);
            found.map(|sighting| Ok(&sighting.verdict))
        }
        Err(error) => Some(Err(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono_tz::UTC;
    use reqwest::Url;
    use uuid::Uuid;

    use super::{ANSWER_MAX, ANSWERS_MAX, Archiving, Heard};
    use crate::archive::asked;
    use crate::carriers::adapters::built_in;
    use crate::carriers::{Access, Answer, Carrier, CarrierError, Sighting, Verdict};
    use crate::kafka::message::Checked;
    use crate::metrics::Metrics;
    use crate::model::fixture::{at, tracking, update};
    use crate::model::{Outcome, Source, Tracking};

    fn adapter() -> Arc<dyn Carrier> {
        built_in("emulator").expect("is built in").make(Access {
            base_url: Url::parse("http://a.example").expect("an address"),
            login_url: None,
            api_key: String::new(),
            user: String::new(),
            secret: String::new(),
            domain: String::new(),
            zone: UTC,
            registers: false,
        })
    }

    fn archiving() -> (Archiving, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new());
        (Archiving::new(true, false, Arc::clone(&metrics)), metrics)
    }

    /// Notes an answer about a parcel, by the check with this id.
    fn note(archiving: &Archiving, row: &Tracking, check: u128, verdict: Verdict) {
        let read: Result<Vec<Sighting>, CarrierError> = Ok(vec![Sighting {
            asked: asked(row),
            verdict,
        }]);
        let heard = Heard {
            adapter: &adapter(),
            rows: std::slice::from_ref(row),
            read: &read,
            answer: Some(Answer {
                status: 200,
                body: b"{}".to_vec(),
            }),
            asked_at: at(5),
        };
        let checked = Checked {
            update: update(row.id, 5, check, Outcome::NotFoundYet),
            adapter: "emulator",
            mapping_version: 1,
            source: Source::Poll,
        };
        archiving.note(heard, &[checked]);
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_counted() {
        let (archiving, metrics) = archiving();
        for id in 0..ANSWERS_MAX as i64 + 7 {
            note(&archiving, &tracking(id, 1), 1, Verdict::NotFoundYet);
        }
        assert_eq!(metrics.answers_not_archived().get(), 7);
        let taken = archiving.take(10);
        assert_eq!(archiving.cut(taken).len(), 10);
        note(&archiving, &tracking(1, 1), 1, Verdict::NotFoundYet);
        assert_eq!(
            metrics.answers_not_archived().get(),
            7,
            "there is room again"
        );
        let long = Answer {
            status: 200,
            body: vec![b' '; ANSWER_MAX + 1],
        };
        assert!(!archiving.wants(&long, 3));
        assert_eq!(metrics.answers_not_archived().get(), 10);
        assert_eq!(archiving.drop_all(), ANSWERS_MAX - 9);
    }

    #[test]
    fn a_repeated_answer_is_passed_over_only_if_no_other_worker_asked_between() {
        let (archiving, _) = archiving();
        let after = |check| Tracking {
            last_check_id: Some(Uuid::from_u128(check)),
            ..tracking(1, 1)
        };
        let waiting = |archiving: &Archiving| {
            let cut = archiving.cut(archiving.take(10));
            archiving.written(&cut);
            cut.len()
        };
        note(&archiving, &after(1), 2, Verdict::NotFoundYet);
        assert_eq!(waiting(&archiving), 1);
        for check in 3..6 {
            note(&archiving, &after(check - 1), check, Verdict::NotFoundYet);
            assert_eq!(waiting(&archiving), 0, "nothing is new");
        }
        note(&archiving, &after(77), 78, Verdict::NotFoundYet);
        assert_eq!(waiting(&archiving), 1, "another worker may have heard more");
        let reason = "x".to_owned();
        note(&archiving, &after(78), 79, Verdict::Failed { reason });
        assert_eq!(waiting(&archiving), 1, "it says something else");
    }
}
