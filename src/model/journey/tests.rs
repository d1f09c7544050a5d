use strum::VariantArray as _;

use super::{EVENTS, Journey, Step, TABLE};
use crate::model::Event;
use crate::model::fixture::at;
use crate::model::status::{Direction, Status, SubStatus};

/// The status and the way after events one second apart.
fn after(events: &[(Status, Option<SubStatus>)]) -> (Status, Direction) {
    let mut journey = Journey::new(Direction::Forward);
    for (second, (status, sub_status)) in (0..).zip(events) {
        journey.follow(Step {
            status: *status,
            sub_status: *sub_status,
            status_raw: status.as_str(),
            at: Some(at(second)),
            stated: false,
        });
    }
    let report = journey.report();
    (report.status, report.direction)
}

fn plain(events: &[Status]) -> (Status, Direction) {
    let events: Vec<_> = events.iter().map(|status| (*status, None)).collect();
    after(&events)
}

#[test]
fn the_table_says_of_every_status_what_every_event_does() {
    assert_eq!(EVENTS.len(), Status::VARIANTS.len());
    for status in Status::VARIANTS {
        let rows: Vec<_> = TABLE.iter().filter(|(of, _)| of == status).collect();
        assert_eq!(rows.len(), 1, "{status}");
        let cells: Vec<&str> = rows[0].1.split(' ').collect();
        assert_eq!(cells.len(), EVENTS.len(), "{status}");
        assert!(cells.iter().all(|cell| "+.la".contains(cell)), "{status}");
        assert_eq!(EVENTS.iter().filter(|event| *event == status).count(), 1);
    }
}

#[test]
fn a_scan_recorded_late_undoes_no_delivery() {
    for late in [
        Status::InTransit,
        Status::OutForDelivery,
        Status::AvailableForPickup,
        Status::AttemptFailed,
        Status::Exception,
        Status::InfoReceived,
        Status::Unknown,
        Status::Delivered,
    ] {
        let end = plain(&[Status::OutForDelivery, Status::Delivered, late]);
        assert_eq!(end, (Status::Delivered, Direction::Forward), "{late}");
    }
}

#[test]
fn a_way_back_after_a_delivery_ends_with_the_sender() {
    let back = [Status::Delivered, Status::Returning];
    assert_eq!(plain(&back), (Status::Returning, Direction::Return));
    let moving = [back[0], back[1], Status::InTransit];
    assert_eq!(plain(&moving), (Status::Returning, Direction::Return));
    let home = [back[0], back[1], Status::InTransit, Status::Delivered];
    assert_eq!(plain(&home), (Status::Returned, Direction::Return));
    let late = [home[0], home[1], home[2], home[3], Status::InTransit];
    assert_eq!(plain(&late), (Status::Returned, Direction::Return));
}

#[test]
fn a_new_acceptance_begins_a_new_way_to_the_addressee() {
    let accepted = (Status::InTransit, Some(SubStatus::InTransitAccepted));
    let again = |end| after(&[(end, None), accepted]);
    assert_eq!(
        again(Status::Delivered),
        (Status::InTransit, Direction::Forward)
    );
    assert_eq!(
        again(Status::Returned),
        (Status::InTransit, Direction::Forward)
    );
    let returning = after(&[(Status::Returning, None), accepted]);
    assert_eq!(
        returning,
        (Status::Returning, Direction::Return),
        "it is taken in for the way back"
    );
    let label = plain(&[Status::Returned, Status::InfoReceived]);
    assert_eq!(label, (Status::InfoReceived, Direction::Forward));
}

#[test]
fn no_step_of_the_way_goes_back_by_a_scan_of_the_same_place() {
    let waiting = (Status::AvailableForPickup, None);
    let then = |sub_status| after(&[waiting, (Status::InTransit, sub_status)]).0;
    assert_eq!(
        then(Some(SubStatus::InTransitArrivedAtDestination)),
        Status::AvailableForPickup
    );
    assert_eq!(
        then(Some(SubStatus::InTransitSorted)),
        Status::AvailableForPickup
    );
    assert_eq!(then(Some(SubStatus::InTransitForwarded)), Status::InTransit);
    let told_again = plain(&[Status::InTransit, Status::InfoReceived]);
    assert_eq!(told_again.0, Status::InTransit);
}

#[test]
fn an_unknown_text_hides_a_status_but_does_not_end_it() {
    assert_eq!(
        plain(&[Status::InTransit, Status::Unknown]).0,
        Status::Unknown
    );
    let label = plain(&[Status::InTransit, Status::Unknown, Status::InfoReceived]);
    assert_eq!(label.0, Status::Unknown);
    let back = plain(&[Status::Returning, Status::Unknown]);
    assert_eq!(back, (Status::Unknown, Direction::Return));
}

#[test]
fn a_status_that_the_carrier_gives_the_whole_parcel_needs_no_departure() {
    let mut journey = Journey::new(Direction::Forward);
    for (status, stated) in [
        (Status::AvailableForPickup, false),
        (Status::InTransit, true),
    ] {
        journey.follow(Step {
            status,
            sub_status: None,
            status_raw: "",
            at: None,
            stated,
        });
    }
    assert_eq!(journey.report().status, Status::InTransit);
}

#[test]
fn an_event_that_keeps_shows_the_status_before_it_and_gives_none() {
    let keeps = (Status::Pending, None);
    assert_eq!(keeps, Event::KEEPS);
    for stage in Status::VARIANTS {
        let mut journey = Journey::new(Direction::Forward);
        let given = (*stage, None);
        journey.follow(Step::new(given, "given", at(1), true));
        let before = (journey.status(), journey.stage());
        let shown = journey.follow(Step::new(keeps, "a date was updated", at(2), false));
        assert_eq!(shown, given, "{stage}");
        assert_eq!((journey.status(), journey.stage()), before, "{stage}");
        let report = journey.report();
        assert_eq!(report.status_at, Some(at(1)), "{stage}");
        assert_eq!(report.status_raw, "given");
        assert_eq!(report.last_event_at, Some(at(2)));
    }
}

/// So a program of before changes no known status by such an event either.
#[test]
fn by_the_table_alone_an_event_that_keeps_changes_no_known_status() {
    let (event, _) = Event::KEEPS;
    let column = EVENTS
        .iter()
        .position(|it| *it == event)
        .expect("is a column");
    for (status, cells) in TABLE {
        let is_known = !matches!(status, Status::Unknown | Status::Pending);
        let cell = cells.split(' ').nth(column);
        assert!(!is_known || cell == Some("."), "{status}");
    }
}
