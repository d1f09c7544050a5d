//! How long publishing few and many records takes: a connection that waits for delayed acknowledgements would show.
//!
//! rskafka sends requests between 8 KB and the size of a TCP segment 44 ms late; 50 records of 260 bytes would be one.

use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use trackbox::clock::Clock;
use trackbox::kafka::Bus;
use trackbox::kafka::broker::Broker;
use trackbox::kafka::broker::settings::BrokerSettings;
use trackbox::kafka::record::Outgoing;
use uuid::Uuid;

use crate::Options;
use crate::engines::brokers;
use crate::report::{Goal, Line, median};

const SIZES: [usize; 5] = [1, 10, 50, 200, 1_000];
const RECORD_BYTES: usize = 260;

/// Round trips of a repetition, of which the median counts.
const ROUNDS: usize = 21;

pub async fn measure(options: &Options) -> anyhow::Result<Vec<Line>> {
    let settings = BrokerSettings {
        brokers: brokers()?,
        topic: format!("bench.{}", Uuid::now_v7().simple()),
        partitions: 12,
        tls: None,
        sasl: None,
    };
    let bus = Bus::Kafka(Arc::new(Broker::new(settings, Clock::system())));
    let rounds = options.size(ROUNDS, 3);
    publish(&bus, 1, rounds).await?;
    let mut lines = SIZES.map(|records| Line {
        figure: format!("ms to publish {records} records"),
        ..Line::default()
    });
    for _ in 0..options.repetitions() {
        for (line, records) in lines.iter_mut().zip(SIZES) {
            line.ours.push(publish(&bus, records, rounds).await?);
            line.limit
                .push(loopback(records * RECORD_BYTES, rounds).await?);
        }
    }
    lines[0].how = format!(
        "{RECORD_BYTES} bytes each, all in one partition; limit: a round trip of as many bytes"
    );
    let late = Line {
        figure: "50 records beside 10".to_owned(),
        ours: lines[2].ours.clone(),
        limit: lines[1].ours.clone(),
        goal: Some(Goal::AtMost(3.0)),
        ..Line::default()
    };
    let mut all = Vec::from(lines);
    all.push(late);
    Ok(all)
}

async fn publish(bus: &Bus, records: usize, rounds: usize) -> anyhow::Result<f64> {
    let mut took = Vec::new();
    for _ in 0..rounds {
        // All with one key, so that they go to one partition.
        let batch = (0..records).map(|_| Outgoing {
            key: b"7".to_vec(),
            value: vec![b'x'; RECORD_BYTES],
        });
        let batch = batch.collect();
        let began = Instant::now();
        bus.publish(batch).await?;
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(median(&took))
}

/// A question of `bytes`, an answer of one byte, on one connection.
async fn loopback(bytes: usize, rounds: usize) -> anyhow::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let mut question = vec![0; bytes];
        while stream.read_exact(&mut question).await.is_ok() {
            stream.write_all(b"y").await?;
        }
        anyhow::Ok(())
    });
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let question = vec![b'x'; bytes];
    let mut took = Vec::new();
    for _ in 0..rounds {
        let began = Instant::now();
        stream.write_all(&question).await?;
        stream.read_exact(&mut [0]).await?;
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    drop(stream);
    server.await??;
    Ok(median(&took))
}
