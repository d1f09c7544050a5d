//! Tickets and real processes that are killed: a ticket that was kept is asked for until its answer is known, by whichever worker
//! is alive, and its numbers are asked for once.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use trackbox::store::WholeStore;
use trackbox_emulator::faults::Fault;
use trackbox_emulator::tickets::Counts;

use crate::support::carriers::rule;
use crate::support::fleet::Fleet;
use crate::support::process::{World, pause, stop};

const PARCELS: usize = 3_000;

/// Settings with which a parcel is asked for once in these tests, and a killed worker's lease ends soon.
fn settings(world: &mut World) {
    for (key, value) in [
        ("WORK__CADENCE", "normal"),
        ("CARRIERS__CDEK__MIN_INTERVAL", "1d"),
        ("WORK__CARRIER_TIMEOUT", "3s"),
        ("WORK__LEASE", "10s"),
    ] {
        world.set(key, value.to_owned());
    }
}

fn counts(world: &World) -> Counts {
    world.emulator.tickets().counts()
}

/// Waits until `is_so` by what the store and the carrier say.
async fn until(world: &World, what: &str, is_so: impl AsyncFn(&WholeStore) -> bool) {
    let (began, store) = (Instant::now(), world.store().await);
    while !is_so(&store).await {
        let (counts, waited) = (counts(world), began.elapsed());
        let log = || world.log();
        assert!(
            waited < Duration::from_secs(120),
            "not {what}: {counts:?}\n{}",
            log()
        );
        pause(Duration::from_millis(200)).await;
    }
    store.close().await;
}

/// How many tickets are kept.
async fn kept(store: &WholeStore) -> usize {
    let now = store.time().await.expect("answers");
    // Also those that a worker holds now.
    let ahead = now + Duration::from_secs(3_600);
    store.open_tickets(ahead, 100).await.expect("lists").len()
}

/// How many parcels have no answer yet.
async fn unanswered(store: &WholeStore) -> i64 {
    let census = store.census().await.expect("counts");
    census.iter().map(|carrier| carrier.unanswered).sum()
}

async fn wait_for_ticket(world: &World) {
    until(world, "kept", async |store| kept(store).await == 1).await;
}

async fn wait_for_answers(world: &World) {
    let all = async |store: &WholeStore| unanswered(store).await == 0;
    until(world, "all answered", all).await;
    until(world, "forgotten", async |store| kept(store).await == 0).await;
}

fn assert_asked_once(world: &World) {
    let counts = counts(world);
    assert_eq!(
        (counts.given, counts.numbers, counts.most_often),
        (1, PARCELS as u64, 1),
        "{counts:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_survives_the_death_of_all_workers_at_every_point_and_no_number_is_asked_twice() {
    let mut fleet = Fleet::new(&[("CDEK", 600)], "emulator-ticket").await;
    settings(&mut fleet.world);
    fleet.world.create("CDEK", PARCELS, 864_000).await;
    fleet.start("consume-1", &[]);
    let workers = ["work-1", "work-2"];
    // Two would share the numbers out between two tickets.
    fleet.start(workers[0], &[]);
    let kill_all = async |fleet: &mut Fleet| {
        for name in workers {
            fleet.kill(name).await;
        }
    };
    let start_all = |fleet: &mut Fleet| {
        for name in workers {
            fleet.start_again(name);
        }
    };
    // While it waits.
    wait_for_ticket(&fleet.world).await;
    fleet.start(workers[1], &[]);
    kill_all(&mut fleet).await;
    start_all(&mut fleet);
    // While its answer, which is ready, comes in.
    let slow = Fault::Latency {
        fixed_ms: 2_000,
        spread_ms: 0,
    };
    fleet
        .world
        .emulator
        .set_fault("CDEK", Some(rule("CDEK", slow)));
    let calls = fleet.world.emulator.ledger().carriers["CDEK"].calls;
    let emulator = fleet.world.emulator.clone();
    let asks = async |_: &WholeStore| emulator.ledger().carriers["CDEK"].calls > calls;
    until(&fleet.world, "asked for", asks).await;
    kill_all(&mut fleet).await;
    fleet.world.emulator.set_fault("CDEK", None);
    // While it cannot be published.
    fleet.kafka.kill();
    start_all(&mut fleet);
    pause(Duration::from_secs(4)).await;
    kill_all(&mut fleet).await;
    fleet.kafka.start_again();
    let store = fleet.world.store().await;
    let known = (kept(&store).await, unanswered(&store).await);
    assert_eq!(known, (1, PARCELS as i64));
    store.close().await;
    // At any moment, until it is answered.
    let seed: u64 = rand::random();
    println!("kills at random by seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..8 {
        start_all(&mut fleet);
        pause(Duration::from_millis(random.random_range(500..2_500))).await;
        kill_all(&mut fleet).await;
    }
    start_all(&mut fleet);
    wait_for_answers(&fleet.world).await;
    assert_asked_once(&fleet.world);
    let (world, _postgres) = fleet.stop().await;
    world.assert_truth().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_that_is_killed_with_its_bus_asks_for_no_number_twice() {
    let mut world = World::with_adapter(&[("CDEK", 600)], "emulator-ticket").await;
    settings(&mut world);
    world.create("CDEK", PARCELS, 864_000).await;
    let mut child = world.start();
    wait_for_ticket(&world).await;
    let seed: u64 = rand::random();
    println!("kills at random by seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..10 {
        child.kill().await.expect("is killed");
        child = world.start();
        pause(Duration::from_millis(random.random_range(300..3_000))).await;
    }
    wait_for_answers(&world).await;
    assert_asked_once(&world);
    stop(child, || world.log()).await;
    world.assert_truth().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_whose_ticket_never_arrived_are_asked_anew_and_none_is_lost() {
    let mut world = World::with_adapter(&[("CDEK", 600)], "emulator-ticket").await;
    settings(&mut world);
    world.create("CDEK", PARCELS, 864_000).await;
    // The carrier has given the ticket, and dies of its worker while it says so.
    let drip = Fault::SlowDrip { every_ms: 500 };
    world.emulator.set_fault("CDEK", Some(rule("CDEK", drip)));
    let mut child = world.start();
    until(&world, "given", async |_| counts(&world).given == 1).await;
    child.kill().await.expect("is killed");
    until(&world, "lost", async |store| kept(store).await == 0).await;
    world.emulator.set_fault("CDEK", None);
    let child = world.start();
    wait_for_answers(&world).await;
    let counts = counts(&world);
    assert_eq!((counts.given, counts.most_often), (2, 2), "{counts:?}");
    stop(child, || world.log()).await;
    world.assert_truth().await;
}
