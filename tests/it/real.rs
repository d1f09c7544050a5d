//! What real carriers sent, through the real adapters and the whole pipe.
//!
//! Times, texts and codes are facts from public bug reports and recorded answers (read November 2026); numbers and people are
//! replaced. Each case tells its answers one after the other, and what a person should see after each.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::DropGuard;
use trackbox::model::status::Status::{self, *};
use trackbox::model::status::{Direction, SubStatus};
use trackbox::model::{CarrierCode, TrackNumber, Tracking};

use crate::support::fixture::{code, number, read};
use crate::support::pipe::{Pipe, Setup};
use crate::support::scripted::{self, Said, Script};

/// The pipe's time begins on 2026-11-20; the latest of these events is a week later.
const AFTER_ALL_EVENTS: Duration = Duration::from_secs(8 * 86_400);

/// One parcel: the answers, and the status and the way after each.
struct Case {
    adapter: &'static str,
    name: String,
    answers: Vec<(Said, Status, Direction)>,
}

/// A pipe whose two carriers, T24 and GD, answer by a script.
struct World {
    pipe: Pipe,
    script: Script,
    _carrier: DropGuard,
}

impl World {
    async fn new(further: &[(&'static str, &str)]) -> Self {
        let (script, url, carrier) = scripted::start().await;
        let mut settings = vec![
            ("CARRIERS__T24__ADAPTER", "track24".to_owned()),
            ("CARRIERS__T24__BASE_URL", url.clone()),
            ("CARRIERS__T24__API_KEY", "k3y".to_owned()),
            ("CARRIERS__T24__DOMAIN", "shop.example".to_owned()),
            ("CARRIERS__T24__TIME_ZONE", "Europe/Moscow".to_owned()),
            ("CARRIERS__T24__PER_MINUTE", "0".to_owned()),
            ("CARRIERS__GD__PER_MINUTE", "0".to_owned()),
            ("CARRIERS__GD__ADAPTER", "gdeposylka".to_owned()),
            ("CARRIERS__GD__BASE_URL", url),
            ("CARRIERS__GD__API_KEY", "k3y".to_owned()),
        ];
        settings.extend(
            further
                .iter()
                .map(|(key, value)| (*key, (*value).to_owned())),
        );
        let pipe = Pipe::new(Setup {
            limits: Vec::new(),
            settings,
            ..Setup::default()
        })
        .await;
        pipe.advance(AFTER_ALL_EVENTS);
        Self {
            pipe,
            script,
            _carrier: carrier,
        }
    }

    async fn create(&self, pairs: &[(CarrierCode, TrackNumber)]) -> Vec<Tracking> {
        let created = self
            .pipe
            .parts
            .current
            .create_or_get(pairs, self.pipe.clock.now());
        created.await.expect("creates")
    }

    async fn row(&self, id: i64) -> Tracking {
        read(&self.pipe.parts.store, id).await
    }

    /// Refreshes these parcels, and lets their answers take effect.
    async fn check_again(&mut self, ids: &[i64]) {
        self.pipe.advance(Duration::from_secs(31));
        for id in ids {
            let now = self.pipe.clock.now();
            let refreshed = self
                .pipe
                .parts
                .current
                .refresh(*id, now, |_| Duration::ZERO);
            refreshed.await.expect("refreshes");
        }
        self.pipe.run_for(Duration::from_millis(1_500)).await;
    }
}

/// Plays every case to its end, all at once.
async fn play(cases: Vec<Case>) {
    let mut world = World::new(&[]).await;
    let pairs: Vec<_> = cases
        .iter()
        .enumerate()
        .map(|(nth, case)| (code(case.adapter), number(&format!("N{nth}"))))
        .collect();
    let rounds = cases
        .iter()
        .map(|case| case.answers.len())
        .max()
        .unwrap_or(0);
    let mut rows = Vec::new();
    let mut wrong = Vec::new();
    for round in 0..rounds {
        for (nth, case) in cases.iter().enumerate() {
            let (said, ..) = &case.answers[round.min(case.answers.len() - 1)];
            world.script.say(&format!("N{nth}"), said.clone());
        }
        if round == 0 {
            rows = world.create(&pairs).await;
            world.pipe.run_for(Duration::from_secs(3)).await;
        } else {
            let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
            world.check_again(&ids).await;
        }
        for (case, row) in cases.iter().zip(&rows) {
            let Some((_, status, way)) = case.answers.get(round) else {
                continue;
            };
            let row = world.row(row.id).await;
            if (row.status, row.direction) != (*status, *way) || !row.last_error.is_empty() {
                wrong.push(format!(
                    "{} after answer {}: {} {} \"{}\" instead of {status} {way}; {}",
                    case.name,
                    round + 1,
                    row.status,
                    row.direction,
                    row.status_raw,
                    row.last_error
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An event of Track24: `time | attribute | type`.
fn event(text: &str) -> Value {
    let mut parts = text.split(" | ");
    let mut part = || parts.next().unwrap_or_default();
    json!({
        "operationDateTime": part(), "operationAttribute": part(), "operationType": part(),
        "operationPlaceName": "", "operationPlacePostalCode": "",
    })
}

/// Track24's answer with these events and further fields.
fn t24_with(events: &[&str], further: Value) -> Said {
    t24_of(events.iter().map(|text| event(text)).collect(), further)
}

fn t24_of(events: Vec<Value>, further: Value) -> Said {
    let mut data = json!({"events": events});
    if let (Value::Object(data), Value::Object(further)) = (&mut data, further) {
        data.extend(further);
    }
    Said::ok(json!({"status": "ok", "data": data}).to_string())
}

fn t24(events: &[&str]) -> Said {
    t24_with(events, json!({}))
}

/// gdeposylka's answer with checkpoints `time | status`.
fn gd(checkpoints: &[&str]) -> Said {
    let checkpoints: Vec<Value> = checkpoints
        .iter()
        .map(|text| {
            let (time, status) = text.split_once(" | ").expect("has two parts");
            json!({"time": time, "status": status, "message": "", "location": "", "postal_code": ""})
        })
        .collect();
    Said::ok(json!({"status": "ok", "checkpoints": checkpoints}).to_string())
}

fn case(name: &str, answers: Vec<(Said, Status)>) -> Case {
    let forward = |(said, status)| (said, status, Direction::Forward);
    Case {
        adapter: "T24",
        name: name.to_owned(),
        answers: answers.into_iter().map(forward).collect(),
    }
}

fn way(name: &str, answers: Vec<(Said, Status, Direction)>) -> Case {
    Case {
        adapter: "T24",
        name: name.to_owned(),
        answers,
    }
}

const ACCEPTED: &str = "20.11.2026 14:19:00 | Прием";
const DELIVERED: &str = "25.11.2026 10:00:00 | Вручение адресату | Вручение";

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
async fn a_scan_that_was_recorded_late_undoes_no_delivery() {
    let flag = json!({"deliveredStatus": "1"});
    let ems = [
        "15.08.2014 10:00:00 | Прием | Прием",
        "18.08.2014 13:40:00 | Вручение адресату | Вручение",
        "20.08.2014 09:50:00 | Сортировка | Обработка",
    ];
    let courier = [
        "26.11.2026 09:00:00 | Прибыло в место вручения",
        "26.11.2026 13:40:00 | Вручено адресату курьером | Вручение",
        "26.11.2026 13:45:00 | Передано курьеру | Обработка",
    ];
    play(vec![
        case(
            "an express parcel",
            vec![(t24_with(&ems, flag.clone()), Delivered)],
        ),
        case(
            "a courier",
            vec![
                (t24_with(&courier, flag), Delivered),
                (t24(&courier), Delivered),
            ],
        ),
        case(
            "scans that come with later answers",
            vec![
                (t24(&courier[..2]), Delivered),
                (t24(&courier), Delivered),
                (t24(&[courier[0], courier[2]]), Delivered),
            ],
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_stale_copy_of_the_carrier_shows_nothing_new() {
    let full = [
        ACCEPTED,
        "24.11.2026 10:00:00 | Ожидает адресата в месте вручения",
    ];
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push((t24(&full), AvailableForPickup));
        answers.push((t24(&full[..1]), AvailableForPickup));
    }
    let empty = t24(&[]);
    answers.push((empty, AvailableForPickup));
    play(vec![case("a carrier of two memories", answers)]).await;
}

#[tokio::test]
async fn a_way_back_never_looks_like_a_delivery() {
    let mut cases = Vec::new();
    for text in [
        "Отправлено обратно отправителю",
        "Возврат отправителю по иным обстоятельствам",
        "Срок хранения истек. Выслано обратно отправителю",
        "Возврат из-за отсутствия адресата",
        "Выслано обратно отправителю",
    ] {
        let back = format!("20.03.2025 10:00:00 | {text}");
        let events = [
            "05.03.2025 09:30:00 | Вручено извещение",
            &back,
            "27.03.2025 11:00:00 | Прибыло в сортировочный центр",
            "30.03.2025 11:00:00 | Вручено",
        ];
        let way_back = Direction::Return;
        cases.push(way(
            text,
            vec![
                (t24(&events[..2]), Returning, way_back),
                (t24(&events[..3]), Returning, way_back),
                (t24(&events), Returned, way_back),
                // A part that lacks the return itself.
                (t24(&events[2..]), Returned, way_back),
            ],
        ));
    }
    let refused = [
        ACCEPTED,
        DELIVERED,
        "26.11.2026 10:00:00 | Отказ адресата | Возврат",
    ];
    cases.push(way(
        "a return after the delivery",
        vec![
            (t24(&refused[..2]), Delivered, Direction::Forward),
            (t24(&refused), Returning, Direction::Return),
            (t24(&[refused[0], refused[2]]), Returning, Direction::Return),
        ],
    ));
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
async fn a_real_journey_never_goes_back_and_is_never_unknown() {
    let journey: [(&str, Status); 29] = [
        ("Создан заказ", InfoReceived),
        ("Заказ оформлен", InfoReceived),
        ("Принято перевозчиком", InTransit),
        ("Прибыло в сортировочный центр", InTransit),
        ("Покинуло сортировочный центр", InTransit),
        ("Покинуло Шэньчжэнь", InTransit),
        ("Передано авиакомпании", InTransit),
        ("Прибыло в аэропорт страны назначения", InTransit),
        ("Передано в таможенный орган", InTransit),
        ("Начало таможенного оформления", InTransit),
        ("Выпуск товаров без уплаты таможенных платежей", InTransit),
        ("Выпущено таможней", InTransit),
        ("Передано в доставку \"последней мили\".", InTransit),
        ("Заказ принят у отправителя", InTransit),
        ("Отправка принята у отправителя", InTransit),
        ("Отправка готова к транспортировке по маршруту", InTransit),
        ("Отправка следует по маршруту", InTransit),
        ("Закреплен за курьером", InTransit),
        ("Сортировка", InTransit),
        ("Покинуло сортировочный центр", InTransit),
        ("Отправка следует по маршруту", InTransit),
        ("В городе Получателя", InTransit),
        ("Прибыло в место вручения", InTransit),
        ("Отправка готова для выдачи получателю", AvailableForPickup),
        ("Доставлен на пункт выдачи", AvailableForPickup),
        ("Выдано на доставку курьеру", OutForDelivery),
        ("Неудачная попытка вручения", AttemptFailed),
        ("Ожидает адресата в месте вручения", AvailableForPickup),
        ("Вручение адресату", Delivered),
    ];
    let texts: Vec<String> = (1..)
        .zip(journey)
        .map(|(day, (text, _))| format!("2026-10-{day:02}T10:00:00+03:00 | {text}"))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let answers = (1..=journey.len())
        .map(|count| (gd(&texts[..count]), journey[count - 1].1))
        .collect();
    let mut case = case("29 events", answers);
    case.adapter = "GD";
    play(vec![case]).await;
}

#[tokio::test]
async fn a_corrected_event_stands_once() {
    let mut world = World::new(&[]).await;
    let placed = |place: &str, kind: &str| {
        let mut event = event(&format!("24.11.2026 10:00:00 | Прибыло | {kind}"));
        event["operationPlaceName"] = place.into();
        event
    };
    let versions = [("", ""), ("Гонконг AMC", ""), ("Гонконг AMC", "Единичный")];
    let id = {
        let (place, kind) = versions[0];
        world.script.say(
            "N0",
            t24_of(vec![event(ACCEPTED), placed(place, kind)], json!({})),
        );
        let id = world.create(&[(code("T24"), number("N0"))]).await[0].id;
        world.pipe.run_for(Duration::from_secs(3)).await;
        id
    };
    for (place, kind) in &versions[1..] {
        world.script.say(
            "N0",
            t24_of(vec![event(ACCEPTED), placed(place, kind)], json!({})),
        );
        world.check_again(&[id]).await;
    }
    let store = &world.pipe.parts.store;
    let listed = store
        .events(id, false, 100, 0)
        .await
        .expect("reads")
        .expect("is there");
    assert_eq!(listed.len(), 2);
    assert_eq!(
        (
            listed[0].event.location.as_str(),
            listed[0].event.message.as_str()
        ),
        ("Гонконг AMC", "Единичный")
    );
    let all = store
        .events(id, true, 100, 0)
        .await
        .expect("reads")
        .expect("is there");
    let marks: Vec<bool> = all.iter().map(|event| event.superseded).collect();
    assert_eq!(marks, [false, true, true, false]);
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

#[tokio::test]
async fn an_old_history_gives_its_status_and_is_told_or_is_not_believed() {
    let old = [
        "05.03.2019 10:00:00 | Прием",
        "25.03.2019 10:00:00 | Вручение адресату | Вручение",
    ];
    for (believed, status) in [("0s", Delivered), ("90d", Pending)] {
        let mut world = World::new(&[("WORK__OLD_HISTORY", believed)]).await;
        world.script.say("N0", t24(&old));
        let id = world.create(&[(code("T24"), number("N0"))]).await[0].id;
        world.pipe.run_for(Duration::from_secs(60)).await;
        let row = world.row(id).await;
        assert_eq!((row.status, row.has_old_history()), (status, true));
        assert_eq!(world.script.calls(), 1, "is asked for no more today");
        if status == Pending {
            assert_eq!(row.sub_status, Some(SubStatus::PendingOldHistory));
            let end = row.created_at + chrono::TimeDelta::days(31);
            while world.pipe.clock.now() < end {
                world.pipe.advance(Duration::from_secs(6 * 3_600));
                world.pipe.run_for(Duration::from_secs(2)).await;
            }
            let row = world.row(id).await;
            assert_eq!((row.status, row.active), (Delivered, false));
            assert!(world.script.calls() <= 33, "{} calls", world.script.calls());
        }
    }
}

#[tokio::test]
async fn a_delivered_parcel_is_looked_at_again_if_that_is_wanted() {
    let mut world = World::new(&[("WORK__AFTER_DELIVERY", "1d,3d")]).await;
    world.script.say(
        "N0",
        t24(&[
            ACCEPTED,
            "28.11.2026 14:00:00 | Вручение адресату | Вручение",
        ]),
    );
    let id = world.create(&[(code("T24"), number("N0"))]).await[0].id;
    for _ in 0..8 {
        world.pipe.run_for(Duration::from_secs(3)).await;
        world.pipe.advance(Duration::from_secs(86_400));
    }
    let row = world.row(id).await;
    assert_eq!((row.status, row.active), (Delivered, false));
    assert_eq!(
        world.script.calls(),
        3,
        "when it was made, after a day, and after three more"
    );
}
