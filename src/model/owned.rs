//! Who has a tracking, and what each of them is shown beside it: its own words, as JSON that is made once.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::clock::Time;
use crate::model::extra::{COUNTRY, Extra, POSTAL_CODE, SHIP_DATE};
use crate::model::parcel::{Parcel, State, Words};
use crate::model::tenant::Tenant;

/// The views of a tracking's owners. A clone is the same text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    pub id: i64,
    /// Grows with every change of the owners or of their words.
    pub version: i64,
    /// Of each owner its id, the length of its view, and the view, as `1:17:,"orderId":…`: the fields of [`View`] with a comma
    /// before each, as [`Shown`](crate::model::shown::Shown) has them.
    pub views: Arc<[u8]>,
}

/// What a client is shown of its own parcel beside the tracking.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct View<'a> {
    /// When the shop first sent it.
    created_at: Time,
    state: State,
    #[serde(flatten)]
    words: &'a Words,
    #[serde(flatten)]
    extra: ShownExtra<'a>,
}

/// What the shop told beside the number; what it did not tell is left out.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ShownExtra<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    postal_code: Option<&'a str>,
    /// A day, as 2026-11-30.
    #[serde(skip_serializing_if = "Option::is_none")]
    ship_date: Option<&'a str>,
    /// ISO 3166-1, two letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<&'a str>,
    /// The rest, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extra: BTreeMap<&'a str, &'a str>,
}

impl<'a> ShownExtra<'a> {
    fn of(extra: &'a Extra) -> Self {
        let mut shown = Self::default();
        for (name, value) in extra.all() {
            match name.as_str() {
                POSTAL_CODE => shown.postal_code = Some(value),
                SHIP_DATE => shown.ship_date = Some(value),
                COUNTRY => shown.country = Some(value),
                name => drop(shown.extra.insert(name, value)),
            }
        }
        shown
    }
}

impl Owned {
    pub fn of<'a>(id: i64, version: i64, parcels: impl IntoIterator<Item = &'a Parcel>) -> Self {
        let mut views = Vec::new();
        for parcel in parcels {
            let view = view(parcel);
            let head = format!("{}:{}:", parcel.tenant.id(), view.len());
            views.extend_from_slice(head.as_bytes());
            views.extend_from_slice(&view);
        }
        Self {
            id,
            version,
            views: views.into(),
        }
    }

    /// What this tenant is shown; `None` if the tracking is not its own.
    pub fn view(&self, tenant: Tenant) -> Option<&[u8]> {
        self.views.get(self.place(tenant)?)
    }

    /// Where in the text that is.
    pub fn place(&self, tenant: Tenant) -> Option<Range<usize>> {
        let mut rest: &[u8] = &self.views;
        while !rest.is_empty() {
            let (id, after) = number(rest)?;
            let (length, after) = number(after)?;
            let (view, next) = after.split_at_checked(usize::try_from(length).ok()?)?;
            if id == i64::from(tenant.id()) {
                let end = self.views.len() - next.len();
                return Some(end - view.len()..end);
            }
            rest = next;
        }
        None
    }
}

/// The fields of a parcel's [`View`] with a comma before each.
pub fn view(parcel: &Parcel) -> Vec<u8> {
    let view = View {
        created_at: parcel.created_at,
        state: parcel.state,
        words: &parcel.words,
        extra: ShownExtra::of(&parcel.extra),
    };
    // Texts and times always serialize.
    let mut json = serde_json::to_vec(&view).unwrap_or_default();
    json.pop();
    if let Some(brace) = json.first_mut() {
        *brace = b',';
    }
    json
}

/// The number before the next colon, and what follows it.
fn number(text: &[u8]) -> Option<(i64, &[u8])> {
    let colon = text.iter().position(|byte| *byte == b':')?;
    let number = str::from_utf8(&text[..colon]).ok()?.parse().ok()?;
    Some((number, &text[colon + 1..]))
}

#[cfg(test)]
mod tests {
    use super::Owned;
    use crate::model::extra::Extra;
    use crate::model::fixture::at;
    use crate::model::parcel::{Parcel, State, Words};
    use crate::model::tenant::Tenant;

    #[test]
    fn each_owner_is_shown_its_own_words_and_a_stranger_nothing() {
        let parcel = |tenant, order: &str| Parcel {
            tenant: Tenant::from_row(tenant),
            tracking_id: 7,
            state: State::Stopped,
            words: Words {
                order_id: Some(order.to_owned()),
                labels: vec!["1:3:x".to_owned()],
                ..Words::default()
            },
            extra: Extra::default(),
            created_at: at(0),
        };
        let owned = Owned::of(7, 3, &[parcel(1, "2:5:,"), parcel(12, "Ж")]);
        let shown = |tenant| {
            let view = owned.view(Tenant::from_row(tenant))?;
            Some(String::from_utf8_lossy(view).into_owned())
        };
        assert_eq!(
            shown(12).expect("is an owner"),
            r#","createdAt":"2026-11-20T12:00:00Z","state":"STOPPED","orderId":"Ж","title":null,"note":null,"labels":["1:3:x"],"metadata":{}"#
        );
        assert!(shown(1).is_some_and(|view| view.contains("2:5:,")));
        assert_eq!(shown(2), None);
    }

    #[test]
    fn what_a_shop_told_beside_the_number_is_shown_to_it_alone() {
        let parcel = |tenant, extra: &str| Parcel {
            tenant: Tenant::from_row(tenant),
            tracking_id: 7,
            state: State::Followed,
            words: Words::default(),
            extra: Extra::read(Some(extra)).expect("is one"),
            created_at: at(0),
        };
        let told =
            r#"{"country":"DE","phone":"0123","postal_code":"10115","ship_date":"2026-11-30"}"#;
        let owned = Owned::of(7, 3, &[parcel(1, told), parcel(2, "{}")]);
        let shown = |tenant| {
            let view = owned.view(Tenant::from_row(tenant)).expect("is an owner");
            String::from_utf8_lossy(view).into_owned()
        };
        let expected = r#","postalCode":"10115","shipDate":"2026-11-30","country":"DE","extra":{"phone":"0123"}"#;
        assert!(shown(1).ends_with(expected), "{}", shown(1));
        assert!(shown(2).ends_with(r#""metadata":{}"#), "{}", shown(2));
    }

    #[test]
    fn a_text_that_is_none_of_ours_shows_nothing() {
        for text in [
            "1",
            "1:",
            "1:9:x",
            "x:1:y",
            "1:-1:y",
            "1:99999999999999999999:y",
        ] {
            let owned = Owned {
                id: 1,
                version: 1,
                views: text.as_bytes().into(),
            };
            assert_eq!(owned.view(Tenant::DEFAULT), None, "{text}");
        }
    }
}
