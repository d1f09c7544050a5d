//! Values that are of no use or do not fit together are refused.

use super::{of_both, of_file};

/// The file, and parts of what it is refused with.
const WRONG: &[(&str, &str, &str)] = &[
    (
        "work.lease = \"11s\"",
        "work.carrier_timeout is 10s",
        "raise work.lease to at least 15s, or lower this to at most 6s",
    ),
    (
        "work.lease = \"1s\"",
        "work.carrier_timeout is 10s",
        "raise work.lease to at least 15s",
    ),
    (
        "work.carrier_timeout = 119",
        "longer than work.lease, 2m",
        "at most 115s",
    ),
    (
        "carriers.CDEK.timeout = \"119s\"",
        "carriers.CDEK.timeout is 119s",
        "at most 115s",
    ),
    (
        "work.next_check_in_transit_min = 90",
        "is 90s, longer than work.next_check_in_transit_max, 1m",
        "at most 1m",
    ),
    (
        "work.next_check_in_transit_max = 30",
        "is 1m, longer than work.next_check_in_transit_max, 30s",
        "at most 30s",
    ),
    ("work.backoff = []", "work.backoff is empty", "at least one"),
    (
        "work.listen = \"0.0.0.0:8080\"",
        "is 0.0.0.0:8080, which http.listen takes already",
        "its own port",
    ),
    (
        "carriers.CDEK = { per_second = 2, per_minute = 0, burst = 3 }",
        "is 3, more than the section's largest limit by the second, minute or hour, 2",
        "at most 2",
    ),
    (
        "carriers.CDEK.tenants = []",
        "carriers.CDEK.tenants is empty",
        "or leave it out for all",
    ),
    (
        "carriers.CDEK.tenants = [\"shop-a\", \"Shop B\"]",
        "has a member, number 2, that is \"Shop B\", which is no tenant's code",
        "a-z, 0-9 and -",
    ),
    (
        "carriers.CDEK.numbers = 2",
        "is 2, more than the 1 that the adapter emulator takes",
        "at most 1",
    ),
    (
        "carriers.CDEK.limits = [{ calls = 1, per = \"5s\", zone = \"UTC\" }]",
        "has a member, number 1, per 5s and with the zone UTC",
        "leave the zone out",
    ),
    (
        "carriers.X = { per_minute = 5 }",
        "carriers.X.adapter is missing",
        "TRACKBOX_CARRIERS__X__ADAPTER",
    ),
    (
        "carriers.CDEKK.burst = 1",
        "carriers.CDEKK.adapter is missing",
        "did you mean [carriers.CDEK]?",
    ),
    (
        "carriers.X = {}",
        "carriers.X.adapter is missing",
        "needs a base_url and an adapter",
    ),
    (
        "carriers.X = { adapter = \"gdeposylka\", api_key = \"k\" }",
        "carriers.X.base_url is missing",
        "http://localhost:9000",
    ),
    (
        "carriers.CDEK.base_url = \"localhost:9000\"",
        "which is neither http nor https",
        "http://localhost:9000",
    ),
    (
        "carriers.CDEK.base_url = \"http://:1\"",
        "which is no address",
        "http://localhost:9000",
    ),
    (
        "carriers.CDEK.time_zone = \"Europe/Moskow\"",
        "which is no time zone",
        "did you mean Europe/Moscow?",
    ),
    (
        "carriers.CDEK.adapter = \"track-24\"",
        "which is not known",
        "did you mean track24?",
    ),
    (
        "carriers.CDEK.adapter = \"Track24\"",
        "which is not known",
        "did you mean track24?",
    ),
    (
        "carriers.CDEK.adapter = \"gde-posylka\"",
        "which is not known",
        "did you mean gdeposylka?",
    ),
    (
        "carriers.CDEK.adapter = \"post_ru\"",
        "which is not known",
        "POST_RU is a carrier's code, and the adapter names the API",
    ),
    (
        "carriers.X = { adapter = \"track24\", api_key = \"k\", domain = \"d\", base_url = \"https://api.track24.ru/Tracking.json.php?apiKey=abc&code=1\" }",
        "carriers.X.base_url holds the path of a request",
        "give https://api.track24.ru alone, and the key as api_key",
    ),
    (
        "carriers.CDEK.base_url = \"http://h:9000/a/v1/tracking/CDEK/1\"",
        "holds the path of a request",
        "give http://h:9000/a alone",
    ),
    (
        "carriers.CDEK.base_url = \"http://h:9000/a/?apiKey=abc\"",
        "holds a query",
        "give http://h:9000/a alone",
    ),
    (
        "carriers.CDEK = { adapter = \"gdeposylka\", base_url = \"http://h\" }",
        "api_key is missing",
        "TRACKBOX_CARRIERS__CDEK__API_KEY",
    ),
    (
        "carriers.CDEK = { adapter = \"track24\", base_url = \"http://h\", api_key = \"k\" }",
        "domain is missing",
        "registered for",
    ),
    (
        "carriers.\"a\\nb\".adapter = \"none\"",
        "must not contain control characters",
        "name the section",
    ),
    (
        "carriers.\"\".adapter = \"none\"",
        "must not be empty",
        "name the section",
    ),
    (
        "carriers.CDEK = { push_key = \"k\", push_secret = \"too-short\" }",
        "carriers.CDEK.push_secret is too short to be secret",
        "openssl rand -hex 24",
    ),
    (
        "carriers.CDEK.push_secret_before = \"with/a/slash/in/the/middle\"",
        "carriers.CDEK.push_secret_before has other characters than letters",
        "openssl rand -hex 24",
    ),
    (
        "carriers.CDEK.push_secret = \"LetNobodyElseKnow-22orMore\"",
        "push_key is missing; the carrier signs what it pushes",
        "TRACKBOX_CARRIERS__CDEK__PUSH_KEY",
    ),
    (
        "carriers.CDEK = { adapter = \"dhl\", base_url = \"http://h\", api_key = \"k\", push_secret = \"LetNobodyElseKnow-22orMore\" }",
        "the adapter dhl reads nothing that is pushed",
        "leave it out",
    ),
    ("carriers.CDEK.budget = \"\"", "budget is \"\"", "1 to 64"),
    (
        "store.url = \"trackbox.db\"",
        "neither SQLite nor PostgreSQL",
        "sqlite://trackbox.db",
    ),
    (
        "store.url = \"mysql://db/x\"",
        "neither SQLite nor PostgreSQL",
        "postgres://",
    ),
    (
        "store.url = \"sqlite://\"",
        "names no file",
        "sqlite://trackbox.db",
    ),
    (
        "store.url = \"postgres://a:b/c@d/e\"",
        "which is no address",
        "%2F",
    ),
    (
        "redis.url = \"localhost:6379\"",
        "no address of a Redis",
        "redis://HOST:6379",
    ),
    (
        "http.public_url = \"http://track.example.org\"",
        "neither https nor an address of this machine",
        "https://track.example.org",
    ),
    (
        "http.public_url = \"https://track.example.org/trackbox\"",
        "more than a scheme, a host and a port",
        "https://track.example.org",
    ),
    (
        "http.public_url = \"https://me:pass@track.example.org\"",
        "more than a scheme, a host and a port",
        "https://track.example.org",
    ),
    (
        "http.public_url = \"track.example.org\"",
        "which is no address",
        "https://track.example.org",
    ),
    (
        "kafka.brokers = [\"kafka://a:1\"]",
        "is not host:port",
        "localhost:9092",
    ),
    (
        "kafka.brokers = [\"localhost\"]",
        "is not host:port",
        "localhost:9092",
    ),
    (
        "kafka.brokers = [\"localhost:0\"]",
        "is not host:port",
        "localhost:9092",
    ),
    (
        "kafka.sasl = \"plain\"\nkafka.password = \"p\"",
        "kafka.user is empty, but kafka.sasl asks for a login",
        "TRACKBOX_KAFKA__USER",
    ),
    (
        "kafka.sasl = \"scram-sha-256\"\nkafka.user = \"me\"",
        "kafka.password is empty",
        "TRACKBOX_KAFKA__PASSWORD",
    ),
    (
        "kafka.user = \"me\"",
        "kafka.user is given, but kafka.sasl is none",
        "scram-sha-512",
    ),
    (
        "tls.ca_file = \"/no/such/file.pem\"",
        "there is no such file",
        "PEM",
    ),
    ("kafka.topic = \"a b\"", "which Kafka does not take", "a-z"),
    ("kafka.topic = \"\"", "which Kafka does not take", "a-z"),
    ("kafka.topic = \"..\"", "which Kafka does not take", "a-z"),
    (
        "kafka.topic = \"in-process\"",
        "goes by",
        "tracking.updated",
    ),
    (
        "http.trusted_proxies = [\"10.0.0.0/33\"]",
        "\"10.0.0.0/33\", which is no IP address",
        "10.0.0.0/8",
    ),
    (
        "log.filter = \"info,trackbox=loud\"",
        "which is no filter",
        "info,trackbox::store=debug",
    ),
];

#[test]
fn what_does_not_fit_together_is_refused_with_both_sides() {
    for (text, what, advice) in WRONG {
        let error = of_file(text).expect_err(text);
        assert_eq!(error.mistakes.len(), 1, "{text}: {error}");
        let error = error.to_string();
        assert!(
            error.contains(what) && error.contains(advice),
            "{text}: {error}"
        );
    }
    let long = format!("kafka.topic = \"{}\"", "a".repeat(250));
    assert!(of_file(&long).is_err());
}

#[test]
fn both_places_are_named_if_two_keys_do_not_fit() {
    let error = of_both(
        "work.carrier_timeout = 9",
        &[("TRACKBOX_WORK__LEASE", "10")],
    )
    .expect_err("too long")
    .to_string();
    assert!(
        error.contains("where: file my.toml, key work.carrier_timeout"),
        "{error}"
    );
    assert!(
        error.contains("work.lease, 10s (variable TRACKBOX_WORK__LEASE)"),
        "{error}"
    );
}

#[test]
fn mistakes_between_keys_and_those_of_adapters_are_listed_together() {
    let text = "work.backoff = []\ncarriers.CDEK = { adapter = \"track24\", base_url = \"\" }";
    let error = of_file(text).expect_err("has four mistakes");
    assert_eq!(error.mistakes.len(), 4, "{error}");
}

#[test]
fn a_section_not_in_use_needs_nothing() {
    assert!(of_file("carriers.CDEK = { adapter = \"none\", timeout = \"1h\", base_url = \"\", burst = 9000 }").is_ok());
}

#[test]
fn sections_that_share_a_budget_must_agree_on_it() {
    let text = "[carriers.CDEK]\nbudget = \"shared\"\n[carriers.POST_RU]\nbudget = \"shared\"\nconcurrency = 3";
    let error =
        of_both(text, &[("TRACKBOX_CARRIERS__CDEK__PER_MINUTE", "30")]).expect_err("they differ");
    assert_eq!(error.mistakes.len(), 2, "{error}");
    let error = error.to_string();
    assert!(
        error.contains("carriers.POST_RU.per_minute is 20, but carriers.CDEK.per_minute is 30"),
        "{error}"
    );
    assert!(
        error.contains("the defaults, key carriers.POST_RU.per_minute"),
        "{error}"
    );
    assert!(
        error.contains("variable TRACKBOX_CARRIERS__CDEK__PER_MINUTE"),
        "{error}"
    );
    let own_name = of_file("carriers.POST_RU.budget = \"CDEK\"")
        .expect_err("CDEK's own budget")
        .to_string();
    assert!(
        own_name.contains("both share the budget \"CDEK\""),
        "{own_name}"
    );
    let limits = "budget = \"b\"\nper_minute = 9\nlimits = [{ calls = 7, per = \"month\" }]";
    let limits = format!(
        "[carriers.CDEK]\n{limits}\n[carriers.POST_RU]\n{}",
        &limits[..27]
    );
    let limits = of_file(&limits).expect_err("they differ").to_string();
    assert!(
        limits
            .contains("limits is [], but carriers.CDEK.limits is [{ calls = 7, per = \"month\" }]"),
        "{limits}"
    );
    assert!(
        of_file(
            "carriers.CDEK = { budget = \"b\", per_minute = 20 }\ncarriers.POST_RU.budget = \"b\""
        )
        .is_ok()
    );
}

#[test]
fn listen_addresses_may_share_port_0_or_a_port_on_different_addresses() {
    assert!(of_file("http.listen = \"127.0.0.1:0\"\nwork.listen = \"127.0.0.1:0\"").is_ok());
    assert!(of_file("work.listen = \"127.0.0.2:8080\"").is_ok());
}
