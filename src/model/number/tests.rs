use proptest::prelude::{Strategy, any, prop, proptest};

use crate::model::fixture::tracking;
use crate::model::number::{LookAlikes, Spelling, fold, skeleton};
use crate::model::{CODE_CHARS_MAX, Named, TrackNumber};

/// Spellings of one number that users sent (Dolibarr#37500, gbrodman/order-tracking#107, tokopedia/Bug-Bounty#23,
/// Expensify/App#35557; read November 2026), and their kin.
const SPELLINGS: [&str; 16] = [
    "RB123456789RU",
    "rb123456789ru",
    "Rb 123 456 789 rU",
    " RB123456789RU",
    "RB123456789RU ",
    "RB123456789RU\u{200b}",
    "\u{feff}RB123456789RU",
    "RB\u{a0}123456789\u{202f}RU",
    "RB123456789RU\u{202c}",
    "\u{200e}RB123456789RU\u{200f}",
    "RB\u{ad}123456789RU",
    "RB123456789RU\u{fe0f}",
    "\u{2068}RB123456789RU\u{2069}",
    "RB\u{3000}123\u{2009}456\u{2800}789RU",
    "RB123456789RU\u{180e}",
    "RB1\u{2060}23456789R\u{e0001}U",
];

#[test]
fn blanks_invisible_characters_and_case_fold_away() {
    for spelling in SPELLINGS {
        assert_eq!(fold(spelling), "RB123456789RU", "{spelling:?}");
    }
}

#[test]
fn digits_of_other_widths_and_letters_beyond_ascii_stay() {
    for text in ["１２３", "ß", "я", "Я", "İ", "1-2_3.4/5"] {
        assert_eq!(fold(text), text);
    }
}

#[test]
fn a_carrier_may_mind_blanks_or_case_but_never_what_cannot_be_seen() {
    let text = "\u{feff}a\u{a0}b\u{200b}";
    let fold = |blanks_matter, case_matters| {
        let spelling = Spelling {
            blanks_matter,
            case_matters,
        };
        spelling.fold(text)
    };
    assert_eq!(fold(false, false), "AB");
    assert_eq!(fold(true, false), "A B");
    assert_eq!(fold(false, true), "ab");
    assert_eq!(fold(true, true), "a b");
}

#[test]
fn a_number_without_visible_characters_is_asked_for_as_it_is() {
    let number = TrackNumber::parse("\u{200b} ").expect("a number");
    assert_eq!(number.asked(Spelling::default()), number);
}

#[test]
fn look_alikes_are_found_in_what_was_meant_to_be_latin() {
    let found = |text| LookAlikes::in_text(text).map(|it| (it.letters, it.latin));
    let of = |letters: &str, latin: &str| Some((letters.to_owned(), latin.to_owned()));
    // Cyrillic В, then all of Р, В, Р, У, then Greek Β.
    assert_eq!(found("R\u{412}123456789RU"), of("\u{412}", "RB123456789RU"));
    assert_eq!(
        found("\u{420}\u{412}1\u{420}\u{423}"),
        of("\u{420}\u{412}\u{423}", "PB1PY")
    );
    assert_eq!(found("r\u{392}1"), of("\u{392}", "RB1"));
    assert_eq!(found("RB123456789RU"), None);
    assert_eq!(found("Заказ 12"), None, "it is Russian throughout");
    assert_eq!(found("１２Ｂ"), None);
}

#[test]
fn a_message_may_name_its_parcel_in_any_spelling_or_not_at_all() {
    let row = tracking(7, 1);
    let named = |code: Option<&str>, number: Option<&str>| Named {
        carrier_code: code.map(str::to_owned),
        track_number: number.map(str::to_owned),
    };
    assert!(Named::of(&row).may_be(&row));
    assert!(Named::default().may_be(&row));
    assert!(named(Some("cdek "), Some("n 7\u{200b}")).may_be(&row));
    assert!(named(None, Some("N7")).may_be(&row));
    assert!(!named(Some("CDEK"), Some("N8")).may_be(&row));
    assert!(!named(Some("POST_RU"), Some("N7")).may_be(&row));
}

/// Texts of visible and invisible, blank, small, and foreign characters.
fn texts() -> impl Strategy<Value = String> {
    let chars = prop::sample::select(
        "aZ0 -\u{a0}\u{200b}\u{feff}\u{412}\u{432}ß\u{3164}\u{e0020}"
            .chars()
            .collect::<Vec<_>>(),
    );
    let some = prop::collection::vec(chars, 0..=CODE_CHARS_MAX);
    some.prop_map(|chars| chars.into_iter().collect())
}

proptest! {
    #[test]
    fn folding_twice_is_folding_once_and_never_makes_a_text_longer(
        text in texts(), other in any::<String>(), blanks_matter in any::<bool>(), case_matters in any::<bool>(),
    ) {
        let spelling = Spelling { blanks_matter, case_matters };
        for text in [text, other] {
            let folded = spelling.fold(&text);
            assert_eq!(spelling.fold(&folded), folded);
            assert!(folded.chars().count() <= text.chars().count());
            assert_eq!(fold(&folded), fold(&text), "what a carrier minds is folded by the rest");
            assert_eq!(skeleton(&skeleton(&text)), skeleton(&text));
        }
    }
}
