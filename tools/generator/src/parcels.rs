//! The parcels of one run: which carrier, which number.

use std::collections::HashSet;

use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Serialize;

use crate::numbers;

/// One parcel, as the API takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Parcel {
    pub carrier_code: String,
    pub track_number: String,
}

/// Makes `count` parcels of the carriers in turn; no number comes twice.
///
/// The same carriers and seed make the same parcels, and a larger count only adds to them. None without a carrier.
pub fn make(carriers: &[String], count: usize, seed: u64) -> Vec<Parcel> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut taken = HashSet::with_capacity(count);
    carriers
        .iter()
        .cycle()
        .take(count)
        .map(|carrier| {
            // Every format has at least 10^9 numbers and a run at most 10^6 parcels: this ends after a few tries.
            let track_number = loop {
                let number = numbers::make(carrier, &mut rng);
                if taken.insert(number.clone()) {
                    break number;
                }
            };
            Parcel {
                carrier_code: carrier.clone(),
                track_number,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::make;

    fn carriers(codes: &[&str]) -> Vec<String> {
        codes.iter().map(|&code| code.to_owned()).collect()
    }

    #[test]
    fn no_number_comes_twice_and_carriers_take_turns() {
        let parcels = make(&carriers(&["CDEK", "POST_RU", "DHL"]), 30_000, 1);
        let numbers: HashSet<_> = parcels.iter().map(|parcel| &parcel.track_number).collect();
        assert_eq!(numbers.len(), 30_000);
        for code in ["CDEK", "POST_RU", "DHL"] {
            let of_carrier = parcels.iter().filter(|parcel| parcel.carrier_code == code);
            assert_eq!(of_carrier.count(), 10_000, "{code}");
        }
    }

    #[test]
    fn a_seed_repeats_the_parcels_whatever_the_count() {
        let codes = carriers(&["CDEK", "POST_RU"]);
        let few = make(&codes, 10, 7);
        assert_eq!(few, make(&codes, 1_000, 7)[..10]);
        assert_ne!(few, make(&codes, 10, 8));
    }

    #[test]
    fn a_parcel_is_written_as_the_api_reads_it() {
        let parcel = &make(&carriers(&["CDEK"]), 1, 1)[0];
        let json = serde_json::to_value(parcel).expect("a parcel is JSON");
        assert_eq!(
            json,
            serde_json::json!({"carrierCode": "CDEK", "trackNumber": parcel.track_number})
        );
    }
}
