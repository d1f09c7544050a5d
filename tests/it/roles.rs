//! The roles apart, several of each, on PostgreSQL, Kafka and Redis: whatever is killed, stopped, emptied or wrong about
//! the time, everything arrives once, nothing goes back, no lease is stolen, and no carrier is asked too often.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child as ServerProcess, Command, Stdio};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, DbBackend, Statement};
use tempfile::TempDir;
use tokio::process::Child;
use tokio_util::sync::CancellationToken;
use trackbox::clock::Clock;
use trackbox::kafka::broker::Broker;
use trackbox::kafka::broker::settings::BrokerSettings;
use trackbox::kafka::{Bus, Outgoing};
use uuid::Uuid;

use crate::fixture::{postgres, postgres_server, server};
use crate::process::{World, free_port, pause, read_all_along, signal, stop};
use crate::truth;

/// A Redis of the test's own, which may be emptied and killed.
struct Redis {
    port: u16,
    folder: TempDir,
    process: ServerProcess,
}

impl Redis {
    fn start() -> Self {
        let (port, folder) = (
            free_port(),
            tempfile::tempdir().expect("a temporary folder"),
        );
        let process = Self::spawn(port, &folder);
        Self {
            port,
            folder,
            process,
        }
    }

    fn spawn(port: u16, folder: &TempDir) -> ServerProcess {
        let process = Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--save",
                "",
                "--bind",
                "127.0.0.1",
            ])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server starts: tools/test installs it");
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(10), "Redis answers");
            std::thread::sleep(Duration::from_millis(20));
        }
        process
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn empty(&self) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connects");
        stream.write_all(b"FLUSHALL\r\n").expect("asks");
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).expect("answers");
        assert_eq!(&answer, b"+OK\r\n");
    }

    fn kill(&mut self) {
        self.process.kill().expect("is killed");
        self.process.wait().expect("is gone");
    }

    fn start_again(&mut self) {
        self.process = Self::spawn(self.port, &self.folder);
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Gone already where the test killed it.
        if self.process.kill().is_ok() {
            self.process.wait().expect("is gone");
        }
    }
}

/// TrackBox on real engines.
struct House {
    world: World,
    redis: Redis,
    topic: String,
    bus: Bus,
    processes: BTreeMap<String, Child>,
    /// What each process was started with, the dead included.
    variables: BTreeMap<String, Vec<(String, String)>>,
    database: DatabaseConnection,
    apis: Vec<String>,
}

impl House {
    async fn new(limits: &[(&str, u32)], adapter: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let made = postgres(&postgres_server()).await;
        made.store.close().await;
        let database = Database::connect(&made.url).await.expect("connects");
        database
            .execute_unprepared(STOLEN_LEASES)
            .await
            .expect("makes the judge");
        let mut world = World::with(folder, made.url, limits, adapter).await;
        let redis = Redis::start();
        let topic = format!("tracking.updated.{}", Uuid::now_v7().simple());
        let brokers = server("TRACKBOX_TEST_KAFKA");
        world.set("KAFKA__BROKERS", brokers.clone());
        world.set("KAFKA__TOPIC", topic.clone());
        world.set("REDIS__URL", redis.url());
        let settings = BrokerSettings {
            brokers: brokers.split(',').map(str::to_owned).collect(),
            topic: topic.clone(),
            partitions: 12,
            tls: None,
            sasl: None,
        };
        let broker = Broker::new(settings, Clock::system());
        broker.prepare().await.expect("connects");
        Self {
            world,
            redis,
            topic,
            bus: Bus::Kafka(std::sync::Arc::new(broker)),
            processes: BTreeMap::new(),
            variables: BTreeMap::new(),
            database,
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
        let before = self.processes.insert(name.to_owned(), child);
        assert!(before.is_none(), "{name} runs already");
    }

    fn start_serve(&mut self, name: &str) {
        let listen = format!("127.0.0.1:{}", free_port());
        self.apis.push(format!("http://{listen}"));
        self.start(name, &[("HTTP__LISTEN", listen)]);
    }

    async fn kill(&mut self, name: &str) {
        let mut child = self.processes.remove(name).expect("is running");
        assert!(
            child.try_wait().expect("is known").is_none(),
            "{name} ended by itself\n{}",
            self.world.log()
        );
        child.kill().await.expect("is killed");
    }

    /// Owners of the topic's partitions with how many each has; those of nobody under `None`.
    async fn owners(&self) -> BTreeMap<Option<Uuid>, usize> {
        let store = self.world.store().await;
        let states = store.partition_states(&self.topic).await.expect("reads");
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

    /// Kills any process at any moment, and the database's connections too; what was killed starts again.
    async fn kill_at_random(&mut self, times: usize) {
        let seed: u64 = rand::random();
        println!("kills at random by seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let names: Vec<String> = self.variables.keys().cloned().collect();
        for _ in 0..times {
            pause(Duration::from_millis(random.random_range(0..1_000))).await;
            let name = &names[random.random_range(0..names.len())];
            if self.processes.contains_key(name) {
                self.kill(name).await;
            }
            if random.random_bool(0.3) {
                let cut = self.database.execute_unprepared(CUT_CONNECTIONS).await;
                cut.expect("cuts the connections");
            }
            pause(Duration::from_millis(random.random_range(0..500))).await;
            self.start_again(name);
        }
    }

    /// How many leases were taken from those who held them.
    async fn stolen_leases(&self) -> i64 {
        let count = Statement::from_string(DbBackend::Postgres, "SELECT COUNT(*) AS n FROM stolen");
        let row = self.database.query_one_raw(count).await.expect("counts");
        row.expect("a row").try_get("", "n").expect("is a number")
    }

    async fn stop(self) -> World {
        self.database.close().await.expect("closes");
        for (_, child) in self.processes {
            stop(child, || self.world.log()).await;
        }
        self.world
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

const CUT_CONNECTIONS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                               WHERE datname = current_database() AND application_name = 'trackbox'";

fn clock_wrong_by(secs: i64) -> [(&'static str, String); 1] {
    [("TEST_CLOCK_OFFSET", secs.to_string())]
}

/// Publishes what is on the topic again, the newest first, with garbage between; answers the garbage's number.
async fn publish_again(bus: &Bus) -> usize {
    let mut again = Vec::new();
    for partition in bus.partitions() {
        let fetched = bus.fetch(partition, 0, 200, Duration::from_secs(2)).await;
        for record in fetched.expect("fetches").records {
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
    let mut house = House::new(&[("CDEK", 600), ("POST_RU", 300)], "emulator-batch").await;
    house.world.create("CDEK", 12_000, 25).await;
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

    signal(&house.processes["work-1"], "-STOP");
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
    signal(&house.processes["work-1"], "-CONT");
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
    assert!(
        lag.ends_with(&format!(
            "\n0 records of {} are not yet applied\n",
            house.topic
        )),
        "{lag}"
    );
    assert!(!lag.contains("nobody"), "{lag}");
    assert_clocks_were_wrong(&house.world.log(), 600);
    assert_eq!(house.stolen_leases().await, 0);
    assert_the_judge_can_say_no(&house).await;
    let topic = house.topic.clone();
    let world = house.stop().await;
    world.assert_truth().await;
    let store = world.store().await;
    let letters = store.dead_letters(None, 100).await.expect("lists");
    assert_eq!(letters.len(), garbage, "{letters:?}");
    for letter in letters {
        assert_eq!(letter.topic, topic);
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
        let given = house.database.execute_unprepared(&lease).await;
        given.expect("gives a lease");
    }
    assert_eq!(house.stolen_leases().await, 1);
}
