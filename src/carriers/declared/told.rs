//! What is said of what a shop told beside a number, and where it is hidden.

use crate::model::extra::{COUNTRY, Extra, POSTAL_CODE, SHIP_DATE};

/// What a shop has to do before a number can be asked for.
pub fn needs(name: &str) -> String {
    let field = match name {
        POSTAL_CODE => "postalCode",
        SHIP_DATE => "shipDate",
        COUNTRY => COUNTRY,
        other => &format!("extra.{other}"),
    };
    format!(
        "the carrier is not asked without the parcel's {field}: tell it with PATCH /trackings/{{trackingId}}"
    )
}

/// Takes out of a carrier's words what a shop told beside the number: everyone who follows it sees them. A country's two letters
/// tell nobody apart.
pub fn hide(words: &mut String, extra: &Extra) {
    let values = extra.all().values().filter(|value| value.len() > 2);
    for value in values {
        if words.contains(value.as_str()) {
            *words = words.replace(value.as_str(), "…");
        }
    }
}
