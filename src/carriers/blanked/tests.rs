use proptest::prelude::{any, proptest};
use serde_json::{Value, json};

use super::{Blanked, blanked, without_forms};
use crate::carriers::fixture::json_like;

/// What a carrier's file would read: the events.
fn read(body: &[u8]) -> String {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    value["events"].to_string()
}

#[test]
fn fields_about_people_are_blanked_unless_they_are_read() {
    let body = json!({
        "number": "N1", "events": [{"name": "Delivered", "at": "2026-11-20T10:00:00+01:00"}],
        "recipient": {"city": "Essen", "phones": [4_915_112_345_678_i64], "isCompany": false, "note": null},
        "streetName": "Am Weg 5", "locationName": "Depot 7",
    });
    let done = blanked(body.to_string().as_bytes(), &[], read);
    let expected = json!({
        "number": "N1", "events": [{"name": "Delivered", "at": "2026-11-20T10:00:00+01:00"}],
        "recipient": {"city": "BLANKED", "phones": [0], "isCompany": false, "note": null},
        "streetName": "BLANKED", "locationName": "Depot 7",
    });
    assert_eq!(
        serde_json::from_slice::<Value>(&done.body).ok(),
        Some(expected)
    );
    assert_eq!((done.ending, done.by_form), ("json", 0));
    assert_eq!(done.fields, ["phones", "recipient", "streetName"]);
    assert_eq!(done.kept, ["name"]);
}

#[test]
fn elements_and_attributes_about_people_are_blanked() {
    let body = "<?xml version=\"1.0\"?>\n<a xmlns:n=\"urn:n\"><n:Sender phone=\"1\"><n:Line>Hof &amp; Weg</n:Line></n:Sender><place>Depot</place></a>";
    let done = blanked(body.as_bytes(), &[], |_| String::new());
    let expected = "<?xml version=\"1.0\"?>\n<a xmlns:n=\"urn:n\"><n:Sender phone=\"BLANKED\"><n:Line>BLANKED</n:Line></n:Sender><place>Depot</place></a>";
    assert_eq!(String::from_utf8_lossy(&done.body), expected);
    assert_eq!(
        (done.ending, done.fields),
        ("xml", vec!["Sender".to_owned()])
    );
}

#[test]
fn addresses_phones_and_credentials_are_known_by_their_form() {
    for (text, expected, count) in [
        ("to ann.b+c@mail.example, thanks", "to BLANKED, thanks", 1),
        ("call +49 (151) 234-5678!", "call BLANKED!", 1),
        ("8 (912) 345-67-89", "BLANKED", 1),
        (
            "2026-11-20T10:00:00.000+01:00",
            "2026-11-20T10:00:00.000+01:00",
            0,
        ),
        (
            "parcel 00340434161094015902",
            "parcel 00340434161094015902",
            0,
        ),
        (
            "key k3y/5 of us3r, k3y%2F5",
            "key BLANKED of BLANKED, BLANKED",
            3,
        ),
        ("2026-11-20 +0100", "2026-11-20 +0100", 0),
        ("a@b and @ and x@y.", "a@b and @ and x@y.", 0),
    ] {
        let done = without_forms(text, &["k3y/5", "us3r", "a", ""]);
        assert_eq!(done, (expected.to_owned(), count), "{text}");
    }
}

#[test]
fn what_is_neither_json_nor_xml_is_blanked_by_its_form() {
    let done = blanked(b"ask ann@mail.example", &[], |_| String::new());
    let Blanked { body, ending, .. } = done;
    assert_eq!(
        (body.as_slice(), ending),
        (b"ask BLANKED".as_slice(), "txt")
    );
}

proptest! {
    #[test]
    fn no_answer_makes_it_panic(
        json in json_like(["name", "sender", "street"].map(str::to_owned).to_vec()),
        bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[0-9@.+() a-zé<>&;]{0,40}",
    ) {
        for body in [json, bytes, text.clone().into_bytes(), format!("<name a=\"{text}\">{text}</name>").into_bytes()] {
            drop(blanked(&body, &["aaaa"], read));
        }
    }
}
