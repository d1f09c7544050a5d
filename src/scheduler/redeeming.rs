//! Tickets whose time has come: which are asked for now.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;

use crate::carriers::routes::{Account, Route};
use crate::clock::Time;
use crate::model::Tracking;
use crate::scheduler::Scheduler;
use crate::scheduler::claiming::is_outage;
use crate::scheduler::lane::Call;
use crate::scheduler::tickets::given_up;
use crate::store::tickets::{HeldTicket, OpenTicket};

/// The most tickets of each account that are looked at in one cycle.
const TICKETS_MAX: u32 = 20;

impl Scheduler {
    /// Plans calls for the tickets whose time has come, as far as permits and free slots allow. An error of one account is
    /// logged, and the others go on.
    ///
    /// # Errors
    /// If the store is away.
    pub(super) async fn claim_tickets(&mut self, now: Time) -> anyhow::Result<()> {
        if !self.has_tickets {
            return Ok(());
        }
        let open = self.parts.store.open_tickets(now, TICKETS_MAX).await;
        let open = open.context("cannot list the tickets")?;
        // Tickets come of adapters in use, but for those of an earlier configuration.
        let gives = |route: &Route| route.adapter.gives_tickets();
        self.has_tickets = !open.is_empty() || self.parts.routes.all().any(gives);
        let times = open.iter().map(|ticket| ticket.ask_at);
        let next = times.filter(|at| *at > now).chain(self.next_due).min();
        self.next_due = next;
        let mut due: BTreeMap<String, Vec<OpenTicket>> = BTreeMap::new();
        for ticket in open.into_iter().filter(|ticket| ticket.ask_at <= now) {
            due.entry(ticket.account.clone()).or_default().push(ticket);
        }
        for (account, tickets) in due {
            let Err(error) = self.claim_tickets_of(&account, tickets, now).await else {
                continue;
            };
            if is_outage(&error) {
                return Err(error);
            }
            tracing::error!(
                account,
                "cannot ask for tickets of account {account}: {error:#}"
            );
        }
        Ok(())
    }

    /// Ends the tickets of an account that are no longer awaited or have ended, and plans calls for the others.
    async fn claim_tickets_of(
        &mut self,
        account: &str,
        tickets: Vec<OpenTicket>,
        now: Time,
    ) -> anyhow::Result<()> {
        let store = &self.parts.store;
        let mut wanted = Vec::new();
        for ticket in tickets {
            if !ticket.is_awaited {
                let forgetting = store.forget_ticket(ticket.id).await;
                forgetting.context("cannot forget a ticket")?;
            } else if ticket.ends_at <= now {
                let freed = store.give_up_ticket(ticket.id, now).await;
                let freed = freed.context("cannot give up a ticket")?;
                given_up(&self.parts, account, freed, "no answer came in time");
            } else {
                wanted.push(ticket);
            }
        }
        let mut accounts = self.parts.routes.accounts().iter();
        let account = accounts.find(|it| it.name == account).cloned();
        match account {
            Some(account) if !wanted.is_empty() => self.plan_tickets(&account, &wanted).await,
            _ => Ok(()),
        }
    }

    /// Plans calls for tickets of an account.
    async fn plan_tickets(
        &mut self,
        account: &Arc<Account>,
        tickets: &[OpenTicket],
    ) -> anyhow::Result<()> {
        let pace = self.caller.pauses.pace(&account.name);
        let wanted = u32::try_from(tickets.len()).unwrap_or(u32::MAX);
        let calls = self.calls_free(account, pace).min(wanted);
        if calls == 0 {
            return Ok(());
        }
        let monotonic = self.parts.clock.monotonic();
        let taken = self.permits.take(account, calls).await;
        let taken = taken.context("cannot take calls")?;
        self.wake_at(taken.next, u32::try_from(taken.grants.len()).unwrap_or(0));
        if taken.grants.is_empty() {
            return Ok(());
        }
        let Some(gate) = self.pass_gate(&account.name, pace).await? else {
            self.give_back_unused(account, taken, 0).await;
            return Ok(());
        };
        let lease_ends = monotonic + self.settings.lease;
        let (mut planned, mut failed) = (Vec::new(), None);
        let mut grants = taken.grants.iter();
        for ticket in tickets {
            if planned.len() == taken.grants.len() {
                break;
            }
            match self.claim_ticket(account, ticket).await {
                Ok(Some((held, route, trackings))) => {
                    let Some(grant) = grants.next() else {
                        break;
                    };
                    planned.push(Call {
                        route,
                        trackings,
                        ticket: Some(held),
                        grant: *grant,
                        // Forgets that an earlier call with some of them failed as a whole.
                        was_split: true,
                        gate,
                        lease_ends,
                    });
                }
                Ok(None) => {}
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let used = planned.len();
        let lane = self.lanes.entry(account.name.clone()).or_default();
        lane.waiting.extend(planned);
        self.give_back_unused(account, taken, used).await;
        if let (0, Some(gate)) = (used, gate) {
            self.parts.store.open_gate(&account.name, gate).await?;
        }
        failed.map_or(Ok(()), Err)
    }

    /// Takes one ticket, with the route that asks for it and the parcels that wait for it. `None` if another worker has it,
    /// or if the configuration has no such route any more: then its parcels are asked for anew.
    async fn claim_ticket(
        &self,
        account: &Account,
        ticket: &OpenTicket,
    ) -> anyhow::Result<Option<(HeldTicket, Route, Vec<Tracking>)>> {
        let (store, now) = (&self.parts.store, self.parts.clock.now());
        let lease = self.parts.clock.scaled(self.settings.lease);
        let taken = store.take_ticket(ticket.id, now, lease).await;
        let Some((held, rows)) = taken.context("cannot take a ticket")? else {
            return Ok(None);
        };
        let Some(first) = rows.first() else {
            let forgetting = store.forget_ticket(ticket.id).await;
            forgetting.context("cannot forget a ticket")?;
            return Ok(None);
        };
        let route = self.parts.routes.resolve(&first.carrier_code);
        let is_its = |route: &&Route| {
            route.account.name == account.name && route.adapter.name() == held.adapter
        };
        let Some(route) = route.filter(is_its).cloned() else {
            let freed = store.give_up_ticket(ticket.id, now).await;
            let freed = freed.context("cannot give up a ticket")?;
            let why = format!("no section of it uses the adapter {} now", held.adapter);
            given_up(&self.parts, &account.name, freed, &why);
            return Ok(None);
        };
        let trackings = rows.into_iter().map(|row| route.asked(row)).collect();
        Ok(Some((held, route, trackings)))
    }
}
