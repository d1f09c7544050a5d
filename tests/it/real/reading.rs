//! What is an answer, and what its events say.

use std::time::Duration;

use serde_json::{Value, json};
use trackbox::model::status::Status::*;

use super::{ACCEPTED, DELIVERED, World, case, event, gd, play, t24, t24_of, t24_with};
use crate::support::fixture::{code, number};
use crate::support::scripted::Said;

#[tokio::test]
async fn the_aggregators_own_notes_are_no_events() {
    let note = |service: &str, source: &str| {
        let mut note = event(
            "27.11.2026 09:03:11 | Трек-код внесен в базу Track24 для автоматического мониторинга. | Вероятно, посылка \
             еще не отправлена.",
        );
        note["serviceName"] = service.into();
        note["source"] = source.into();
        note
    };
    let mut cases = Vec::new();
    for (service, source) in [
        ("Track24.ru", "track24"),
        ("Track24", ""),
        ("", "track24"),
        ("TRACK24.RU", "Track24"),
    ] {
        let name = format!("a note of {service} {source}");
        let alone = t24_of(vec![note(service, source)], json!({}));
        let after = t24_of(vec![event(ACCEPTED), note(service, source)], json!({}));
        cases.push(case(&name, vec![(alone, Pending), (after, InTransit)]));
    }
    play(cases).await;
}

#[tokio::test]
async fn every_form_of_a_time_with_one_meaning_is_read() {
    let mut cases = Vec::new();
    for form in [
        "25.11.2026",
        "25.11.2026 24:00:00",
        "25.11.2026 24:00",
        "2026-11-25 10:00:00",
        "2026-11-25T10:00:00",
        "2026-11-25T10:00:00+03:00",
        "2026-11-25T10:00:00+0300",
        "2026-11-25",
        "25.11.2026 10:00",
    ] {
        let delivered = format!("{form} | Вручение адресату | Вручение");
        cases.push(case(form, vec![(t24(&[ACCEPTED, &delivered]), Delivered)]));
    }
    for form in [
        "2026-11-23T10:00:00+0300",
        "2026-11-23",
        "23.11.2026 10:00",
        "2026-11-23 10:00:00",
    ] {
        let checkpoints = [
            "2026-11-20T10:00:00+03:00 | Прием",
            &format!("{form} | Вручение адресату"),
        ];
        let mut case = case(form, vec![(gd(&checkpoints), Delivered)]);
        case.adapter = "GD";
        cases.push(case);
    }
    play(cases).await;
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_told_and_never_an_error() {
    let mut world = World::new(&[]).await;
    world.script.say(
        "N0",
        t24(&[
            ACCEPTED,
            "30.11.-0001 00:00:00 | Вручение адресату | Вручение",
        ]),
    );
    let id = world.create(&[(code("T24"), number("N0"))]).await[0].id;
    world.pipe.run_for(Duration::from_secs(3)).await;
    let row = world.row(id).await;
    assert_eq!((row.status, row.last_error.as_str()), (InTransit, ""));
    assert_eq!(row.unreadable.count, 1);
    assert!(
        row.unreadable.example.contains("30.11.-0001"),
        "{:?}",
        row.unreadable
    );
    world.script.say("N0", t24(&[ACCEPTED, DELIVERED]));
    world.check_again(&[id]).await;
    let row = world.row(id).await;
    assert_eq!((row.status, row.unreadable.count), (Delivered, 0));
}

#[tokio::test]
async fn a_day_without_a_time_stands_where_the_list_has_it() {
    let last = [
        ACCEPTED,
        "25.11.2026 10:00:00 | Передано курьеру",
        "25.11.2026 | Вручение адресату | Вручение",
    ];
    let midnight = [
        ACCEPTED,
        "25.11.2026 10:00:00 | Передано курьеру",
        "25.11.2026 00:00:00 | Вручение адресату | Вручение",
    ];
    let first = [
        "25.11.2026 | Прибыло в место вручения",
        "25.11.2026 10:00:00 | Ожидает адресата в месте вручения",
    ];
    play(vec![
        case("at the end", vec![(t24(&last), Delivered)]),
        case("at midnight", vec![(t24(&midnight), Delivered)]),
        case("at the beginning", vec![(t24(&first), AvailableForPickup)]),
    ])
    .await;
}

#[tokio::test]
async fn the_aggregators_translation_and_flags_are_looked_at_for_unknown_words() {
    let mut english = event("25.11.2026 10:17:07 | Delivered");
    english["operationAttributeTranslated"] = "Доставлено".into();
    let flag = json!({"deliveredStatus": "1"});
    let before = event("25.11.2026 10:00:09 | Вручение адресату | Вручение");
    let mut awaits = event("24.11.2026 11:44:00 | Прибыло в место вручения");
    awaits["icon"] = "awaiting".into();
    play(vec![
        case(
            "a translation",
            vec![(t24_of(vec![english.clone()], flag.clone()), Delivered)],
        ),
        case(
            "after a delivery",
            vec![(t24_of(vec![before, english], flag), Delivered)],
        ),
        case(
            "it waits",
            vec![(
                t24_of(vec![awaits], json!({"awaitingStatus": "1"})),
                AvailableForPickup,
            )],
        ),
    ])
    .await;
}

#[tokio::test]
async fn lists_as_php_writes_them_are_read() {
    let said = |data: Value| Said::ok(json!({"status": "ok", "data": data}).to_string());
    let numbered = json!({"events": {"2": event(DELIVERED), "0": event(ACCEPTED)}});
    play(vec![
        case(
            "an empty list for an object",
            vec![(said(json!([])), Pending)],
        ),
        case(
            "an empty text",
            vec![(said(json!({"events": ""})), Pending)],
        ),
        case("false", vec![(said(json!({"events": false})), Pending)]),
        case("keys of numbers", vec![(said(numbered), Delivered)]),
    ])
    .await;
}

#[tokio::test]
async fn an_error_inside_a_good_answer_is_never_taken_for_an_unknown_number() {
    for (name, said) in [
        ("a page with 404", Said::page(404)),
        ("a page with 200", Said::page(200)),
        (
            "a key",
            Said::ok(r#"{"status":"error","message":"apiKey not found"}"#),
        ),
        (
            "a domain",
            Said::ok(r#"{"status":"error","message":"Домен не найден"}"#),
        ),
        (
            "a tariff",
            Said::ok(r#"{"status":"error","message":"Нет данных об оплате тарифа"}"#),
        ),
        (
            "a limit",
            Said::ok(r#"{"status":"error","message":"Превышен лимит запросов за сутки"}"#),
        ),
        (
            "a wrong key",
            Said::ok(r#"{"status":"error","message":"Неверный apiKey"}"#),
        ),
    ] {
        let mut world = World::new(&[]).await;
        let pairs: Vec<_> = (0..40)
            .map(|nth| (code("T24"), number(&format!("N{nth}"))))
            .collect();
        for (_, number) in &pairs {
            world.script.say(number.as_str(), said.clone());
        }
        let rows = world.create(&pairs).await;
        world.pipe.run_for(Duration::from_secs(30)).await;
        for row in &rows {
            let row = world.row(row.id).await;
            assert_eq!(row.status, Unknown, "{name}: {}", row.last_error);
        }
        let states = world
            .pipe
            .parts
            .store
            .account_states(world.pipe.clock.now())
            .await;
        let states = states.expect("reads");
        let account = states
            .iter()
            .find(|state| state.account == "T24")
            .expect("is told");
        assert!(account.paused_until.is_some(), "{name}: {account:?}");
        assert!(
            !account.pause_reason.is_empty() && !account.pause_reason.contains("k3y"),
            "{name}"
        );
        assert!(
            world.script.calls() <= 15,
            "{name}: {} calls",
            world.script.calls()
        );
    }
}

#[tokio::test]
async fn an_answer_about_another_number_is_no_news_of_this_one() {
    let mut world = World::new(&[]).await;
    world.script.say(
        "N0",
        t24_with(&[DELIVERED], json!({"trackCode": "RB999999999RU"})),
    );
    world
        .script
        .say("N1", t24_with(&[DELIVERED], json!({"trackCode": " n1 "})));
    let pairs = [(code("T24"), number("N0")), (code("T24"), number("N1"))];
    let rows = world.create(&pairs).await;
    world.pipe.run_for(Duration::from_secs(3)).await;
    let other = world.row(rows[0].id).await;
    assert_eq!(other.status, Unknown);
    assert!(
        other.last_error.contains("another number"),
        "{}",
        other.last_error
    );
    assert_eq!(world.row(rows[1].id).await.status, Delivered);
}
