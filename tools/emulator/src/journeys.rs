//! Journeys: what happens to a number that nobody seeded, and varied ones for demonstrations and tests.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::scenario::{Parcel, Step};

/// Seconds from step to step of a number that nobody seeded.
const STEP_SECONDS: u64 = 20;

/// The chance of an early step of a number that nobody seeded.
const PROGRESS_PROB: f64 = 0.25;

/// The default scenario of a number that nobody seeded.
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
        // An aggregator's number never arrives.
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
        carrier: carrier.to_owned(),
        track_number: track_number.to_owned(),
        step_seconds: STEP_SECONDS,
        progress_prob: PROGRESS_PROB,
        steps,
    }
}

/// A varied journey: the same for the same arguments. It ends delivered, returned or cancelled.
pub fn journey(carrier: &str, number: &str, seed: u64) -> Vec<Step> {
    let mut hash = DefaultHasher::new();
    (carrier, number, seed).hash(&mut hash);
    let kind = hash.finish() % 8;
    if carrier == "POST_RU" {
        russian_post(kind)
    } else {
        courier(kind)
    }
}

fn courier(kind: u64) -> Vec<Step> {
    let step = Step::new;
    let mut steps = vec![
        step("INFO_RECEIVED", "CREATED", "Moscow").says("Order created"),
        step("IN_TRANSIT", "RECEIVED_AT_SHIPMENT_WAREHOUSE", "Moscow"),
        step(
            "IN_TRANSIT",
            "TAKEN_BY_TRANSPORTER_FROM_SENDER_CITY",
            "Moscow",
        ),
        step("IN_TRANSIT", "ACCEPTED_IN_RECIPIENT_CITY", "Omsk"),
    ];
    let out = step("OUT_FOR_DELIVERY", "TAKEN_BY_COURIER", "Omsk").says("With the courier");
    let delivered = step("DELIVERED", "DELIVERED", "Omsk").says("Delivered to the addressee");
    match kind {
        1 => {
            steps.extend([
                out.clone(),
                step("ATTEMPT_FAILED", "NOT_DELIVERED", "Omsk").says("Nobody at home"),
                step("IN_TRANSIT", "RETURNED_TO_RECIPIENT_CITY_WAREHOUSE", "Omsk"),
                out.says("Second attempt"),
                delivered,
            ]);
        }
        2 => {
            steps.extend([
                step("AVAILABLE_FOR_PICKUP", "ACCEPTED_AT_PICK_UP_POINT", "Omsk").says("Lenina 1"),
                step("DELIVERED", "POSTOMAT_RECEIVED", "Omsk"),
            ]);
        }
        3 => {
            steps.extend([
                step("EXCEPTION", "IN_CUSTOMS_LOCAL", "Omsk").says("Held at customs"),
                step("IN_TRANSIT", "CUSTOMS_COMPLETE", "Omsk"),
                out,
                delivered,
            ]);
        }
        4 => {
            steps.extend([
                out,
                step("ATTEMPT_FAILED", "NOT_DELIVERED", "Omsk").says("Refused"),
                step("RETURNING", "SENT_TO_SENDER_CITY", "Omsk"),
                step("RETURNED", "RETURNED_TO_SENDER", "Moscow"),
            ]);
        }
        5 => {
            // Told late: older than what the carrier told before.
            let mut late =
                step("IN_TRANSIT", "SENT_TO_RECIPIENT_CITY", "Kazan").says("Scanned, told later");
            late.late_seconds = 15;
            steps.insert(3, late);
            steps.extend([out, delivered]);
        }
        6 => {
            steps[2].repeat = 3;
            steps.extend([Step { repeat: 2, ..out }, delivered]);
        }
        7 => steps.push(step("CANCELLED", "REMOVED", "Moscow").says("Cancelled by the sender")),
        _ => steps.extend([out, delivered]),
    }
    steps
}

fn russian_post(kind: u64) -> Vec<Step> {
    let step = Step::new;
    let mut steps = vec![
        step("IN_TRANSIT", "Принято в отделении связи", "101000 Москва").says("Единичный"),
        step("IN_TRANSIT", "Покинуло место приёма", "101000 Москва"),
        step(
            "IN_TRANSIT",
            "Прибыло в сортировочный центр",
            "620700 Екатеринбург",
        ),
        step("IN_TRANSIT", "Прибыло в место вручения", "644000 Омск"),
    ];
    let delivered = step("DELIVERED", "Вручение адресату", "644000 Омск");
    match kind {
        1 => {
            steps.extend([
                step("OUT_FOR_DELIVERY", "Передано почтальону", "644000 Омск"),
                step(
                    "ATTEMPT_FAILED",
                    "Неудачная попытка вручения",
                    "644000 Омск",
                )
                .says("Адресата нет дома"),
                step(
                    "AVAILABLE_FOR_PICKUP",
                    "Ожидает адресата в месте вручения",
                    "644000 Омск",
                ),
                delivered,
            ]);
        }
        2 => {
            steps.extend([
                step(
                    "AVAILABLE_FOR_PICKUP",
                    "Ожидает адресата в месте вручения",
                    "644000 Омск",
                ),
                delivered,
            ]);
        }
        3 => {
            steps.insert(2, step("EXCEPTION", "Задержано таможней", "104000 Москва"));
            steps.insert(3, step("IN_TRANSIT", "Выпущено таможней", "104000 Москва"));
            steps.push(delivered);
        }
        4 => {
            steps.extend([
                step("RETURNING", "Возврат", "644000 Омск").says("Истёк срок хранения"),
                step("RETURNED", "Вручение отправителю", "101000 Москва"),
            ]);
        }
        5 => {
            let mut late = step("IN_TRANSIT", "Сортировка", "450000 Уфа").says("Сообщено позже");
            late.late_seconds = 15;
            steps.insert(3, late);
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
            step("OUT_FOR_DELIVERY", "Передано курьеру", "644000 Омск"),
            delivered,
        ]),
    }
    steps
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::journey;

    #[test]
    fn journeys_vary_repeat_themselves_and_end() {
        for carrier in ["CDEK", "POST_RU", "OTHER"] {
            let mut kinds = BTreeSet::new();
            for n in 0..200 {
                let number = format!("N{n}");
                let steps = journey(carrier, &number, 1);
                assert_eq!(steps, journey(carrier, &number, 1));
                let last = steps.last().expect("has steps").status.clone();
                assert!(
                    ["DELIVERED", "RETURNED", "CANCELLED"].contains(&last.as_str()),
                    "{last}"
                );
                for pair in steps.windows(2) {
                    assert_ne!(
                        (&pair[0].status_raw, &pair[0].location, &pair[0].message),
                        (&pair[1].status_raw, &pair[1].location, &pair[1].message)
                    );
                }
                kinds.insert(format!("{steps:?}"));
            }
            assert!(kinds.len() >= 7, "{carrier} has {} kinds", kinds.len());
        }
    }
}
