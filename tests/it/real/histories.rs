//! What an answer means after all that came before.

use std::time::Duration;

use serde_json::json;
use trackbox::model::status::Status::{self, *};
use trackbox::model::status::{Direction, SubStatus};
use trackbox::model::tenant::Tenant;

use super::{ACCEPTED, DELIVERED, World, case, event, gd, play, t24, t24_of, t24_with, way};
use crate::support::fixture::{code, number};

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
        .events(Tenant::DEFAULT, id, false, 100, 0)
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
        .events(Tenant::DEFAULT, id, true, 100, 0)
        .await
        .expect("reads")
        .expect("is there");
    let marks: Vec<bool> = all.iter().map(|event| event.superseded).collect();
    assert_eq!(marks, [false, true, true, false]);
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

#[tokio::test]
async fn what_the_carrier_takes_back_decides_nothing() {
    let events = [
        ACCEPTED,
        "24.11.2026 09:00:00 | Передано курьеру | Обработка",
        "24.11.2026 12:00:00 | Вручение адресату | Вручение",
        "24.11.2026 12:30:00 | Ошибка оператора | Отмена",
    ];
    play(vec![case(
        "a delivery by mistake",
        vec![
            (t24(&events[..3]), Delivered),
            (t24(&events), OutForDelivery),
            (t24(&events[..3]), OutForDelivery),
            (t24(&[&events[..], &[DELIVERED]].concat()), Delivered),
        ],
    )])
    .await;
}
