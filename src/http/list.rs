//! `GET /trackings`: a shop's list of its parcels, and how many there are.

use std::collections::BTreeMap;

use aide::axum::ApiRouter;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use macro_rules_attribute::apply;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use strum::VariantArray;

use crate::carriers::offer::{Meant, Offer};
use crate::clock::Time;
use crate::http::trackings::{self, TAG, Trackings, documented_as, example};
use crate::http::{Serve, veil};
use crate::model::CarrierCode;
use crate::model::parcel::{self, order_key};
use crate::model::status::Status;
use crate::serving::caller::Reads;
use crate::serving::docs::PLAIN;
use crate::serving::extract::Query;
use crate::serving::operation::{documented, get};
use crate::serving::page::{FLAG, any_number, flag, limit};
use crate::serving::problem::{FieldError, Problem};
use crate::store::search::{Filter, Place};

/// How many parcels a page has, and at most.
const PAGE: u32 = 50;
const PAGE_MAX: u32 = 500;

/// The most words that a parameter lists.
const WORDS_MAX: usize = 40;

/// Which parcels are asked for. Of a list, separated by commas, one must be true; of several parameters all.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListQuery {
    /// How many at most: 1 to 500, default 50.
    #[schemars(with = "Option<u32>", transform = any_number, example = 50)]
    limit: Option<String>,
    /// The `nextCursor` of the previous answer.
    cursor: Option<String>,
    /// FOLLOWED, STOPPED, ARCHIVED; left out: all but archived ones.
    #[schemars(regex(pattern = any_of::<parcel::State>()), example = &"FOLLOWED")]
    state: Option<String>,
    /// Such as IN_TRANSIT,EXCEPTION.
    #[schemars(regex(pattern = any_of::<Status>()), example = &"IN_TRANSIT")]
    status: Option<String>,
    #[schemars(regex(pattern = PLAIN), length(max = 64), example = &"CDEK")]
    carrier_code: Option<String>,
    #[schemars(example = &"express")]
    label: Option<String>,
    /// The whole order, in any case.
    #[schemars(example = &"A-17")]
    order_id: Option<String>,
    /// What the number begins with, in any case, with or without blanks and dashes.
    #[schemars(example = &"12345")]
    number: Option<String>,
    /// Whether the last three checks failed.
    #[schemars(regex(pattern = FLAG), example = &"false")]
    failing: Option<String>,
}

/// A page.
#[derive(Debug)]
pub struct Listed(Trackings);

impl axum::response::IntoResponse for Listed {
    fn into_response(self) -> axum::response::Response {
        self.0.into_response()
    }
}

/// A page of a list.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "TrackingsPage")]
#[expect(dead_code, reason = "documents what Listed writes")]
pub struct Documented {
    trackings: Vec<trackings::Tracking>,
    /// Give it as `cursor` for the next page; null at the end. A page may be short, or empty, although there is one.
    next_cursor: Option<String>,
}

documented_as!(Listed: Documented);

/// List parcels
///
/// The newest change first; by `orderId` or `label` the newest parcel first; by `number` in the order of the numbers. Go on with
/// `nextCursor` until it is null: a page may be short although more follow. A parcel that changes meanwhile moves to the front:
/// to mirror all parcels, follow `GET /changes`.
#[apply(documented)]
async fn list_trackings(
    caller: Reads,
    State(serve): State<Serve>,
    Query(query): Query<ListQuery>,
) -> Result<Listed, Problem> {
    let filter = query.filter(Offer::of(&serve.routes, &caller.shop))?;
    let limit = limit(query.limit.as_deref(), PAGE, PAGE_MAX).map_err(Problem::invalid_at)?;
    let after = match query.cursor.as_deref() {
        None | Some("") => None,
        Some(text) => Some(read_cursor(text, &filter).ok_or_else(|| {
            wrong(
                "cursor",
                "must be the nextCursor of an answer to the same question",
            )
        })?),
    };
    let found = serve
        .store
        .find_parcels(caller.tenant, &filter, after.as_ref(), limit as usize)
        .await?;
    let mut known = serve.current.get(caller.tenant, &found.ids).await?;
    let shown = known.iter_mut().flatten().map(|seen| &mut seen.shown);
    veil::hide_names(&serve, &caller, shown).await?;
    let mut trackings = Trackings::default();
    for (id, seen) in std::iter::zip(found.ids, known) {
        if let Some(seen) = seen {
            trackings.add(id, &seen.shown, seen.view(), &[]);
        }
    }
    let next = found.next.map(|place| cursor(&place, &filter));
    Ok(Listed(trackings.with_field("nextCursor", &next)))
}

fn wrong(name: &str, detail: impl std::fmt::Display) -> Problem {
    let detail = format!("{name} {detail}");
    Problem::invalid_at(FieldError::parameter(name, detail))
}

impl ListQuery {
    fn filter(&self, offer: Offer<'_>) -> Result<Filter, Problem> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        let failing = match given(&self.failing) {
            None => None,
            Some(text) => Some(flag("failing", Some(&text))?),
        };
        let statuses = words("status", &self.status, |word| {
            Status::parse(&word.to_uppercase())
        })?;
        let carriers = words("carrierCode", &self.carrier_code, |word| {
            let code = CarrierCode::parse(word.to_owned()).ok()?;
            Some(match offer.meant(&code) {
                Meant::Section(section) => section.as_str().to_owned(),
                _ => code.as_str().to_owned(),
            })
        })?;
        let number_key = given(&self.number).map(|it| parcel::number_key(&it));
        if number_key.as_deref() == Some("") {
            return Err(wrong("number", "must have a letter or a digit"));
        }
        Ok(Filter {
            states: words("state", &self.state, |word| {
                word.to_uppercase().parse().ok()
            })?,
            statuses,
            carriers,
            label: given(&self.label).map(|label| label.trim().to_owned()),
            order_key: given(&self.order_id).map(|order| order_key(&order)),
            number_key,
            failing,
        })
    }
}

/// The words of a list.
fn words<T>(
    name: &str,
    text: &Option<String>,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, Problem> {
    let words = text.as_deref().unwrap_or_default().split(',');
    let words: Vec<&str> = words.map(str::trim).filter(|it| !it.is_empty()).collect();
    if words.len() > WORDS_MAX {
        return Err(wrong(
            name,
            format_args!("may list at most {WORDS_MAX} words"),
        ));
    }
    let read = |word: &&str| read(word).ok_or_else(|| wrong(name, format_args!("has no {word}")));
    words.iter().map(read).collect()
}

/// The pattern of a list of the names of `T`.
fn any_of<T: VariantArray + Copy + Into<&'static str>>() -> String {
    let names: Vec<&str> = T::VARIANTS.iter().map(|it| (*it).into()).collect();
    let one = names.join("|");
    format!("^(({one})(,({one}))*)?$")
}

/// What tells the questions of cursors apart.
fn mark(filter: &Filter) -> [u8; 4] {
    let hash = Sha256::digest(format!("{filter:?}").as_bytes());
    let mut mark = [0; 4];
    mark.copy_from_slice(&hash[..4]);
    mark
}

/// The version of cursors.
const CURSOR: u8 = 1;

fn cursor(place: &Place, filter: &Filter) -> String {
    let mut bytes = vec![CURSOR];
    bytes.extend_from_slice(&mark(filter));
    bytes.extend_from_slice(&place.tracking_id.to_be_bytes());
    bytes.extend_from_slice(&place.changed_at.timestamp_micros().to_be_bytes());
    bytes.extend_from_slice(place.number_key.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a cursor of the same question; `None` if it is none.
fn read_cursor(text: &str, filter: &Filter) -> Option<Place> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let rest = bytes.strip_prefix(&[CURSOR])?.strip_prefix(&mark(filter))?;
    let (id, rest) = rest.split_first_chunk::<8>()?;
    let (micros, number) = rest.split_first_chunk::<8>()?;
    Some(Place {
        tracking_id: i64::from_be_bytes(*id),
        changed_at: Time::from_timestamp_micros(i64::from_be_bytes(*micros))?,
        number_key: str::from_utf8(number)
            .ok()
            .filter(|it| !it.contains('\0'))?
            .to_owned(),
    })
}

/// How many parcels there are.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Without archived ones.
    total: i64,
    archived: i64,
    /// Without archived ones.
    by_status: BTreeMap<Status, i64>,
    by_carrier: Vec<OfCarrier>,
}

/// How many parcels of a carrier there are.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
struct OfCarrier {
    carrier_code: String,
    total: i64,
    by_status: BTreeMap<Status, i64>,
}

/// Count parcels
///
/// By status and carrier, as they are now.
#[apply(documented)]
async fn summarize_trackings(
    caller: Reads,
    State(serve): State<Serve>,
) -> Result<axum::Json<Summary>, Problem> {
    let mut summary = Summary::default();
    for count in serve.store.parcel_counts(caller.tenant).await? {
        if count.archived {
            summary.archived += count.n;
            continue;
        }
        summary.total += count.n;
        *summary.by_status.entry(count.status).or_default() += count.n;
        if summary
            .by_carrier
            .last()
            .is_none_or(|last| last.carrier_code != count.carrier_code)
        {
            summary.by_carrier.push(OfCarrier {
                carrier_code: count.carrier_code,
                ..OfCarrier::default()
            });
        }
        if let Some(carrier) = summary.by_carrier.last_mut() {
            carrier.total += count.n;
            *carrier.by_status.entry(count.status).or_default() += count.n;
        }
    }
    Ok(axum::Json(summary))
}

pub fn router() -> ApiRouter<Serve> {
    let page = json!({"trackings": [example(true)], "nextCursor": null});
    let list = list_trackings::operation(TAG).answer("A page of the list.", page);
    let summary = json!({
        "total": 3, "archived": 1, "byStatus": {"IN_TRANSIT": 2, "DELIVERED": 1},
        "byCarrier": [{"carrierCode": "CDEK", "total": 3, "byStatus": {"IN_TRANSIT": 2, "DELIVERED": 1}}],
    });
    let summarize = summarize_trackings::operation(TAG).answer("The counts.", summary);
    ApiRouter::new()
        .api_route("/trackings", get(list_trackings, list))
        .api_route("/trackings/summary", get(summarize_trackings, summarize))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::any;
    use proptest::{prop_assert_eq, proptest};

    use super::{cursor, read_cursor};
    use crate::model::fixture::at;
    use crate::store::search::{Filter, Place};

    proptest! {
        #[test]
        fn a_cursor_is_read_again_by_the_same_question_alone(id in 1..i64::MAX, secs in 0..1_000_000_i64, number in "[A-Z0-9]{0,64}") {
            let filter = Filter { label: Some("x".to_owned()), ..Filter::default() };
            let place = Place { tracking_id: id, changed_at: at(secs), number_key: number };
            let text = cursor(&place, &filter);
            prop_assert_eq!(read_cursor(&text, &filter), Some(place));
            prop_assert_eq!(read_cursor(&text, &Filter::default()), None);
        }

        #[test]
        fn any_text_is_a_cursor_or_none(text in any::<String>()) {
            read_cursor(&text, &Filter::default());
        }
    }
}
