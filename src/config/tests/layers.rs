//! Each layer overrides the one before, and each way to write a value is understood.

use std::fs;
use std::path::Path;

use super::{from_layers, of_both, of_file, of_variables, owned, span};
use crate::carriers::routes::Routes;
use crate::config::load::{self, read_file};
use crate::config::shipped::SHIPPED;
use crate::config::{CarrierSection, Config, LogFormat, Preset, Span};
use crate::model::limits::Window;
use crate::model::quota::{Period, Quota};

fn spans(texts: &[&str]) -> Vec<Span> {
    texts.iter().map(|text| span(text)).collect()
}

#[test]
fn a_preset_overrides_the_defaults() {
    let normal = Config::default().work;
    assert_eq!(normal.cadence, Preset::Normal);
    assert_eq!(
        [normal.poll_interval, normal.lease, normal.carrier_timeout],
        [span("2s"), span("120s"), span("10s")]
    );
    assert_eq!(normal.next_check_in_transit_min, span("60s"));
    assert_eq!(normal.next_check_in_transit_max, span("60s"));
    assert_eq!(normal.next_check_unknown, span("60s"));
    assert_eq!(normal.backoff, spans(&["5m", "15m", "30m", "60m"]));

    let demo = from_layers(None, &[], Some(Preset::Demo))
        .expect("the demo's preset")
        .work;
    assert_eq!(demo.cadence, Preset::Demo);
    assert_eq!(
        [demo.poll_interval, demo.lease, demo.carrier_timeout],
        [span("1s"), span("10s"), span("4s")]
    );
    assert_eq!(demo.next_check_in_transit_min, span("3s"));
    assert_eq!(demo.next_check_in_transit_max, span("8s"));
    assert_eq!(demo.next_check_unknown, span("10s"));
    assert_eq!(demo.backoff, spans(&["2s", "5s", "10s", "20s"]));
    assert_eq!(demo.batch, normal.batch);
}

#[test]
fn a_file_overrides_the_preset_and_variables_override_the_file() {
    let text = "[work]\ncadence = \"demo\"\npoll_interval = \"7s\"\nlease = 20\n";
    let work = of_file(text).expect("a good file").work;
    assert_eq!(
        [work.poll_interval, work.lease, work.carrier_timeout],
        [span("7s"), span("20s"), span("4s")]
    );

    let work = of_both(
        text,
        &[
            ("TRACKBOX_WORK__LEASE", "30"),
            ("TRACKBOX_WORK__BATCH", "7"),
        ],
    )
    .expect("good")
    .work;
    assert_eq!(
        [work.poll_interval, work.lease, work.carrier_timeout],
        [span("7s"), span("30s"), span("4s")]
    );
    assert_eq!(work.batch, 7);
}

#[test]
fn the_cadence_of_a_file_or_variable_overrides_the_programs_own() {
    let text = "[work]\ncadence = \"normal\"";
    let by_file = from_layers(Some(text), &[], Some(Preset::Demo))
        .expect("good")
        .work;
    assert_eq!(
        (by_file.cadence, by_file.lease),
        (Preset::Normal, span("120s"))
    );

    let variables = owned(&[("TRACKBOX_WORK__CADENCE", "demo")]);
    let by_variable = from_layers(Some(text), &variables, Some(Preset::Normal))
        .expect("good")
        .work;
    assert_eq!(
        (by_variable.cadence, by_variable.lease),
        (Preset::Demo, span("10s"))
    );
}

#[test]
fn the_shipped_file_as_a_file_overrides_no_preset() {
    let demo = from_layers(None, &[], Some(Preset::Demo));
    assert_eq!(from_layers(Some(SHIPPED), &[], Some(Preset::Demo)), demo);
}

#[test]
fn a_carriers_section_merges_key_by_key() {
    let config = of_file("[carriers.CDEK]\nper_second = 5\nburst = 2").expect("good");
    let shipped = Config::default().carriers["CDEK"].clone();
    assert_eq!(
        config.carriers["CDEK"],
        CarrierSection {
            per_second: 5,
            burst: 2,
            ..shipped
        }
    );
    assert_eq!(
        config.carriers["POST_RU"],
        Config::default().carriers["POST_RU"]
    );
}

#[test]
fn a_new_section_takes_the_defaults_of_a_section() {
    let text = "[carriers.\"Почта 1.2\"]\nadapter = \"track24\"\nbase_url = \"https://api.track24.ru\"\napi_key = \"k\"\n\
                domain = \"example.org\"";
    let config = of_file(text).expect("good");
    let section = &config.carriers["Почта 1.2"];
    assert_eq!(
        (
            section.per_second,
            section.per_minute(),
            section.per_day,
            section.burst
        ),
        (0, 120, 0, 1)
    );
    assert_eq!(
        (section.timeout, section.concurrency, &section.budget),
        (None, None, &None)
    );
    assert_eq!(section.time_zone, chrono_tz::UTC);
    assert_eq!(section.api_key.expose(), "k");
    assert_eq!(
        of_file(&text.replace("\"k\"", "\"\"")).map_err(|error| error.mistakes.len()),
        Err(1)
    );
}

#[test]
fn limits_are_written_as_tables_in_a_file_and_in_a_variable() {
    let list =
        "[{ calls = 250, per = \"day\", zone = \"Europe/Berlin\" }, { calls = 1, per = \"5s\" }]";
    let in_file = of_file(&format!(
        "carriers.CDEK = {{ per_minute = 0, limits = {list} }}"
    ));
    let in_file = in_file.expect("good");
    let limits = in_file.carriers["CDEK"].limits();
    let per = std::time::Duration::from_secs(5);
    assert_eq!(limits.windows, [Window { calls: 1, per }]);
    let quota = Quota {
        calls: 250,
        period: Period::Day,
        zone: chrono_tz::Europe::Berlin,
    };
    assert_eq!(limits.quotas, [quota]);
    assert_eq!(of_file(&in_file.shown()), Ok(in_file.clone()));
    for list in [list, list.trim_matches(['[', ']'])] {
        let variables = [
            ("TRACKBOX_CARRIERS__CDEK__PER_MINUTE", "0"),
            ("TRACKBOX_CARRIERS__CDEK__LIMITS", list),
        ];
        assert_eq!(of_variables(&variables), Ok(in_file.clone()));
    }
}

#[test]
fn the_short_keys_and_limits_hold_together_and_limits_replace_the_default() {
    let section = "adapter = \"emulator\"\nbase_url = \"http://localhost\"";
    let limits = |keys: &str| {
        let config = of_file(&format!("[carriers.X]\n{section}\n{keys}")).expect("good");
        let limits = config.carriers["X"].limits();
        let windows = limits
            .windows
            .iter()
            .map(|window| (window.calls, window.per.as_secs()));
        (windows.collect::<Vec<_>>(), limits.quotas.len())
    };
    assert_eq!(limits(""), (vec![(120, 60)], 0));
    assert_eq!(
        limits("limits = [{ calls = 9, per = \"h\" }]"),
        (vec![(9, 3_600)], 0)
    );
    let all =
        "per_second = 2\nper_day = 7\nper_minute = 5\nlimits = [{ calls = 9, per = \"month\" }]";
    assert_eq!(limits(all), (vec![(2, 1), (5, 60)], 2));
}

#[test]
fn the_adapter_none_disables_a_section() {
    let config =
        of_file("[carriers.\"*\"]\nadapter = \"none\"\n[carriers.DHL]\nadapter = \"none\"")
            .expect("good");
    assert_eq!(config.carriers["*"].adapter, "none");
    assert_eq!(config.carriers["DHL"].adapter, "none");
    assert_eq!(of_file(&config.shown()), Ok(config));
}

#[test]
fn every_key_of_the_list_that_users_rely_on_is_understood_as_a_variable() {
    let config = of_variables(&[
        ("TRACKBOX_HTTP__LISTEN", "0.0.0.0:80"),
        ("TRACKBOX_WORK__LISTEN", "[::1]:8182"),
        ("TRACKBOX_WORK__CADENCE", "demo"),
        ("TRACKBOX_CONSUME__LISTEN", "127.0.0.1:0"),
        ("TRACKBOX_STORE__URL", "postgres://u:p@db/trackbox"),
        (
            "TRACKBOX_KAFKA__BROKERS",
            "kafka1:9092, kafka2:9092,[::1]:9092",
        ),
        ("TRACKBOX_KAFKA__TOPIC", "1"),
        ("TRACKBOX_KAFKA__PARTITIONS", "24"),
        ("TRACKBOX_REDIS__URL", "redis://:p@cache:6379/0"),
        ("TRACKBOX_DEMO__EMULATOR_LISTEN", "127.0.0.1:9001"),
        ("TRACKBOX_LOG__FORMAT", "json"),
        ("TRACKBOX_WORK__BACKOFF", "1,2s,3m"),
        ("TRACKBOX_HTTP__TRUSTED_PROXIES", "10.0.0.0/8,::1"),
        ("TRACKBOX_CARRIERS__CDEK__PER_MINUTE", "30"),
        ("TRACKBOX_CARRIERS__CDEK__API_KEY", "12345"),
        ("TRACKBOX_CARRIERS__POST_RU__PER_DAY", "1000"),
        ("TRACKBOX_CARRIERS__POST_RU__TIMEOUT", "3.5"),
        ("TRACKBOX_CARRIERS__DEFAULT__PER_SECOND", "3"),
        ("TRACKBOX_CARRIERS__DEFAULT__BUDGET", "7"),
        ("TRACKBOX_CARRIERS__a__b__ADAPTER", "gdeposylka"),
        ("TRACKBOX_CARRIERS__a__b__BASE_URL", "https://gdeposylka.ru"),
        ("TRACKBOX_CARRIERS__a__b__API_KEY", "true"),
    ])
    .expect("good variables");
    assert_eq!(config.http.listen.to_string(), "0.0.0.0:80");
    assert_eq!(config.work.listen.to_string(), "[::1]:8182");
    assert_eq!(config.work.cadence, Preset::Demo);
    assert_eq!(config.store.url.expose(), "postgres://u:p@db/trackbox");
    assert_eq!(
        config.kafka.brokers,
        ["kafka1:9092", "kafka2:9092", "[::1]:9092"]
    );
    assert_eq!(
        (config.kafka.topic.as_str(), config.kafka.partitions),
        ("1", 24)
    );
    assert_eq!(config.redis.url.expose(), "redis://:p@cache:6379/0");
    assert_eq!(config.demo.emulator_listen.port(), 9001);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.work.backoff, spans(&["1s", "2s", "3m"]));
    let proxies: Vec<String> = config
        .http
        .trusted_proxies
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(proxies, ["10.0.0.0/8", "::1/128"]);
    assert_eq!(
        (
            config.carriers["CDEK"].per_minute(),
            config.carriers["CDEK"].api_key.expose()
        ),
        (30, "12345")
    );
    assert_eq!(config.carriers["POST_RU"].per_day, 1000);
    assert_eq!(config.carriers["POST_RU"].timeout, Some(span("3500ms")));
    assert_eq!(
        (
            config.carriers["*"].per_second,
            config.carriers["*"].budget.as_deref()
        ),
        (3, Some("7"))
    );
    assert_eq!(config.carriers["a__b"].api_key.expose(), "true");
}

#[test]
fn a_flag_is_true_or_false_and_nothing_else() {
    assert!(!Config::default().facts.in_messages);
    let in_file = of_file("[facts]\nin_messages = true").expect("a good file");
    assert!(in_file.facts.in_messages);
    for (text, flag) in [("true", true), ("TRUE", true), ("false", false)] {
        let config = of_variables(&[("TRACKBOX_FACTS__IN_MESSAGES", text)]).expect(text);
        assert_eq!(config.facts.in_messages, flag, "{text}");
    }
    let wrong = of_variables(&[("TRACKBOX_FACTS__IN_MESSAGES", "yes")]).expect_err("is no flag");
    let wrong = wrong.to_string();
    assert!(
        wrong.contains("give true or false, for example TRACKBOX_FACTS__IN_MESSAGES=false"),
        "{wrong}"
    );
    for wrong in ["\"true\"", "1"] {
        let text = format!("[facts]\nin_messages = {wrong}");
        let wrong = of_file(&text).expect_err(wrong).to_string();
        assert!(
            wrong.contains("give true or false, for example in_messages = false"),
            "{wrong}"
        );
    }
}

#[test]
fn an_empty_variable_empties_a_list_or_a_text() {
    let text = "kafka.brokers = [\"a:1\"]\nredis.url = \"redis://a\"";
    let variables = [("TRACKBOX_KAFKA__BROKERS", ""), ("TRACKBOX_REDIS__URL", "")];
    assert_eq!(of_both(text, &variables), Ok(Config::default()));
}

#[test]
fn variables_that_are_no_keys_are_ignored() {
    let variables = [
        ("TRACKBOX_TEST_CLOCK_OFFSET", "10"),
        ("TRACKBOX_CONFIG", ""),
        ("PATH", "/bin"),
        ("TRACKBOX_SERVICE_HOST", "10.0.0.1"),
        ("TRACKBOX_SERVICE_PORT_HTTP", "8080"),
        ("TRACKBOX_PORT", "tcp://10.0.0.1:8080"),
        ("TRACKBOX_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("TRACKBOX_PORT_8080_TCP_ADDR", "10.0.0.1"),
    ];
    assert_eq!(of_variables(&variables), Ok(Config::default()));
    assert!(Config::ignored_variables(&owned(&variables)).is_empty());
}

#[test]
fn variables_that_come_near_no_key_are_left_out_and_named() {
    let foreign = [
        "TRACKBOX_VERSION",
        "TRACKBOX_IMAGE",
        "TRACKBOX_TAG",
        "TRACKBOX_PORT",
    ];
    let mut variables = owned(&foreign.map(|name| (name, "1")));
    variables.extend(owned(&[
        ("TRACKBOX_WORK__BATCH", "7"),
        ("TRACKBOX_TEST_X", "1"),
    ]));
    let config = from_layers(None, &variables, None).expect("is good");
    assert_eq!(config.work.batch, 7);
    assert_eq!(Config::ignored_variables(&variables), foreign);
}

#[test]
fn the_named_file_is_read_else_the_variables_else_the_implied_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let in_directory = |name: &str| directory.path().join(name);
    let batch = |file: Option<&Path>, variables: &[(String, String)]| {
        let file = read_file(directory.path(), file, variables)?;
        load::from_layers(file, variables, None, Routes::check).map(|config| config.work.batch)
    };
    assert_eq!(batch(None, &[]), Ok(100));
    for (name, batch) in [("config.toml", 1), ("variable.toml", 2), ("named.toml", 3)] {
        fs::write(in_directory(name), format!("[work]\nbatch = {batch}")).expect("a file");
    }
    let variable = vec![(
        "TRACKBOX_CONFIG".to_owned(),
        in_directory("variable.toml").display().to_string(),
    )];
    assert_eq!(batch(None, &[]), Ok(1));
    assert_eq!(batch(None, &variable), Ok(2));
    assert_eq!(batch(Some(&in_directory("named.toml")), &variable), Ok(3));
    let missing = batch(Some(&in_directory("missing.toml")), &variable)
        .expect_err("no such file")
        .to_string();
    assert!(
        missing.contains("missing.toml") && missing.contains("--config"),
        "{missing}"
    );
}
