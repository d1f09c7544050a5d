use super::{Meant, Offer};
use crate::carriers::routes::Routes;
use crate::config::Config;
use crate::model::CarrierCode;
use crate::model::tenant::TenantCode;

fn routes(adapt: impl FnOnce(&mut Config)) -> Routes {
    let mut config = Config::default();
    adapt(&mut config);
    Routes::new(&config).expect("routes")
}

fn meant_by(routes: &Routes, tenant: &str, code: &str) -> Meant {
    let tenant = TenantCode::parse(tenant).expect("a code");
    Offer::of(routes, &tenant).meant(&CarrierCode::parse(code).expect("a code"))
}

#[test]
fn letters_of_another_alphabet_are_no_spelling_of_a_section() {
    let routes = routes(|config| {
        let rest = config.carriers["*"].clone();
        config.carriers.insert("ПОЧТА".to_owned(), rest);
    });
    for (spelling, meant) in [
        ("\u{421}DEK", "CDEK"),
        ("cd\u{435}\u{43a}", "CDEK"),
        ("CD\u{395}K", "CDEK"),
        ("\u{420}\u{41e}S\u{422}_RU", "POST_RU"),
        ("ПOЧTA", "ПОЧТА"),
    ] {
        let meant = Meant::LookAlike(meant.to_owned());
        assert_eq!(meant_by(&routes, "default", spelling), meant, "{spelling}");
    }
}

#[test]
fn a_similar_code_is_served_by_the_section_for_all_others() {
    let similar = |name: &str| Some(name.to_owned());
    let all = routes(|_| ());
    let meant = |text| meant_by(&all, "default", text);
    assert_eq!(
        meant("CDEC"),
        Meant::Any {
            similar: similar("CDEK")
        }
    );
    assert_eq!(
        meant("POSTRU"),
        Meant::Any {
            similar: similar("POST_RU")
        }
    );
    assert_eq!(meant("DHL"), Meant::Any { similar: None });
    assert_eq!(
        meant("\u{421}\u{414}\u{415}\u{41a}"),
        Meant::Any {
            similar: similar("CDEK")
        },
        "of its four Cyrillic letters three look Latin"
    );
    let some = routes(|config| {
        config.carriers.remove("*");
    });
    assert_eq!(
        meant_by(&some, "default", "CDEC"),
        Meant::Unknown {
            similar: similar("CDEK")
        }
    );
}

#[test]
fn the_section_of_others_is_unknown_in_every_spelling() {
    let shop = TenantCode::parse("shop").expect("a code");
    let routes = routes(|config| {
        let section = config.carriers.get_mut("CDEK").expect("shipped");
        section.tenants = Some(vec![shop.clone()]);
    });
    let meant = |tenant: &str, code: &str| meant_by(&routes, tenant, code);
    let section = CarrierCode::parse("CDEK").expect("a code");
    assert_eq!(meant("shop", "cdek"), Meant::Section(section));
    for spelling in ["CDEK", " c d e k ", "CDEK\u{200b}"] {
        let unknown = Meant::Unknown { similar: None };
        assert_eq!(meant("default", spelling), unknown, "{spelling:?}");
    }
    // Nothing tells that it is there.
    let any = Meant::Any { similar: None };
    assert_eq!(meant("default", "CDEC"), any);
    assert_eq!(meant("default", "\u{421}DEK"), any);
    assert_eq!(
        Offer::of(&routes, &TenantCode::default()).known(),
        ["*", "POST_RU"]
    );
    assert_eq!(Offer::of(&routes, &shop).known(), ["*", "CDEK", "POST_RU"]);
}
