//! What a carrier's file says of the bodies that the carrier pushes: what they are about, and what proves them.

use serde_json::Value;
use strum::VariantNames as _;

use crate::carriers::declared::condition::{Condition, Subject, any};
use crate::carriers::declared::context::Context;
use crate::carriers::declared::item::ItemRule;
use crate::carriers::declared::path::{Path, first_text};
use crate::carriers::declared::subscribe::{SubscribeRule, subscribe};
use crate::carriers::declared::toml::Section;
use crate::carriers::push::{PARCELS_MAX, Signature, SignatureMethod};
use crate::carriers::reading::misshapen;
use crate::carriers::{CarrierError, Pushed, Verdict};

/// How pushed bodies are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushRule {
    /// What shows that a body is about parcels; all are, if there is none.
    about: Vec<Condition>,
    /// What is told of one parcel each; the whole body if there is none.
    parcels: Option<Path>,
    /// How that is read, if it is of another form than the item of an answer.
    item: Option<ItemRule>,
    pub signature: Option<Signature>,
    /// How the carrier is asked to push; `None` if it is told on its own pages.
    pub subscribe: Option<SubscribeRule>,
}

impl PushRule {
    /// The rule of a file; `None` if it has none.
    pub fn read(root: &Section<'_>, map: &Section<'_>, version: i32) -> Option<Self> {
        let section = root.section("push");
        if !section.is_there() {
            return None;
        }
        let (item, event) = (section.section("item"), section.section("event"));
        let item = match (item.is_there(), event.is_there()) {
            (true, true) => Some(ItemRule::read(
                &item,
                &event,
                map,
                root.has("map_of"),
                version,
            )?),
            (false, false) => None,
            _ => {
                let advice =
                    "write both, or neither if what is pushed has the form of an answer's item";
                section.wrong("item", "and [push.event] need each other", advice);
                None
            }
        };
        let rule = Self {
            about: Condition::list(&section, "about"),
            parcels: section.read("parcels", str::parse),
            item,
            signature: signature(&section.section("signature")),
            subscribe: subscribe(&section.section("subscribe")),
        };
        section.done();
        Some(rule)
    }

    /// What a body tells, parcel by parcel; nothing if it is about something else. `answered` is how an answer's
    /// item is read, and `verdict` what that makes of one.
    ///
    /// # Errors
    /// [`CarrierError`] if a parcel has no number.
    pub fn pushed(
        &self,
        answered: &ItemRule,
        verdict: impl Fn(&Value) -> Result<Verdict, CarrierError>,
        body: &Value,
        context: Context<'_>,
    ) -> Result<Vec<Pushed>, CarrierError> {
        let subject = Subject {
            http: context.http,
            value: body,
            words: None,
        };
        if !self.about.is_empty() && !any(&self.about, subject) {
            return Ok(Vec::new());
        }
        let parcels = match &self.parcels {
            Some(path) => path.all(body),
            None => vec![body],
        };
        if parcels.is_empty() {
            let name = self.parcels.as_ref().map_or("parcels", Path::name);
            return Err(misshapen(&format!("it has no {name}")));
        }
        if parcels.len() > PARCELS_MAX {
            let count = parcels.len();
            return Err(misshapen(&format!(
                "it tells of {count} parcels, and at most {PARCELS_MAX} are read"
            )));
        }
        let pushed = |value| {
            let item = self.item.as_ref().unwrap_or(answered);
            let number = first_text(&item.number, value);
            if number.is_empty() {
                let name = item.number.first().map_or("number", Path::name);
                return Err(misshapen(&format!("it names no {name}")));
            }
            let told = match &self.item {
                Some(item) => item.verdict(value, context),
                None => verdict(value),
            };
            let told = match told {
                Ok(Verdict::Seen(seen)) => Some(seen),
                // The parcel's next check tells what it is.
                Ok(_) | Err(_) => None,
            };
            Ok((number, told))
        };
        parcels.into_iter().map(pushed).collect()
    }
}

fn signature(section: &Section<'_>) -> Option<Signature> {
    if !section.is_there() {
        return None;
    }
    let method = section.read("method", |text| {
        let known = SignatureMethod::VARIANTS.join(", ");
        text.parse::<SignatureMethod>()
            .map_err(|_| format!("none of {known}"))
    });
    if !section.has("method") {
        let advice = "write method = \"hmac-sha256-hex\"";
        section.wrong("method", "is missing", advice);
    }
    let header = section.needed("header", "x-signature");
    let rule = Signature {
        header: header?.to_ascii_lowercase(),
        method: method?,
        starts: section.text("starts").unwrap_or_default(),
        by_api_key: section.flag("by_api_key").unwrap_or(false),
    };
    section.done();
    Some(rule)
}
