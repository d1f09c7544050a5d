//! Journeys: the default one of a number that was not seeded, and invented ones for demonstrations and tests.

use crate::chance::hash;
use crate::route::Route;
use crate::scenario::{Parcel, Step};

/// Seconds from step to step of a number that was not seeded.
const STEP_SECONDS: u64 = 20;

/// The chance that a call moves such a number before its time.
const PROGRESS_PROB: f64 = 0.25;

/// How many kinds of journeys [`journey`] invents.
const KINDS: u64 = 8;

/// How many of them, the first ones, end delivered without late or repeated events.
const DELIVERIES: u64 = 3;

/// How long the carrier keeps a late event to itself: it is then older than one reported before.
const LATE_SECONDS: u64 = 15;

/// The default parcel of a number that was not seeded.
pub fn unseeded(carrier: &str, track_number: &str) -> Parcel {
    let steps = match carrier {
        "POST_RU" => vec![
            Step::new("IN_TRANSIT", "Принято в отделении связи", "Москва").says("Приём"),
            Step::new("IN_TRANSIT", "В пути", "Екатеринбург").says("Обработка"),
            Step::new("DELIVERED", "Вручено адресату", "Омск").says("Вручение"),
        ],
        "CDEK" => vec![
            Step::new("IN_TRANSIT", "ACCEPTED", "Moscow").says("Accepted"),
            Step::new("IN_TRANSIT", "IN_TRANSIT", "Kazan").says("In transit"),
            Step::new("DELIVERED", "DELIVERED", "Omsk").says("Delivered"),
        ],
        // An aggregator's number is never delivered.
        "AUTO" => vec![
            Step::new("UNKNOWN", "Приём", "Москва").says("Единичный"),
            Step::new("UNKNOWN", "Обработка", "Москва").says("Покинуло сортировочный центр"),
        ],
        _ => vec![
            Step::new("IN_TRANSIT", "ACCEPTED", "Origin").says("Accepted"),
            Step::new("DELIVERED", "DELIVERED", "Destination").says("Delivered"),
        ],
    };
    Parcel {
        postal_code: None,
        carrier: carrier.to_owned(),
        track_number: track_number.to_owned(),
        step_seconds: STEP_SECONDS,
        progress_prob: PROGRESS_PROB,
        steps,
    }
}

/// A varied journey that ends delivered, returned or cancelled. The same arguments give the same journey.
pub fn journey(carrier: &str, number: &str, seed: u64) -> Vec<Step> {
    let key = hash(&(carrier, number, seed));
    let route = Route::new(carrier, key / KINDS);
    if carrier == "POST_RU" {
        return russian_post(key % KINDS, &route);
    }
    let created = step("INFO_RECEIVED", "CREATED", route.origin, "Order created");
    let mut steps = vec![created];
    steps.extend(courier(key % KINDS, &route));
    steps
}

/// A journey that begins in transit and ends delivered. The same arguments give the same journey.
pub fn delivery(carrier: &str, number: &str, seed: u64) -> Vec<Step> {
    let key = hash(&(carrier, number, seed));
    let route = Route::new(carrier, key / KINDS);
    if carrier == "POST_RU" {
        russian_post(key % DELIVERIES, &route)
    } else {
        courier(key % DELIVERIES, &route)
    }
}

fn step(status: &str, status_raw: &str, city: &str, message: &str) -> Step {
    Step::new(status, status_raw, city).says(message)
}

/// Status codes of CDEK's API v2, with English messages.
fn courier(kind: u64, route: &Route) -> Vec<Step> {
    let Route {
        origin,
        halfway,
        destination,
    } = *route;
    let mut steps = vec![
        step(
            "IN_TRANSIT",
            "RECEIVED_AT_SHIPMENT_WAREHOUSE",
            origin,
            "Accepted at the sender's warehouse",
        ),
        step(
            "IN_TRANSIT",
            "TAKEN_BY_TRANSPORTER_FROM_SENDER_CITY",
            origin,
            "Left the sender's city",
        ),
        step(
            "IN_TRANSIT",
            "ACCEPTED_IN_RECIPIENT_CITY",
            destination,
            "Arrived in the recipient's city",
        ),
    ];
    let out = step(
        "OUT_FOR_DELIVERY",
        "TAKEN_BY_COURIER",
        destination,
        "Handed to the courier",
    );
    let delivered = step(
        "DELIVERED",
        "DELIVERED",
        destination,
        "Delivered to the recipient",
    );
    match kind {
        1 => steps.extend([
            out.clone(),
            step(
                "ATTEMPT_FAILED",
                "NOT_DELIVERED",
                destination,
                "Recipient not at home",
            ),
            step(
                "IN_TRANSIT",
                "RETURNED_TO_RECIPIENT_CITY_WAREHOUSE",
                destination,
                "Back at the warehouse",
            ),
            out.says("Second attempt"),
            delivered,
        ]),
        2 => steps.extend([
            step(
                "AVAILABLE_FOR_PICKUP",
                "ACCEPTED_AT_PICK_UP_POINT",
                destination,
                "Waiting at the pick-up point",
            ),
            step(
                "DELIVERED",
                "POSTOMAT_RECEIVED",
                destination,
                "Collected at the pick-up point",
            ),
        ]),
        3 => steps.extend([
            step(
                "EXCEPTION",
                "IN_CUSTOMS_LOCAL",
                destination,
                "Held at customs",
            ),
            step(
                "IN_TRANSIT",
                "CUSTOMS_COMPLETE",
                destination,
                "Released by customs",
            ),
            out,
            delivered,
        ]),
        4 => steps.extend([
            out,
            step(
                "ATTEMPT_FAILED",
                "NOT_DELIVERED",
                destination,
                "Refused by the recipient",
            ),
            step(
                "RETURNING",
                "SENT_TO_SENDER_CITY",
                destination,
                "On its way back",
            ),
            step(
                "RETURNED",
                "RETURNED_TO_SENDER",
                origin,
                "Returned to the sender",
            ),
        ]),
        5 => {
            let late = step(
                "IN_TRANSIT",
                "SENT_TO_RECIPIENT_CITY",
                halfway,
                "Scanned, reported later",
            );
            steps.insert(
                2,
                Step {
                    late_seconds: LATE_SECONDS,
                    ..late
                },
            );
            steps.extend([out, delivered]);
        }
        6 => {
            steps[1].repeat = 3;
            steps.extend([Step { repeat: 2, ..out }, delivered]);
        }
        7 => steps.push(step(
            "CANCELLED",
            "REMOVED",
            origin,
            "Cancelled by the sender",
        )),
        _ => steps.extend([out, delivered]),
    }
    steps
}

/// Russian Post's operations, with Russian messages.
fn russian_post(kind: u64, route: &Route) -> Vec<Step> {
    let Route {
        origin,
        halfway,
        destination,
    } = *route;
    let mut steps = vec![
        step(
            "IN_TRANSIT",
            "Принято в отделении связи",
            origin,
            "Отправление принято",
        ),
        step(
            "IN_TRANSIT",
            "Покинуло место приёма",
            origin,
            "Отправление в пути",
        ),
        step(
            "IN_TRANSIT",
            "Прибыло в сортировочный центр",
            halfway,
            "Идёт сортировка",
        ),
        step(
            "IN_TRANSIT",
            "Прибыло в место вручения",
            destination,
            "Отправление в отделении связи",
        ),
    ];
    let waiting = step(
        "AVAILABLE_FOR_PICKUP",
        "Ожидает адресата в месте вручения",
        destination,
        "Ожидает адресата",
    );
    let delivered = step(
        "DELIVERED",
        "Вручение адресату",
        destination,
        "Получено адресатом",
    );
    match kind {
        1 => steps.extend([
            step(
                "OUT_FOR_DELIVERY",
                "Передано почтальону",
                destination,
                "Почтальон везёт отправление",
            ),
            step(
                "ATTEMPT_FAILED",
                "Неудачная попытка вручения",
                destination,
                "Адресата нет дома",
            ),
            waiting,
            delivered,
        ]),
        2 => steps.extend([waiting, delivered]),
        3 => {
            steps.insert(
                2,
                step(
                    "EXCEPTION",
                    "Задержано таможней",
                    halfway,
                    "Таможенный досмотр",
                ),
            );
            steps.insert(
                3,
                step(
                    "IN_TRANSIT",
                    "Выпущено таможней",
                    halfway,
                    "Отправление в пути",
                ),
            );
            steps.push(delivered);
        }
        4 => steps.extend([
            step("RETURNING", "Возврат", destination, "Истёк срок хранения"),
            step(
                "RETURNED",
                "Вручение отправителю",
                origin,
                "Получено отправителем",
            ),
        ]),
        5 => {
            let late = step("IN_TRANSIT", "Сортировка", halfway, "Сообщено позже");
            steps.insert(
                3,
                Step {
                    late_seconds: LATE_SECONDS,
                    ..late
                },
            );
            steps.push(delivered);
        }
        6 => {
            steps[1].repeat = 2;
            steps.push(Step {
                repeat: 3,
                ..delivered
            });
        }
        _ => steps.extend([
            step(
                "OUT_FOR_DELIVERY",
                "Передано курьеру",
                destination,
                "Курьер везёт отправление",
            ),
            delivered,
        ]),
    }
    steps
}

#[cfg(test)]
mod tests;
