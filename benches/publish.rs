//! How long publishing few and many records on Kafka takes, beside a plain round trip over loopback.
//!
//! `tools/services cargo bench --bench publish` (a release build; `--profile dev` shows the same ratios). rskafka sends
//! requests between 8 KB and the size of a TCP segment 44 ms late: 50 records of 260 bytes would show it. Fails if 50
//! records take more than 3 times as long as 10.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use trackbox::clock::Clock;
use trackbox::kafka::Bus;
use trackbox::kafka::broker::Broker;
use trackbox::kafka::broker::settings::BrokerSettings;
use trackbox::kafka::record::Outgoing;
use uuid::Uuid;

const ROUNDS: usize = 101;
const RATIO_MAX: f64 = 3.0;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The time of a round trip: a question of `bytes`, an answer of one byte, on one connection.
fn loopback(bytes: usize) -> Duration {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("has an address");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accepts");
        stream.set_nodelay(true).expect("is set");
        let mut question = vec![0; bytes];
        while stream.read_exact(&mut question).is_ok() {
            stream.write_all(b"y").expect("answers");
        }
    });
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.set_nodelay(true).expect("is set");
    let question = vec![b'x'; bytes];
    let times = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            stream.write_all(&question).expect("asks");
            stream.read_exact(&mut [0]).expect("is answered");
            began.elapsed()
        })
        .collect();
    drop(stream);
    server.join().expect("ends");
    median(times)
}

async fn publish(bus: &Bus, records: usize) -> Duration {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        // All with one key, so that they go to one partition.
        let batch = (0..records)
            .map(|_| Outgoing {
                key: b"7".to_vec(),
                value: vec![b'x'; 260],
            })
            .collect();
        let began = Instant::now();
        bus.publish(batch).await.expect("publishes");
        times.push(began.elapsed());
    }
    median(times)
}

fn main() {
    let brokers = std::env::var("TRACKBOX_TEST_KAFKA")
        .expect("TRACKBOX_TEST_KAFKA names no broker: tools/services cargo bench --bench publish");
    let settings = BrokerSettings {
        brokers: brokers.split(',').map(str::to_owned).collect(),
        topic: format!("bench.{}", Uuid::now_v7().simple()),
        partitions: 12,
        tls: None,
        sasl: None,
    };
    let bus = Bus::Kafka(Arc::new(Broker::new(settings, Clock::system())));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!(
        "{:>8} {:>12} {:>12}  medians of {ROUNDS}",
        "records", "publish", "loopback"
    );
    let mut taken = Vec::new();
    for records in [1, 10, 25, 50, 100, 200, 1_000] {
        runtime.block_on(publish(&bus, 1));
        let (published, plain) = (
            runtime.block_on(publish(&bus, records)),
            loopback(records * 260),
        );
        println!("{records:>8} {published:>12.2?} {plain:>12.2?}");
        taken.push((records, published));
    }
    let of = |wanted| taken.iter().find(|(records, _)| *records == wanted);
    let (Some((_, ten)), Some((_, fifty))) = (of(10), of(50)) else {
        return;
    };
    let ratio = fifty.as_secs_f64() / ten.as_secs_f64();
    println!("50 records take {ratio:.2} times as long as 10");
    if ratio > RATIO_MAX {
        eprintln!("error: more than {RATIO_MAX} times");
        std::process::exit(1);
    }
}
