//! Invented journeys: how they begin, vary, and end.

use std::collections::BTreeSet;

use super::{delivery, journey};
use crate::scenario::Step;

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

#[test]
fn every_delivery_begins_in_transit_and_ends_delivered() {
    for carrier in ["CDEK", "POST_RU", "DHL"] {
        for n in 0..100 {
            let steps = delivery(carrier, &format!("N{n}"), 1);
            let statuses: Vec<_> = steps.iter().map(|step| step.status.as_str()).collect();
            assert_eq!(statuses.first(), Some(&"IN_TRANSIT"), "{statuses:?}");
            let delivered = statuses.iter().position(|&status| status == "DELIVERED");
            assert_eq!(delivered, Some(steps.len() - 1), "{statuses:?}");
            let plain = |step: &Step| step.repeat == 1 && step.late_seconds == 0;
            assert!(steps.iter().all(plain), "{steps:?}");
        }
    }
}

#[test]
fn russian_post_speaks_russian() {
    let is_russian = |text: &str| text.chars().any(|letter| ('а'..='я').contains(&letter));
    for carrier in ["CDEK", "POST_RU", "DHL"] {
        for n in 0..100 {
            let number = format!("N{n}");
            for step in [journey(carrier, &number, 1), delivery(carrier, &number, 1)].concat() {
                let location = step.location.expect("has a location");
                let message = step.message.expect("has a message");
                for text in [step.status_raw, location, message] {
                    assert_eq!(is_russian(&text), carrier == "POST_RU", "{carrier}: {text}");
                }
            }
        }
    }
}
