//! What the emulator will tell of each parcel: plausible journeys, all of which end with the delivery.
//!
//! Russian Post speaks Russian; CDEK its API's codes, with English texts; any other carrier plain English.

use rand::Rng;
use rand::seq::index::sample_array;
use serde::Serialize;

use self::Place::{Destination, Halfway, Origin};
use crate::parcels::Parcel;

/// How long a parcel rests at each step, in seconds.
const STEP_SECONDS: u32 = 10;

/// How likely a parcel goes one step on at a call before that time has passed.
const PROGRESS_PROB: f64 = 0.20;

const CITIES: &[&str] = &[
    "Moscow",
    "Saint Petersburg",
    "Novosibirsk",
    "Yekaterinburg",
    "Kazan",
    "Samara",
    "Omsk",
    "Krasnodar",
    "Perm",
    "Vladivostok",
];

const CITIES_RU: &[&str] = &[
    "Москва",
    "Санкт-Петербург",
    "Новосибирск",
    "Екатеринбург",
    "Казань",
    "Самара",
    "Омск",
    "Краснодар",
    "Пермь",
    "Владивосток",
];

/// One parcel's journey, as the emulator takes it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Journey<'a> {
    pub carrier: &'a str,
    pub track_number: &'a str,
    pub step_seconds: u32,
    pub progress_prob: f64,
    pub steps: Vec<Step>,
}

/// One thing that happens to a parcel.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    pub status: &'static str,
    pub status_raw: &'static str,
    pub location: &'static str,
    pub message: &'static str,
}

/// Makes a journey for a parcel: one of its carrier's, by way of three cities.
pub fn make<'a>(parcel: &'a Parcel, rng: &mut impl Rng) -> Journey<'a> {
    let (routes, cities) = match parcel.carrier_code.as_str() {
        "CDEK" => (CDEK, CITIES),
        "POST_RU" => (POST_RU, CITIES_RU),
        _ => (PLAIN, CITIES),
    };
    let route = routes[rng.random_range(0..routes.len())];
    let places = sample_array::<_, 3>(rng, cities.len())
        .expect("there are more than three cities")
        .map(|index| cities[index]);
    let steps = route
        .iter()
        .map(|&(status, place, status_raw, message)| Step {
            status,
            status_raw,
            location: places[place as usize],
            message,
        })
        .collect();
    Journey {
        carrier: &parcel.carrier_code,
        track_number: &parcel.track_number,
        step_seconds: STEP_SECONDS,
        progress_prob: PROGRESS_PROB,
        steps,
    }
}

/// In which of its three cities something happens to a parcel.
#[derive(Clone, Copy)]
enum Place {
    Origin,
    Halfway,
    Destination,
}

/// Status, place, the carrier's own status, text.
type Stage = (&'static str, Place, &'static str, &'static str);

const MOVING: &str = "IN_TRANSIT";
const COURIER: &str = "OUT_FOR_DELIVERY";
const PICKUP: &str = "AVAILABLE_FOR_PICKUP";
const ATTEMPT: &str = "ATTEMPT_FAILED";
const DELIVERED: &str = "DELIVERED";

/// The status codes of CDEK's API v2.
const CDEK: &[&[Stage]] = &[
    &[
        (
            MOVING,
            Origin,
            "RECEIVED_AT_SHIPMENT_WAREHOUSE",
            "Accepted at the sender's warehouse",
        ),
        (
            MOVING,
            Origin,
            "TAKEN_BY_TRANSPORTER_FROM_SENDER_CITY",
            "Left the sender's city",
        ),
        (
            MOVING,
            Halfway,
            "ACCEPTED_IN_TRANSIT_CITY",
            "Arrived in a transit city",
        ),
        (
            MOVING,
            Destination,
            "ACCEPTED_IN_RECIPIENT_CITY",
            "Arrived in the recipient's city",
        ),
        (
            COURIER,
            Destination,
            "TAKEN_BY_COURIER",
            "Handed to the courier",
        ),
        (
            DELIVERED,
            Destination,
            "DELIVERED",
            "Delivered to the recipient",
        ),
    ],
    &[
        (
            MOVING,
            Origin,
            "RECEIVED_AT_SHIPMENT_WAREHOUSE",
            "Accepted at the sender's warehouse",
        ),
        (
            MOVING,
            Origin,
            "TAKEN_BY_TRANSPORTER_FROM_SENDER_CITY",
            "Left the sender's city",
        ),
        (
            MOVING,
            Destination,
            "ACCEPTED_IN_RECIPIENT_CITY",
            "Arrived in the recipient's city",
        ),
        (
            PICKUP,
            Destination,
            "ACCEPTED_AT_PICK_UP_POINT",
            "Waiting at the pick-up point",
        ),
        (
            DELIVERED,
            Destination,
            "DELIVERED",
            "Collected at the pick-up point",
        ),
    ],
];

const POST_RU: &[&[Stage]] = &[
    &[
        (
            MOVING,
            Origin,
            "Принято в отделении связи",
            "Отправление принято",
        ),
        (
            MOVING,
            Origin,
            "Покинуло место приёма",
            "Отправление в пути",
        ),
        (
            MOVING,
            Halfway,
            "Прибыло в сортировочный центр",
            "Идёт сортировка",
        ),
        (
            MOVING,
            Halfway,
            "Покинуло сортировочный центр",
            "Отправление в пути",
        ),
        (
            PICKUP,
            Destination,
            "Прибыло в место вручения",
            "Ожидает адресата в отделении связи",
        ),
        (
            DELIVERED,
            Destination,
            "Вручение адресату",
            "Получено адресатом",
        ),
    ],
    &[
        (
            MOVING,
            Origin,
            "Принято в отделении связи",
            "Отправление принято",
        ),
        (
            MOVING,
            Halfway,
            "Прибыло в сортировочный центр",
            "Идёт сортировка",
        ),
        (
            COURIER,
            Destination,
            "Передано почтальону",
            "Почтальон везёт отправление",
        ),
        (
            ATTEMPT,
            Destination,
            "Неудачная попытка вручения",
            "Адресата нет дома",
        ),
        (
            PICKUP,
            Destination,
            "Прибыло в место вручения",
            "Ожидает адресата в отделении связи",
        ),
        (
            DELIVERED,
            Destination,
            "Вручение адресату",
            "Получено адресатом",
        ),
    ],
];

const PLAIN: &[&[Stage]] = &[
    &[
        (MOVING, Origin, "ACCEPTED", "Accepted from the sender"),
        (MOVING, Halfway, "IN_TRANSIT", "Arrived at a sorting centre"),
        (
            COURIER,
            Destination,
            "OUT_FOR_DELIVERY",
            "Handed to the courier",
        ),
        (
            DELIVERED,
            Destination,
            "DELIVERED",
            "Delivered to the recipient",
        ),
    ],
    &[
        (MOVING, Origin, "ACCEPTED", "Accepted from the sender"),
        (MOVING, Halfway, "IN_TRANSIT", "Arrived at a sorting centre"),
        (
            MOVING,
            Destination,
            "ARRIVED",
            "Arrived in the recipient's city",
        ),
        (
            DELIVERED,
            Destination,
            "DELIVERED",
            "Delivered to the recipient",
        ),
    ],
];

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::make;
    use crate::parcels::{self, Parcel};

    fn some_parcels() -> Vec<Parcel> {
        let carriers = ["CDEK", "POST_RU", "DHL"].map(str::to_owned);
        parcels::make(&carriers, 300, 1)
    }

    #[test]
    fn every_journey_begins_on_its_way_and_ends_delivered() {
        let mut rng = StdRng::seed_from_u64(1);
        for parcel in some_parcels() {
            let steps = make(&parcel, &mut rng).steps;
            let statuses: Vec<_> = steps.iter().map(|step| step.status).collect();
            assert_eq!(statuses.first(), Some(&"IN_TRANSIT"), "{statuses:?}");
            let delivered = statuses.iter().position(|&status| status == "DELIVERED");
            assert_eq!(delivered, Some(steps.len() - 1), "{statuses:?}");
        }
    }

    #[test]
    fn russian_post_speaks_russian() {
        let mut rng = StdRng::seed_from_u64(1);
        let is_russian = |text: &str| text.chars().any(|letter| ('а'..='я').contains(&letter));
        for parcel in some_parcels() {
            let russian = parcel.carrier_code == "POST_RU";
            for step in make(&parcel, &mut rng).steps {
                for text in [step.status_raw, step.location, step.message] {
                    assert_eq!(is_russian(text), russian, "{}: {text}", parcel.carrier_code);
                }
            }
        }
    }

    #[test]
    fn a_journey_is_written_as_the_emulator_reads_it() {
        let parcel = &some_parcels()[0];
        let journey = make(parcel, &mut StdRng::seed_from_u64(1));
        let json = serde_json::to_value(&journey).expect("a journey is JSON");
        assert_eq!(json["carrier"], "CDEK");
        assert_eq!(json["trackNumber"], parcel.track_number.as_str());
        assert_eq!(json["stepSeconds"], 10);
        assert_eq!(json["progressProb"], 0.2);
        let first = &json["steps"][0];
        assert_eq!(first["statusRaw"], "RECEIVED_AT_SHIPMENT_WAREHOUSE");
        for field in ["status", "location", "message"] {
            assert!(first[field].is_string(), "{field} in {first}");
        }
    }
}
