//! No secret reaches a screen, a log or an error.

use super::{of_both, of_file, of_variables};
use crate::config::Config;
use crate::config::secret::hide_password;

const SECRET: &str = "hunter2";

fn with_secrets() -> Config {
    of_variables(&[
        (
            "TRACKBOX_STORE__URL",
            "postgres://me:hunter2@db:5432/trackbox?sslpassword=hunter2",
        ),
        ("TRACKBOX_REDIS__URL", "rediss://:hunter2@cache:6379/0"),
        ("TRACKBOX_KAFKA__SASL", "scram-sha-512"),
        ("TRACKBOX_KAFKA__USER", "me"),
        ("TRACKBOX_KAFKA__PASSWORD", "hunter2"),
        ("TRACKBOX_CARRIERS__CDEK__API_KEY", "hunter2"),
        ("TRACKBOX_CARRIERS__CDEK__SECRET", "hunter2"),
        (
            "TRACKBOX_CARRIERS__CDEK__PUSH_SECRET",
            "hunter2-hunter2-hunter2",
        ),
        (
            "TRACKBOX_CARRIERS__CDEK__PUSH_SECRET_BEFORE",
            "before-hunter2-hunter2-",
        ),
        ("TRACKBOX_CARRIERS__CDEK__PUSH_KEY", "hunter2"),
        ("TRACKBOX_CARRIERS__CDEK__PUSH_KEY_BEFORE", "hunter2"),
        (
            "TRACKBOX_CARRIERS__CDEK__BASE_URL",
            "https://me:hunter2@cdek.example/v1",
        ),
        (
            "TRACKBOX_CARRIERS__POST_RU__BASE_URL",
            "https://hunter2@post.example/",
        ),
    ])
    .expect("good variables")
}

#[test]
fn neither_shown_nor_debug_holds_a_secret() {
    let config = with_secrets();
    let (shown, debug) = (config.shown(), format!("{config:?} {config:#?}"));
    assert!(!shown.contains(SECRET), "{shown}");
    assert!(!debug.contains(SECRET), "{debug}");
    assert!(!config.store.url.to_string().contains(SECRET));
    assert!(
        shown.contains("url = \"postgres://me:***@db:5432/trackbox?sslpassword=***\""),
        "{shown}"
    );
    assert!(
        shown.contains("api_key = \"***\"") && shown.contains("api_key = \"\""),
        "{shown}"
    );
    assert_eq!(config.carriers["CDEK"].api_key.expose(), SECRET);
}

#[test]
fn a_configuration_with_hidden_secrets_is_refused_key_by_key() {
    let error = of_file(&with_secrets().shown())
        .expect_err("the secrets are missing")
        .to_string();
    for key in [
        "store.url",
        "redis.url",
        "kafka.password",
        "CDEK.api_key",
        "CDEK.secret",
        "CDEK.base_url",
        "POST_RU.base_url",
    ] {
        assert!(
            error.contains(&format!("{key} holds ***")),
            "{key}: {error}"
        );
    }
}

#[test]
fn no_error_holds_a_secret() {
    let refused = [
        "carriers.CDEK.api_key = hunter2",
        "carriers.CDEK.api_key = \"hunter2",
        "carriers.CDEK.api_key = 'hunter2\"",
        "carriers.CDEK.api_key \"hunter2\"",
        "carriers.CDEK.api_key = [\"hunter2\"]",
        "carriers.CDEK.api_key = \"hunter2\\u0007\"",
        "carriers.CDEK.secret = [\"hunter2\"]",
        "carriers.CDEK.api_kez = \"hunter2\"",
        "store.url = \"postgress://me:hunter2@db/trackbox\"",
        "store.url = \"postgres://me:hunter2@db:99999/trackbox\"",
        "store.url = \"postgres://me:hunter2/x@db:77/trackbox\"",
        "store.url = \"me:hunter2@db/trackbox\"",
        "kafka.password = [\"hunter2\"]",
        "kafka.password = \"hunter2\"",
        "redis.url = \"redis//:hunter2@cache\"",
        "redis.url = \"cache?password=hunter2@1\"",
        "kafka.brokers = [\"me:hunter2@kafka:9092\"]",
        "carriers.CDEK.base_url = \"ftp://me:hunter2@cdek.example\"",
        "carriers.CDEK.base_url = \"https://hunter2@\"",
        "carriers.CDEK.base_url = \"https://cdek.example/?apiKey=hunter2\"",
        "carriers.CDEK.base_url = \"https://me:hunter2@cdek.example/v1/tracking/CDEK/1?key=hunter2\"",
        "carriers.CDEK.api_key = '\"hunter2\"'",
    ];
    for text in refused {
        let error = of_file(text).expect_err(text);
        assert!(
            !format!("{error} {error:?}").contains(SECRET),
            "{text}: {error}"
        );
    }
    for name in [
        "TRACKBOX_STORE__PASSWORD",
        "TRACKBOX_STORE__URL",
        "TRACKBOX_REDIS__URL",
    ] {
        let error = of_both("", &[(name, "me:hunter2@db")])
            .expect_err(name)
            .to_string();
        assert!(!error.contains(SECRET), "{error}");
    }
}

#[test]
fn only_the_secret_part_of_an_address_is_hidden() {
    let addresses = [
        ("http://localhost:9000", "http://localhost:9000"),
        (
            "sqlite://my@trackbox.db?mode=rwc",
            "sqlite://my@trackbox.db?mode=rwc",
        ),
        (
            "postgres://me@db/trackbox?sslmode=require",
            "postgres://me@db/trackbox?sslmode=require",
        ),
        (
            "postgres://me:a@b/c@db/trackbox",
            "postgres://me:***@db/trackbox",
        ),
        ("redis://:x@cache", "redis://:***@cache"),
        ("https://token@api.example/v1", "https://***@api.example/v1"),
        (
            "https://api.example/?apiKey=1&q=2",
            "https://api.example/?apiKey=***&q=2",
        ),
        ("redis://h/?password=a@b", "redis://h/:***"),
        ("", ""),
    ];
    for (address, shown) in addresses {
        assert_eq!(hide_password(address), shown);
    }
}
