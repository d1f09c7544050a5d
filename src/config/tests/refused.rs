//! Unknown keys and wrong values are refused with their place and what to do.

use super::{of_both, of_file, of_variables};

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_nearest_known_one() {
    let unknown = [
        (
            "[http]\nlisten_on = \"127.0.0.1:1\"",
            "http.listen_on",
            "did you mean http.listen?",
        ),
        (
            "[worker]\nbatch = 1",
            "worker.batch",
            "did you mean work.batch?",
        ),
        (
            "[http]\ntimeout = 1",
            "http.timeout",
            "did you mean http.header_timeout?",
        ),
        (
            "[carriers.CDEK]\nper_minut = 1",
            "carriers.CDEK.per_minut",
            "did you mean carriers.CDEK.per_minute?",
        ),
        (
            "[carrier.CDEK]\nburst = 1",
            "carrier.CDEK.burst",
            "did you mean carriers.CDEK.burst?",
        ),
        (
            "[carriers.\"*\"]\nburts = 1",
            "carriers.\"*\".burts",
            "did you mean carriers.\"*\".burst?",
        ),
        (
            "port = 1",
            "port",
            "the sections are adapters, archive, cache, carriers.CODE, consume, demo, facts, http, kafka, log, redis, retention, store, tls, work",
        ),
        (
            "[redis]\nzzzzzzzz = 1",
            "redis.zzzzzzzz",
            "the keys of [redis] are url",
        ),
        ("[zzz]", "zzz", "the sections are"),
    ];
    for (text, key, advice) in unknown {
        let error = of_file(text).expect_err(text).to_string();
        assert!(
            error.contains(&format!("{key} is not a known key")),
            "{error}"
        );
        assert!(
            error.contains(&format!("file my.toml, key {key}")),
            "{error}"
        );
        assert!(error.contains(advice), "{error}");
    }
}

#[test]
fn an_unknown_variable_is_refused_with_the_nearest_known_one() {
    let unknown = [
        ("TRACKBOX_HTTP_LISTEN", "TRACKBOX_HTTP__LISTEN"),
        ("TRACKBOX_HTTP__LISTN", "TRACKBOX_HTTP__LISTEN"),
        ("TRACKBOX_http__listen", "TRACKBOX_HTTP__LISTEN"),
        (
            "TRACKBOX_CARRIERS__CDEK__PERMINUTE",
            "TRACKBOX_CARRIERS__CDEK__PER_MINUTE",
        ),
        (
            "TRACKBOX_CARRIERS__*__BURST",
            "TRACKBOX_CARRIERS__DEFAULT__BURST",
        ),
        ("TRACKBOX_CARRIERS__CDEK", "TRACKBOX_SECTION__KEY"),
        ("TRACKBOX_CARRIER_CDEK_API_KEY", "TRACKBOX_SECTION__KEY"),
        ("TRACKBOX_LOG", "TRACKBOX_SECTION__KEY"),
        ("TRACKBOX_STORE_URL", "TRACKBOX_STORE__URL"),
        ("TRACKBOX_", "TRACKBOX_SECTION__KEY"),
    ];
    for (name, advice) in unknown {
        let error = of_variables(&[(name, "1")]).expect_err(name).to_string();
        assert!(
            error.contains(&format!("variable {name}\n")) && error.contains(advice),
            "{error}"
        );
    }
}

#[test]
fn a_value_in_quotes_is_refused_in_every_kind_of_key() {
    for (name, value) in [
        ("TRACKBOX_CARRIERS__CDEK__API_KEY", "\"hunter2\""),
        (
            "TRACKBOX_CARRIERS__CDEK__BASE_URL",
            "'https://h?key=hunter2'",
        ),
        ("TRACKBOX_HTTP__LISTEN", "\"127.0.0.1:1\""),
        ("TRACKBOX_WORK__BATCH", "\"100\""),
        ("TRACKBOX_WORK__CADENCE", "'demo'"),
        ("TRACKBOX_KAFKA__BROKERS", "\"h:1\",\"h:2\""),
        ("TRACKBOX_KAFKA__BROKERS", "h:1,\"h:2\""),
    ] {
        let error = of_variables(&[(name, value)]).expect_err(name).to_string();
        let what = "is in quotes, which are part of the value here: leave them out";
        assert!(error.contains(what) && error.contains(name), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_wrong_time_zone_is_refused_with_the_one_that_was_meant() {
    for (zone, meant) in [
        ("MSK", "Europe/Moscow?"),
        ("msk", "Europe/Moscow?"),
        ("Москва", "Europe/Moscow?"),
        ("Moscow", "Europe/Moscow?"),
        ("new york", "America/New_York?"),
        ("europe/moscow", "Europe/Moscow?"),
        ("YEKT", "Asia/Yekaterinburg?"),
        (
            "+03:00",
            "Europe/Moscow or Etc/GMT-3 (always 3 h ahead of UTC",
        ),
        ("UTC+3", "Europe/Moscow or Etc/GMT-3"),
        ("GMT+3", "Europe/Moscow or Etc/GMT-3"),
        ("UTC +0300", "Europe/Moscow or Etc/GMT-3"),
        ("utc-5", "did you mean Etc/GMT+5 (always 5 h behind UTC"),
        ("+00:00", "did you mean UTC?"),
        ("UTC+99", "an IANA name"),
        ("", "an IANA name"),
    ] {
        let error = of_file(&format!("carriers.CDEK.time_zone = \"{zone}\""));
        let error = error.expect_err(zone).to_string();
        assert!(error.contains(meant), "{zone}: {error}");
    }
}

/// The file, and parts of what it is refused with.
const WRONG: &[(&str, &str, &str)] = &[
    (
        "http.listen = \"localhost:8080\"",
        "for example listen = \"127.0.0.1:8080\"",
        "which is no address with a port",
    ),
    (
        "http.listen = 8080",
        "listen = \"127.0.0.1:8080\"",
        "is a number",
    ),
    (
        "work.batch = 0",
        "a whole number from 1 to 1000",
        "is 0, which is out of range",
    ),
    (
        "work.batch = 1001",
        "a whole number from 1 to 1000",
        "is 1001, which is out of range",
    ),
    (
        "work.batch = -1",
        "batch = 100",
        "is -1, which is out of range",
    ),
    (
        "work.batch = 1.5",
        "batch = 100",
        "is a number with a fraction",
    ),
    ("work.batch = \"100\"", "batch = 100", "is a text"),
    ("work.concurrency = 1001", "from 1 to 1000", "is 1001"),
    ("kafka.partitions = 0", "from 1 to 1000", "is 0"),
    (
        "work.poll_interval = 0",
        "from 1ms to 1h",
        "is \"0\", which is out of range",
    ),
    (
        "work.poll_interval = \"soon\"",
        "such as \"500ms\"",
        "is \"soon\", which is no time",
    ),
    (
        "work.backoff = [\"5m\", \"x\"]",
        "a list",
        "has a member, number 2, that is \"x\"",
    ),
    ("work.backoff = \"5m\"", "backoff = [\"5m\"", "is a text"),
    (
        "work.cadence = \"fast\"",
        "one of normal, demo",
        "is \"fast\", which is not known",
    ),
    ("cache.ttl = \"0s\"", "from 1ms", "out of range"),
    ("kafka.topic = 1", "a text in quotes", "is a number"),
    (
        "kafka.topic = 1979-05-27",
        "a text in quotes",
        "is a table or a date",
    ),
    (
        "carriers.CDEK.limits = [{ calls = 5, per = \"minute\" }]",
        "has a member, number 1, that has a key per that is \"minute\", which is neither a time from 1s to 24h",
        "for example limits = [{ calls = 250, per = \"day\", zone = \"Europe/Berlin\" }, { calls = 1, per = \"5s\" }]",
    ),
    (
        "carriers.CDEK.limits = [{ calls = 5, per = \"25h\" }]",
        "which is neither a time from 1s to 24h",
        "or day or month",
    ),
    (
        "carriers.CDEK.limits = [{ calls = 0, per = \"day\" }]",
        "that has a key calls that is 0, which is out of range",
        "a whole number from 1 to",
    ),
    (
        "carriers.CDEK.limits = [{ calls = 1 }]",
        "that has no key per",
        "a table { … } with calls",
    ),
    (
        "carriers.CDEK.limits = [{ calls = 1, per = \"day\", zon = \"UTC\" }]",
        "that has the key zon, which is none of calls, per, zone",
        "zone if wanted",
    ),
    (
        "carriers.CDEK.limits = 5",
        "is a number",
        "a list of at most 100",
    ),
    (
        "carriers.CDEK.per_minute = 1000001",
        "from 0 to 1000000",
        "out of range",
    ),
    (
        "carriers.CDEK.adapter = \"emulater\"",
        "did you mean emulator?",
        "is \"emulater\", which is not known",
    ),
    (
        "http = 1",
        "write [http] on a line of its own",
        "is a section, not a key",
    ),
    (
        "carriers.per_minute = 1",
        "[carriers.CODE]",
        "where the section of a carrier belongs",
    ),
];

#[test]
fn a_value_of_the_wrong_kind_is_refused_with_its_place_and_an_example() {
    for (text, advice, what) in WRONG {
        let key = text.split(" = ").next().unwrap_or_default();
        let error = of_file(text).expect_err(text).to_string();
        assert!(
            error.contains(&format!("file my.toml, key {key}\n")),
            "{error}"
        );
        assert!(
            error.contains(advice) && error.contains(what),
            "{text}: {error}"
        );
    }
}

#[test]
fn a_wrong_value_of_a_variable_names_the_variable() {
    let error = of_variables(&[("TRACKBOX_CARRIERS__DEFAULT__PER_MINUTE", "many")])
        .expect_err("no number")
        .to_string();
    assert!(
        error.contains("where: variable TRACKBOX_CARRIERS__DEFAULT__PER_MINUTE\n"),
        "{error}"
    );
    assert!(
        error.contains("for example TRACKBOX_CARRIERS__DEFAULT__PER_MINUTE=120"),
        "{error}"
    );
    let error = of_variables(&[("TRACKBOX_WORK__BACKOFF", "5m,never")])
        .expect_err("no time")
        .to_string();
    assert!(
        error.contains("for example TRACKBOX_WORK__BACKOFF=5m,15m,30m,1h"),
        "{error}"
    );
}

#[test]
fn all_mistakes_of_file_and_variables_are_listed_together() {
    let text =
        "[http]\nlistn = 1\nbody_limit_bytes = \"x\"\n[htp]\na = 1\nb = 2\n[carriers.CDEK]\nx = 1";
    let error = of_both(
        text,
        &[("TRACKBOX_X__Y", "1"), ("TRACKBOX_WORK__BATCH", "x")],
    )
    .expect_err("seven mistakes");
    assert_eq!(error.mistakes.len(), 7, "{error}");
    assert!(
        error
            .to_string()
            .starts_with("the configuration has 7 mistakes:"),
        "{error}"
    );
    let text: Vec<String> = (0..60).map(|number| format!("x{number} = 1")).collect();
    assert!(
        of_file(&text.join("\n"))
            .expect_err("60 mistakes")
            .to_string()
            .ends_with("and 10 more")
    );
}

#[test]
fn a_file_that_is_no_toml_is_refused_with_its_line() {
    let error = of_file("[http]\nlisten = \"127.0.0.1:1\"\nbody limit = 1\n")
        .expect_err("no TOML")
        .to_string();
    assert!(
        error.contains("this is not TOML") && error.contains("file my.toml, line 3"),
        "{error}"
    );
    assert!(of_file("\u{feff}[http]\nbody_limit_bytes = 2000").is_ok());
}
