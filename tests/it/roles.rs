//! The roles apart, several of each, on PostgreSQL, Kafka and Redis: whatever is killed, stopped, emptied or wrong about
//! the time, everything arrives once, nothing goes back, no lease is stolen, and no carrier is asked too often.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, DbBackend, Statement};
use tokio::process::Child;
use tokio_util::sync::CancellationToken;
use trackbox::clock::Clock;
use trackbox::kafka::broker::Broker;
use trackbox::kafka::broker::settings::BrokerSettings;
use trackbox::kafka::{Bus, Outgoing};
use uuid::Uuid;

use crate::fixture::postgres;
use crate::private::kafka::PrivateKafka;
use crate::private::postgres::PrivatePostgres;
use crate::private::redis::PrivateRedis;
use crate::process::{World, free_port, pause, read_all_along, signal, stop};
use crate::truth;

/// The topic's default name.
const TOPIC: &str = "tracking.updated";

/// How long a process may take to start.
const START_MAX: Duration = Duration::from_secs(5);

/// TrackBox on real engines of its own.
struct House {
    world: World,
    postgres: PrivatePostgres,
    kafka: PrivateKafka,
    redis: PrivateRedis,
    bus: Bus,
    /// Each with when it was started.
    processes: BTreeMap<String, (Child, Instant)>,
    /// When the database crashed last: a process that was starting then ends, and is started again.
    crashed: Option<Instant>,
    /// What each process was started with, the dead included.
    variables: BTreeMap<String, Vec<(String, String)>>,
    judge: DatabaseConnection,
    apis: Vec<String>,
}

impl House {
    async fn new(limits: &[(&str, u32)], adapter: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (database, kafka) = (PrivatePostgres::start(), PrivateKafka::start());
        let redis = PrivateRedis::start();
        let made = postgres(&database.server(None)).await;
        made.store.close().await;
        let judge = Database::connect(&made.url).await.expect("connects");
        judge
            .execute_unprepared(STOLEN_LEASES)
            .await
            .expect("makes the judge");
        let mut world = World::with(folder, made.url, limits, adapter).await;
        world.set("KAFKA__BROKERS", kafka.address());
        world.set("REDIS__URL", redis.url());
        let settings = BrokerSettings {
            brokers: vec![kafka.address()],
            topic: TOPIC.to_owned(),
            partitions: 12,
            tls: None,
            sasl: None,
        };
        let broker = Broker::new(settings, Clock::system());
        broker.prepare().await.expect("connects");
        Self {
            world,
            postgres: database,
            kafka,
            redis,
            bus: Bus::Kafka(std::sync::Arc::new(broker)),
            processes: BTreeMap::new(),
            variables: BTreeMap::new(),
            crashed: None,
            judge,
            apis: Vec::new(),
        }
    }

    /// Starts one process; `name` is its role and what tells it from the others of its role.
    fn start(&mut self, name: &str, own: &[(&str, String)]) {
        let own = own
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()));
        self.variables.insert(name.to_owned(), own.collect());
        self.start_again(name);
    }

    fn start_again(&mut self, name: &str) {
        let role = name.split('-').next().unwrap_or(name);
        let child = self.world.start_with(role, &self.variables[name]);
        let started = (child, Instant::now());
        let before = self.processes.insert(name.to_owned(), started);
        assert!(before.is_none(), "{name} runs already");
    }

    fn start_serve(&mut self, name: &str) {
        let listen = format!("127.0.0.1:{}", free_port());
        self.apis.push(format!("http://{listen}"));
        self.start(name, &[("HTTP__LISTEN", listen)]);
    }

    async fn kill(&mut self, name: &str) {
        let (mut child, started) = self.processes.remove(name).expect("is running");
        let ended = child.try_wait().expect("is known");
        assert!(
            ended.is_none() || self.was_starting(started),
            "{name} ended by itself\n{}",
            self.world.log()
        );
        child.kill().await.expect("is killed");
    }

    /// Whether the database crashed while a process started.
    fn was_starting(&self, started: Instant) -> bool {
        let crashed = self
            .crashed
            .and_then(|at| at.checked_duration_since(started));
        crashed.is_some_and(|after| after < START_MAX)
    }

    /// Starts again what ended because the database was away when it started.
    async fn revive(&mut self) {
        for name in self.variables.clone().into_keys() {
            let Some((child, _)) = self.processes.get_mut(&name) else {
                continue;
            };
            if child.try_wait().expect("is known").is_some() {
                self.kill(&name).await;
                self.start_again(&name);
            }
        }
    }

    /// Owners of the topic's partitions with how many each has; those of nobody under `None`.
    async fn owners(&self) -> BTreeMap<Option<Uuid>, usize> {
        let store = self.world.store().await;
        let states = store.partition_states(TOPIC).await.expect("reads");
        let now = store.time().await.expect("answers");
        store.close().await;
        let mut owners = BTreeMap::new();
        for state in states {
            let held = state.lease_until.is_some_and(|until| until >= now);
            *owners.entry(state.owner.filter(|_| held)).or_default() += 1;
        }
        owners
    }

    /// Waits until `members` consumers share the 12 partitions as evenly as can be; answers how long it took.
    async fn wait_until_shared(&self, members: usize) -> Duration {
        let began = Instant::now();
        loop {
            let owners = self.owners().await;
            let fair = owners
                .values()
                .all(|count| (12 / members..=12_usize.div_ceil(members)).contains(count));
            if owners.len() == members && !owners.contains_key(&None) && fair {
                return began.elapsed();
            }
            assert!(
                began.elapsed() < Duration::from_secs(15),
                "{members} consumers do not share fairly within 15 s: {owners:?}\n{}",
                self.world.log()
            );
            pause(Duration::from_millis(200)).await;
        }
    }

    /// Kills any process and any engine at any moment; what was killed starts again.
    async fn kill_at_random(&mut self, times: usize) {
        let seed: u64 = rand::random();
        println!("kills at random by seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let mut victims: Vec<String> = self.variables.keys().cloned().collect();
        victims.extend(["PostgreSQL", "Kafka", "Redis"].map(str::to_owned));
        for _ in 0..times {
            pause(Duration::from_millis(random.random_range(0..1_000))).await;
            let away = Duration::from_millis(random.random_range(0..1_000));
            match victims[random.random_range(0..victims.len())].as_str() {
                "PostgreSQL" => {
                    self.crashed = Some(Instant::now());
                    self.postgres.crash();
                    pause(away).await;
                    self.postgres.start_again();
                }
                "Kafka" => {
                    self.kafka.kill();
                    pause(away).await;
                    self.kafka.start_again();
                }
                "Redis" => {
                    self.redis.kill();
                    pause(away).await;
                    self.redis.start_again();
                }
                name => {
                    if self.processes.contains_key(name) {
                        self.kill(name).await;
                    }
                    pause(away).await;
                    self.start_again(name);
                }
            }
            self.revive().await;
        }
        pause(START_MAX).await;
        self.revive().await;
    }

    /// How many leases were taken from those who held them.
    async fn stolen_leases(&self) -> i64 {
        let count = Statement::from_string(DbBackend::Postgres, "SELECT COUNT(*) AS n FROM stolen");
        let row = self.judge.query_one_raw(count).await.expect("counts");
        row.expect("a row").try_get("", "n").expect("is a number")
    }

    /// Ends all processes; the database stays.
    async fn stop(self) -> (World, PrivatePostgres) {
        self.judge.close().await.expect("closes");
        for (_, (child, _)) in self.processes {
            stop(child, || self.world.log()).await;
        }
        (self.world, self.postgres)
    }
}

/// Keeps each lease that was taken from its holder while it had seconds to go: by the database's clock, whoever did it.
const STOLEN_LEASES: &str = "\
    CREATE TABLE stolen (tracking_id BIGINT, held_until TIMESTAMPTZ);
    CREATE FUNCTION note_stolen() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO stolen VALUES (OLD.id, OLD.lease_until); RETURN NEW; END $$;
    CREATE TRIGGER note_stolen BEFORE UPDATE ON trackings FOR EACH ROW
        WHEN (OLD.lease_id <> NEW.lease_id AND OLD.lease_until > clock_timestamp() + interval '5 s')
        EXECUTE FUNCTION note_stolen()";

fn clock_wrong_by(secs: i64) -> [(&'static str, String); 1] {
    [("TEST_CLOCK_OFFSET", secs.to_string())]
}

/// Publishes what is on the topic again, the newest first, with garbage between; answers the garbage's number.
async fn publish_again(bus: &Bus) -> usize {
    let mut again = Vec::new();
    for partition in bus.partitions() {
        let fetched = bus.fetch(partition, 0, Duration::from_secs(2)).await;
        for record in fetched.expect("fetches").records.into_iter().take(200) {
            again.push(Outgoing {
                key: record.key.expect("has a key"),
                value: record.value.expect("has a value"),
            });
        }
    }
    assert!(again.len() > 100, "something was published");
    again.reverse();
    let garbage = [
        &b"\xff\xfe no JSON"[..],
        b"",
        b"{}",
        b"[1,2",
        b"{\"tracking_id\":\"x\"}",
    ];
    let count = garbage.len();
    for (place, value) in garbage.into_iter().enumerate() {
        let bad = Outgoing {
            key: format!("bad{place}").into_bytes(),
            value: value.to_vec(),
        };
        again.insert(place * 20, bad);
    }
    bus.publish(again).await.expect("publishes");
    count
}

/// How often a serving process answered from the cache.
async fn cache_hits(api: &str) -> u64 {
    let metrics = reqwest::get(format!("{api}/metrics")).await;
    let text = metrics.expect("answers").text().await.expect("is text");
    let hits = text
        .lines()
        .find_map(|line| line.strip_prefix("trackbox_cache_hits_total "));
    hits.expect("is told").parse().expect("is a number")
}

/// That one machine's clock was ahead and one behind by `secs`, and the program knew.
fn assert_clocks_were_wrong(log: &str, secs: i64) {
    let off: Vec<i64> = log
        .lines()
        .filter_map(|line| {
            line.split_once("this machine's clock is ")?
                .1
                .split_once(" ms off")
        })
        .map(|(millis, _)| millis.parse().expect("is a number"))
        .collect();
    let about = |wanted: i64| off.iter().any(|ms| (ms - wanted * 1_000).abs() < 5_000);
    assert!(about(secs) && about(-secs), "{off:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nine_processes_bring_everything_home_whatever_happens_to_them() {
    // Most databases sort aramex first, Rust last.
    let limits = [("CDEK", 600), ("POST_RU", 300), ("aramex", 60)];
    let mut house = House::new(&limits, "emulator-batch").await;
    house.world.create("aramex", 200, 25).await;
    house.world.create("CDEK", 11_800, 25).await;
    house.world.create("POST_RU", 8_000, 25).await;
    let secs = Duration::from_secs;
    house.start_serve("serve-1");
    house.start_serve("serve-2");
    house.start("work-1", &[]);
    house.start("work-2", &clock_wrong_by(600));
    house.start("work-3", &clock_wrong_by(-600));
    house.start("work-4", &[]);
    for name in ["consume-1", "consume-2", "consume-3"] {
        house.start(name, &[]);
    }
    let reading = CancellationToken::new();
    let reader = tokio::spawn(read_all_along(
        house.apis.clone(),
        (1..=20_000).step_by(10).collect(),
        reading.clone(),
    ));
    house.wait_until_shared(3).await;

    signal(&house.processes["work-1"].0, "-STOP");
    let stopped = Instant::now();
    pause(secs(5)).await;
    house.kill("consume-1").await;
    let taken_over = house.wait_until_shared(2).await;
    println!("the partitions of a killed consumer were taken over in {taken_over:?}");
    house.redis.empty();
    house.start_again("consume-1");
    house.wait_until_shared(3).await;
    house.kill("work-2").await;
    let garbage = publish_again(&house.bus).await;
    house.start_again("work-2");
    house.redis.kill();
    pause(secs(3)).await;
    house.redis.start_again();
    house.kill("serve-2").await;
    pause(secs(30).saturating_sub(stopped.elapsed())).await;
    signal(&house.processes["work-1"].0, "-CONT");
    house.kill("consume-2").await;
    house.kill("work-3").await;
    house.start_again("work-3");
    house.start_again("consume-2");
    house.kill_at_random(20).await;

    // What a worker had in hand when it was killed is due again when its lease ends.
    house.world.wait_until_arrived(secs(400)).await;
    reading.cancel();
    assert!(reader.await.expect("saw nothing go back") > 20);
    truth::assert_budget(&house.world.emulator);
    assert!(
        cache_hits(&house.apis[0]).await > 1_000,
        "the cache was in use"
    );
    house.wait_until_shared(3).await;
    let lag = house.world.output_of("lag").await;
    let nothing = format!("\n0 records of {TOPIC} are not yet applied\n");
    assert!(lag.ends_with(&nothing), "{lag}");
    assert!(!lag.contains("nobody"), "{lag}");
    assert_clocks_were_wrong(&house.world.log(), 600);
    assert_eq!(house.stolen_leases().await, 0);
    assert_the_judge_can_say_no(&house).await;
    let (world, _postgres) = house.stop().await;
    world.assert_truth().await;
    let store = world.store().await;
    let letters = store.dead_letters(None, 100).await.expect("lists");
    assert_eq!(letters.len(), garbage, "{letters:?}");
    for letter in letters {
        assert_eq!(letter.topic, TOPIC);
        assert!((0..12).contains(&letter.partition));
        assert!(letter.offset > 0, "it came after the first ones");
    }
    store.close().await;
}

/// Two leases on one parcel, the second long before the first one's end.
async fn assert_the_judge_can_say_no(house: &House) {
    for n in 1..=2 {
        let lease = format!(
            "UPDATE trackings SET lease_until = now() + interval '1 h', lease_id = '{}' WHERE id = 1",
            Uuid::from_u128(n)
        );
        let given = house.judge.execute_unprepared(&lease).await;
        given.expect("gives a lease");
    }
    assert_eq!(house.stolen_leases().await, 1);
}
