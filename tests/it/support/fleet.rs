//! Several processes of each role on private engines: PostgreSQL, Kafka and Redis.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, DbBackend, Statement};
use tokio::process::Child;
use trackbox::clock::Clock;
use trackbox::kafka::Bus;
use trackbox::kafka::broker::Broker;
use trackbox::kafka::broker::settings::BrokerSettings;
use uuid::Uuid;

use crate::support::engines::free_port;
use crate::support::engines::kafka::PrivateKafka;
use crate::support::engines::postgres::PrivatePostgres;
use crate::support::engines::redis::PrivateRedis;
use crate::support::fixture::postgres;
use crate::support::process::{World, pause, stop};

/// The topic's default name.
pub const TOPIC: &str = "tracking.updated";

/// The processes, and what they work with.
pub struct Fleet {
    pub world: World,
    pub postgres: PrivatePostgres,
    pub kafka: PrivateKafka,
    pub redis: PrivateRedis,
    pub bus: Bus,
    /// Those that run, by name.
    pub processes: BTreeMap<String, Child>,
    /// What each process was started with, including those that were killed.
    variables: BTreeMap<String, Vec<(String, String)>>,
    pub judge: DatabaseConnection,
    pub apis: Vec<String>,
}

impl Fleet {
    pub async fn new(limits: &[(&str, u32)], adapter: &str) -> Self {
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
            bus: Bus::Kafka(Arc::new(broker)),
            processes: BTreeMap::new(),
            variables: BTreeMap::new(),
            judge,
            apis: Vec::new(),
        }
    }

    /// Starts one process; its name is ROLE-NUMBER.
    pub fn start(&mut self, name: &str, own: &[(&str, String)]) {
        let own = own
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()));
        self.variables.insert(name.to_owned(), own.collect());
        self.start_again(name);
    }

    pub fn start_again(&mut self, name: &str) {
        let role = name.split('-').next().unwrap_or(name);
        let child = self.world.start_with(role, &self.variables[name]);
        let before = self.processes.insert(name.to_owned(), child);
        assert!(before.is_none(), "{name} runs already");
    }

    pub fn start_serve(&mut self, name: &str) {
        let listen = format!("127.0.0.1:{}", free_port());
        self.apis.push(format!("http://{listen}"));
        self.start(name, &[("HTTP__LISTEN", listen)]);
    }

    pub async fn kill(&mut self, name: &str) {
        let mut child = self.processes.remove(name).expect("is running");
        let ended = child.try_wait().expect("is known");
        let log = || self.world.log();
        assert!(ended.is_none(), "{name} ended by itself\n{}", log());
        child.kill().await.expect("is killed");
    }

    /// How many of the topic's partitions each owner has; `None` for those without an owner.
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

    /// Waits until `members` consumers share the 12 partitions as evenly as possible; returns how long it took.
    pub async fn wait_until_shared(&self, members: usize) -> Duration {
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

    /// `times` times, kills a random process or engine at a random moment and starts it again.
    pub async fn kill_at_random(&mut self, times: usize) {
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
        }
    }

    /// How many leases were taken from a worker that held them.
    pub async fn stolen_leases(&self) -> i64 {
        let count = Statement::from_string(DbBackend::Postgres, "SELECT COUNT(*) AS n FROM stolen");
        let row = self.judge.query_one_raw(count).await.expect("counts");
        row.expect("a row").try_get("", "n").expect("is a number")
    }

    /// Ends all processes; the database stays.
    pub async fn stop(self) -> (World, PrivatePostgres) {
        self.judge.close().await.expect("closes");
        for child in self.processes.into_values() {
            stop(child, || self.world.log()).await;
        }
        (self.world, self.postgres)
    }
}

/// Records each lease that was taken from its holder while it had more than 5 s to go by the database's clock.
const STOLEN_LEASES: &str = "\
    CREATE TABLE stolen (tracking_id BIGINT, held_until TIMESTAMPTZ);
    CREATE FUNCTION note_stolen() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO stolen VALUES (OLD.id, OLD.lease_until); RETURN NEW; END $$;
    CREATE TRIGGER note_stolen BEFORE UPDATE ON trackings FOR EACH ROW
        WHEN (OLD.lease_id <> NEW.lease_id AND OLD.lease_until > clock_timestamp() + interval '5 s')
        EXECUTE FUNCTION note_stolen()";
