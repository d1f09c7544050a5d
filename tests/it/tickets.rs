//! What every store promises of tickets of carriers that answer later.

use std::time::Duration;

use trackbox::model::Tracking;
use trackbox::store::queues::After;
use trackbox::store::tickets::NewTicket;
use uuid::Uuid;

use crate::support::fixture::{
    Applier, LEASE, TestStore, claim, create, on_every_store, read, read_all,
};
use crate::support::messages::seen;
use crate::support::time::at;

/// A ticket that is given at 1 s, asked for from 10 s on and ends at 1,000 s.
fn ticket(account: &str) -> NewTicket<'_> {
    NewTicket {
        account,
        adapter: "emulator-ticket",
        ticket: "T1",
        asked_at: at(1),
        ask_at: at(10),
        wait: Duration::from_secs(10),
        ends_at: at(1_000),
    }
}

fn leases(rows: &[Tracking]) -> Vec<(i64, Uuid)> {
    let leases = rows
        .iter()
        .map(|row| (row.id, row.lease_id.expect("a lease")));
    leases.collect()
}

#[tokio::test]
async fn the_parcels_of_a_ticket_are_claimed_again_only_when_it_ends() {
    on_every_store(async |TestStore { store, .. }| {
        create(&store, "CDEK", 5).await;
        let held = claim(&store, "CDEK", 1, 3).await;
        let parked = store.park(&ticket("CDEK"), &leases(&held)).await;
        assert_eq!(parked.expect("parks"), 3);
        let others = claim(&store, "CDEK", 900, 9).await;
        assert_eq!(others.len(), 2, "long after their leases would have ended");
        let due = store
            .due_queues(&After::default(), 9, at(900))
            .await
            .expect("lists");
        assert_eq!(due.queues, [], "nothing is free");
        assert_eq!(claim(&store, "CDEK", 1_000, 9).await.len(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_ticket_is_kept_for_those_parcels_that_its_check_still_holds() {
    on_every_store(async |TestStore { store, .. }| {
        create(&store, "CDEK", 3).await;
        let lost = claim(&store, "CDEK", 1, 9).await;
        let held = claim(&store, "CDEK", 200, 2).await;
        let parked = store.park(&ticket("CDEK"), &leases(&lost)).await;
        assert_eq!(parked.expect("parks"), 1, "the others are of another check");
        let id = store.open_tickets(at(10), 9).await.expect("lists")[0].id;
        let taken = store.take_ticket(id, at(10), LEASE).await.expect("takes");
        let (_, rows) = taken.expect("is free");
        assert_eq!(rows.len(), 1);
        assert!(held.iter().all(|row| row.id != rows[0].id));
        let again = store.park(&ticket("CDEK"), &leases(&held[..1])).await;
        assert_eq!(again.expect("parks"), 1);
        let nothing = [(held[1].id, Uuid::now_v7())];
        let none = store.park(&ticket("CDEK"), &nothing).await;
        assert_eq!(none.expect("answers"), 0);
        let open = store.open_tickets(at(10), 9).await.expect("lists");
        assert_eq!(open.len(), 1, "one is held, and for none nothing is kept");
    })
    .await;
}

#[tokio::test]
async fn a_ticket_is_asked_for_by_one_worker_a_lease_and_at_its_time() {
    on_every_store(async |TestStore { store, .. }| {
        create(&store, "CDEK", 1).await;
        let held = claim(&store, "CDEK", 1, 1).await;
        store
            .park(&ticket("CDEK"), &leases(&held))
            .await
            .expect("parks");
        let open = store.open_tickets(at(2), 9).await.expect("lists");
        assert_eq!((open[0].ask_at, open[0].is_awaited), (at(10), true));
        let take = async |secs| {
            let taken = store.take_ticket(open[0].id, at(secs), LEASE).await;
            taken.expect("answers").map(|(ticket, _)| ticket)
        };
        assert_eq!(take(9).await, None, "too early");
        let first = take(10).await.expect("its time has come");
        assert_eq!((first.ticket.as_str(), first.tries), ("T1", 0));
        assert_eq!(take(11).await, None, "another worker has it");
        assert_eq!(store.open_tickets(at(11), 9).await.expect("lists"), []);
        let second = take(130).await.expect("the worker died");
        store.ask_later(&first, at(999), 0).await.expect("answers");
        assert_eq!(take(140).await, None, "the dead one changes nothing");
        store
            .ask_later(&second, at(150), 1)
            .await
            .expect("puts it off");
        assert_eq!(take(149).await, None);
        let third = take(150).await.expect("its time has come");
        assert_eq!((third.tries, third.fails), (1, 1));
        store.release_ticket(&third).await.expect("releases");
        assert_eq!(take(150).await.expect("is free").tries, 1);
    })
    .await;
}

#[tokio::test]
async fn the_tickets_of_one_account_hide_none_of_another() {
    on_every_store(async |TestStore { store, .. }| {
        create(&store, "CDEK", 4).await;
        for n in 0..4 {
            let held = claim(&store, "CDEK", 1, 1).await;
            let account = if n == 3 { "LAST" } else { "FIRST" };
            let new = NewTicket {
                ask_at: at(10 + n),
                ..ticket(account)
            };
            store.park(&new, &leases(&held)).await.expect("parks");
        }
        let open = store.open_tickets(at(10), 2).await.expect("lists");
        let accounts: Vec<&str> = open.iter().map(|ticket| ticket.account.as_str()).collect();
        assert_eq!(accounts, ["FIRST", "FIRST", "LAST"]);
        assert_eq!(open[0].ask_at, at(10), "the first of each come first");
    })
    .await;
}

#[tokio::test]
async fn a_ticket_is_no_longer_awaited_once_its_answers_have_taken_effect() {
    on_every_store(async |TestStore { store, .. }| {
        let rows = create(&store, "CDEK", 2).await;
        let held = claim(&store, "CDEK", 1, 9).await;
        store
            .park(&ticket("CDEK"), &leases(&held))
            .await
            .expect("parks");
        let mut applier = Applier::new(&store).await;
        let mut answers = Vec::new();
        for (row, (_, check)) in held.iter().zip(leases(&held)) {
            let mut answer = seen(row.id, 1, 1, &[("IN_TRANSIT", 0)]);
            answer.check_id = check;
            answers.push(answer);
        }
        let id = store.open_tickets(at(10), 9).await.expect("lists")[0].id;
        applier
            .apply(&store, answers.split_off(1))
            .await
            .expect("applies");
        assert!(store.open_tickets(at(10), 9).await.expect("lists")[0].is_awaited);
        let taken = store.take_ticket(id, at(10), Duration::ZERO).await;
        let (_, waiting) = taken.expect("takes").expect("is free");
        assert_eq!(waiting.len(), 1, "the other has its answer");
        applier.apply(&store, answers).await.expect("applies");
        assert!(!store.open_tickets(at(10), 9).await.expect("lists")[0].is_awaited);
        store.forget_ticket(id).await.expect("forgets");
        assert_eq!(store.open_tickets(at(10), 9).await.expect("lists"), []);
        for row in read_all(&store, &rows).await {
            assert_eq!((row.lease_id, row.last_ok_at), (None, Some(at(1))));
        }
    })
    .await;
}

#[tokio::test]
async fn the_parcels_of_a_ticket_that_is_given_up_are_due_at_once() {
    on_every_store(async |TestStore { store, .. }| {
        create(&store, "CDEK", 3).await;
        let held = claim(&store, "CDEK", 1, 9).await;
        store
            .park(&ticket("CDEK"), &leases(&held))
            .await
            .expect("parks");
        let mut answer = seen(held[0].id, 1, 1, &[("DELIVERED", 0)]);
        answer.check_id = leases(&held)[0].1;
        let mut applier = Applier::new(&store).await;
        applier.apply(&store, vec![answer]).await.expect("applies");
        let id = store.open_tickets(at(10), 9).await.expect("lists")[0].id;
        let freed = store.give_up_ticket(id, at(20)).await.expect("gives up");
        assert_eq!(freed, 2);
        assert_eq!(claim(&store, "CDEK", 20, 9).await.len(), 2);
        assert_eq!(store.open_tickets(at(20), 9).await.expect("lists"), []);
        let again = store.give_up_ticket(id, at(30)).await.expect("answers");
        assert_eq!(again, 0);
        assert_eq!(read(&store, held[1].id).await.next_check_at, at(20));
    })
    .await;
}
