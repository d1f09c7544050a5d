//! What becomes of the tickets of carriers that answer later.
//!
//! A ticket is kept before anything else happens, and forgotten once the bus has all of its answer. Whichever worker dies in
//! between, another one asks for the same ticket, and what it publishes again changes nothing.

use std::time::Duration;

use crate::carriers::{CarrierError, FailureOf, Ticket};
use crate::clock::{Time, delta};
use crate::metrics::TicketOutcome;
use crate::scheduler::exchange::record;
use crate::scheduler::lane::Call;
use crate::scheduler::parts::SchedulerParts;
use crate::store::tickets::{HeldTicket, NewTicket};

/// A ticket whose answer could not be read so many times in a row is given up.
const UNREADABLE_MAX: u32 = 3;

/// How long to wait before a ticket is tried to be kept again.
const KEEP_AGAIN: Duration = Duration::from_secs(1);

/// The longest time for which numbers wait for a ticket: as long as any parcel may wait for a check.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Keeps the ticket that a call was given. Tries it as long as the parcels' leases hold: what is not kept is asked for anew.
pub async fn keep(parts: &SchedulerParts, call: &Call, ticket: &Ticket, asked_at: Time) {
    let account = &call.route.account.name;
    parts.metrics.tickets(account, TicketOutcome::Given).inc();
    let new = NewTicket {
        account,
        adapter: call.route.adapter.name(),
        ticket: &ticket.id,
        asked_at,
        ask_at: after(parts, ticket.wait),
        wait: ticket.wait,
        ends_at: after(parts, ticket.ends_after),
    };
    let leases = call.leases();
    loop {
        let keeping = parts.store.park(&new, &leases);
        match record(account, "keep a ticket", keeping).await {
            Some(0) => {
                parts.metrics.late_answers(account).inc();
                return;
            }
            Some(_) => return,
            None => {}
        }
        let again = parts.clock.monotonic() + KEEP_AGAIN;
        if again >= call.lease_ends {
            let numbers = leases.len();
            tracing::error!(
                account,
                numbers,
                "could not keep a ticket of account {account}: its {numbers} parcels are asked for anew"
            );
            return;
        }
        parts.clock.sleep_until(again).await;
    }
}

/// Puts off a ticket that is not ready.
pub async fn not_ready(parts: &SchedulerParts, call: &Call, ticket: &HeldTicket) {
    let account = &call.route.account.name;
    let outcome = TicketOutcome::NotReady;
    parts.metrics.tickets(account, outcome).inc();
    ask_again(parts, call, ticket).await;
}

/// Asks for a ticket again after its wait: it is not ready, or its answer could not be published.
pub async fn ask_again(parts: &SchedulerParts, call: &Call, ticket: &HeldTicket) {
    let account = &call.route.account.name;
    let later = parts.store.ask_later(ticket, after(parts, ticket.wait), 0);
    record(account, "put off a ticket", later).await;
}

/// The store's time when so much real time has passed, at most [`WAIT_MAX`]: a carrier's file or a row may say any.
fn after(parts: &SchedulerParts, wait: Duration) -> Time {
    parts.clock.now() + delta(parts.clock.scaled(wait.min(WAIT_MAX)))
}

/// What becomes of a ticket whose answer was published.
pub async fn answered(parts: &SchedulerParts, call: &Call, ticket: &HeldTicket, lease: Duration) {
    let account = &call.route.account.name;
    let outcome = TicketOutcome::Answered;
    parts.metrics.tickets(account, outcome).inc();
    if parts.bus.is_shared() {
        let forgetting = parts.store.forget_ticket(ticket.id);
        record(account, "forget a ticket", forgetting).await;
        return;
    }
    // A bus in the process dies with it: the ticket stays until no parcel waits for it.
    let ask_at = after(parts, lease.max(ticket.wait));
    let later = parts.store.ask_later(ticket, ask_at, 0);
    record(account, "put off a ticket", later).await;
}

/// What becomes of a ticket that could not be asked for, or whose answer could not be read: it is asked for again, or given
/// up.
pub async fn failed(
    parts: &SchedulerParts,
    call: &Call,
    ticket: &HeldTicket,
    error: &CarrierError,
) {
    let account = &call.route.account.name;
    let store = &parts.store;
    let (fails, ask_at) = match error.failure_of() {
        // It is asked for once the account's pause is over.
        FailureOf::Account => (ticket.fails, parts.clock.now()),
        FailureOf::Call => (ticket.fails, after(parts, ticket.wait)),
        FailureOf::Number => (ticket.fails.saturating_add(1), after(parts, ticket.wait)),
    };
    let is_gone = matches!(error, CarrierError::TicketGone { .. });
    if !is_gone && fails < UNREADABLE_MAX {
        let later = store.ask_later(ticket, ask_at, fails);
        record(account, "put off a ticket", later).await;
        return;
    }
    if !is_gone {
        // Fewer numbers may have an answer that can be read.
        let ids: Vec<i64> = call.trackings.iter().map(|row| row.id).collect();
        let half = u32::try_from(ids.len().div_ceil(2)).unwrap_or(1);
        record(account, "split a call", store.split_calls(&ids, half)).await;
    }
    let giving_up = store.give_up_ticket(ticket.id, parts.clock.now());
    if let Some(freed) = record(account, "give up a ticket", giving_up).await {
        given_up(parts, account, freed, &error.to_string());
    }
}

/// Counts and logs a ticket that was given up.
pub fn given_up(parts: &SchedulerParts, account: &str, numbers: u64, why: &str) {
    parts.metrics.tickets(account, TicketOutcome::GivenUp).inc();
    tracing::warn!(
        account,
        numbers,
        "gave up a ticket of account {account}, its {numbers} parcels are asked for anew: {why}"
    );
}
