//! Who is let in, and what counts as the carrier's own.

use crate::carriers::door::Door;
use crate::carriers::fixture;
use crate::carriers::push::{SignatureMethod, unhex};
use crate::config::{CarrierSection, Secret};

const SECRET: &str = "kN3dP0r8mZ1bT6cYw9aQxV2s";
const BODY: &[u8] = br#"{"event":"x"}"#;

fn section(adapt: impl FnOnce(&mut CarrierSection)) -> CarrierSection {
    let mut section = CarrierSection {
        push_secret: Secret::new(SECRET),
        push_key: Secret::new("the key"),
        ..CarrierSection::default()
    };
    adapt(&mut section);
    section
}

fn door(adapter: &str, section: &CarrierSection) -> Door {
    let carrier = fixture::adapter(adapter, "https://api.example/");
    Door::of(section, carrier.as_ref()).expect("takes pushes")
}

/// Whether a body with this header is the carrier's own.
fn proves(door: &Door, name: &str, value: &str) -> bool {
    let header = |wanted: &str| (wanted == name).then_some(value.as_bytes());
    door.proves(header, BODY)
}

#[test]
fn an_address_opens_to_its_secret_and_the_one_before_and_to_nothing_else() {
    let before = "o1dS3cret-o1dS3cret-o1dS3cret";
    let changed = section(|it| it.push_secret_before = Secret::new(before));
    let door = door("cdek", &changed);
    assert!(door.opens_to(SECRET) && door.opens_to(before));
    for other in ["", "x", &SECRET[1..], &SECRET.to_lowercase(), "***"] {
        assert!(!door.opens_to(other), "{other}");
    }
    let shown = format!("{door:?}");
    assert!(!shown.contains(SECRET) && !shown.contains("the key"));
}

#[test]
fn a_section_without_a_secret_or_an_adapter_that_reads_no_pushes_has_no_door() {
    let closed = section(|it| it.push_secret = Secret::default());
    let cdek = fixture::adapter("cdek", "https://api.example/");
    assert!(Door::of(&closed, cdek.as_ref()).is_none());
    let dhl = fixture::adapter("dhl", "https://api.example/");
    assert!(Door::of(&section(|_| ()), dhl.as_ref()).is_none());
}

#[test]
fn a_carrier_that_signs_is_believed_and_another_only_if_the_section_says_so() {
    assert!(door("aftership", &section(|_| ())).is_trusted());
    assert!(!door("cdek", &section(|_| ())).is_trusted());
    assert!(door("cdek", &section(|it| it.push_trust = true)).is_trusted());
    assert!(
        proves(&door("cdek", &section(|_| ())), "", ""),
        "it signs nothing"
    );
}

/// `openssl dgst -sha256 -hmac "the key"` and `openssl dgst -sha256` of the body, a slash and the key.
const HMAC_HEX: &str = "a8308e9e15cb4af92a27761df535aeb2e25841ee7d11704950730ab3e01dbd44";
const HMAC_BASE64: &str = "qDCOnhXLSvkqJ3Yd9TWusuJYQe59EXBJUHMKs+AdvUQ=";
const SHA256_HEX: &str = "5941084479d027a6102675943d168cd6d59bae7da400d356b3ec4110bb8cac43";

#[test]
fn signatures_made_by_another_program_are_read() {
    let carriers = [
        ("aftership", "aftership-hmac-sha256", HMAC_BASE64.to_owned()),
        (
            "easypost",
            "x-hmac-signature",
            format!("hmac-sha256-hex={HMAC_HEX}"),
        ),
        ("ups", "credential", "the key".to_owned()),
        ("17track", "sign", SHA256_HEX.to_owned()),
    ];
    for (adapter, header, value) in carriers {
        let door = door(adapter, &section(|_| ()));
        assert!(proves(&door, header, &value), "{adapter}");
        assert!(
            proves(
                &door,
                header,
                &format!(" {value} ").replace(" hmac", "hmac")
            ),
            "{adapter}: blanks around it"
        );
        for forged in ["", "x", &value[1..], &value.replace(['a', 'k', 'A'], "b")] {
            assert!(!proves(&door, header, forged), "{adapter}: {forged}");
        }
        assert!(!proves(&door, "another-header", &value), "{adapter}");
        assert!(!door.proves(|_| None, BODY), "{adapter}");
        let before = section(|it| {
            it.push_key = Secret::new("another key");
            it.push_key_before = Secret::new("the key");
        });
        let before = self::door(adapter, &before);
        assert!(proves(&before, header, &value), "{adapter}: the key before");
        let other = section(|it| it.push_key = Secret::new("another key"));
        let other = self::door(adapter, &other);
        assert!(!proves(&other, header, &value), "{adapter}: another key");
    }
}

#[test]
fn a_signature_is_of_these_bytes_and_this_key() {
    let (hex, base64) = (
        SignatureMethod::HmacSha256Hex,
        SignatureMethod::HmacSha256Base64,
    );
    let slash = SignatureMethod::Sha256SlashKeyHex;
    for (method, given) in [(hex, HMAC_HEX), (base64, HMAC_BASE64), (slash, SHA256_HEX)] {
        let is = |body: &[u8], key: &[u8]| method.is(given.as_bytes(), key, body);
        assert!(is(BODY, b"the key"), "{method:?}");
        assert!(!is(b"{\"event\":\"y\"}", b"the key") && !is(BODY, b"the keys"));
        assert!(!is(&BODY[1..], b"the key") && !is(b"", b""));
    }
    assert!(hex.is(HMAC_HEX.to_uppercase().as_bytes(), b"the key", BODY));
}

#[test]
fn the_api_key_signs_where_the_file_says_so() {
    let section = |key: &str| {
        section(|it| {
            it.push_key = Secret::default();
            it.api_key = Secret::new(key);
        })
    };
    let own = door("17track", &section("the key"));
    assert!(proves(&own, "sign", SHA256_HEX));
    assert!(!proves(&own, "sign", HMAC_HEX));
    assert!(own.is_trusted());
    let other = door("17track", &section("another key"));
    assert!(!proves(&other, "sign", SHA256_HEX));
}

proptest::proptest! {
    #[test]
    fn no_signature_makes_it_panic(given: Vec<u8>, key: Vec<u8>, body: Vec<u8>) {
        for method in [
            SignatureMethod::HmacSha256Hex,
            SignatureMethod::HmacSha256Base64,
            SignatureMethod::Sha256SlashKeyHex,
        ] {
            proptest::prop_assert!(!method.is(&given, &key, &body));
        }
        unhex(&given);
    }
}
