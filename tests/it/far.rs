//! A carrier that is far away: shaking hands with it takes longer than a permit by the second is valid.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use crate::support::process::{World, pause, stop};

/// How long a handshake takes.
const HANDSHAKE: Duration = Duration::from_millis(300);

/// What the carrier allows.
const PER_SECOND: usize = 5;

/// A gateway with a private certificate before the carriers' server. It notes when each request arrives.
struct Gateway {
    url: String,
    arrivals: Arc<Mutex<Vec<Instant>>>,
    _serving: AbortOnDropHandle<()>,
}

impl Gateway {
    /// Starts one before the server at `carriers`, and writes its certificate to `certificate`. With `closes` it ends a
    /// connection after each answer.
    async fn start(carriers: String, certificate: &Path, closes: bool) -> Self {
        let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("signs");
        std::fs::write(certificate, own.cert.pem()).expect("writes");
        let key = PrivateKeyDer::from_pem_slice(own.signing_key.serialize_pem().as_bytes());
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key.expect("is a key"))
            .expect("fits");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let port = listener.local_addr().expect("has an address").port();
        let arrivals = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&arrivals);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, noted) = (acceptor.clone(), Arc::clone(&noted));
                let carriers = carriers.clone();
                tokio::spawn(async move {
                    // A client may go away at any time.
                    drop(pass_on(stream, acceptor, &carriers, closes, &noted).await);
                });
            }
        });
        Self {
            url: format!("https://localhost:{port}"),
            arrivals,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    /// The most requests in any second.
    fn busiest_second(&self) -> usize {
        let (mut window, mut most) = (VecDeque::new(), 0);
        for at in self.arrivals.lock().iter() {
            window.push_back(*at);
            while window
                .front()
                .is_some_and(|first| *at - *first >= Duration::from_secs(1))
            {
                window.pop_front();
            }
            most = most.max(window.len());
        }
        most
    }
}

/// Serves one connection; each request and each answer is small and comes in one piece.
async fn pass_on(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    carriers: &str,
    closes: bool,
    arrivals: &Mutex<Vec<Instant>>,
) -> std::io::Result<()> {
    pause(HANDSHAKE).await;
    let mut client = acceptor.accept(stream).await?;
    let mut carrier = TcpStream::connect(carriers).await?;
    let mut bytes = vec![0; 1 << 20];
    loop {
        let request = client.read(&mut bytes).await?;
        if request == 0 {
            return Ok(());
        }
        arrivals.lock().push(Instant::now());
        carrier.write_all(&bytes[..request]).await?;
        let answer = carrier.read(&mut bytes).await?;
        client.write_all(&bytes[..answer]).await?;
        client.flush().await?;
        if closes {
            return client.shutdown().await;
        }
    }
}

/// Checks parcels through the gateway for a while.
async fn ask_from_afar(closes: bool) {
    let mut world = World::new(&[("CDEK", 0)]).await;
    let certificate = world.folder.path().join("ca.pem");
    let carriers = world.carriers.trim_start_matches("http://").to_owned();
    let gateway = Gateway::start(carriers, &certificate, closes).await;
    world.set("CARRIERS__CDEK__BASE_URL", gateway.url.clone());
    world.set("CARRIERS__CDEK__PER_SECOND", PER_SECOND.to_string());
    world.set("TLS__CA_FILE", certificate.display().to_string());
    world.create("CDEK", 30, 1).await;
    let child = world.start();
    world.wait_until_arrived(Duration::from_secs(180)).await;
    stop(child, || world.log()).await;
    world.assert_truth().await;
    let calls = world.emulator.ledger().carriers["CDEK"].clone();
    assert_eq!(calls.ok, gateway.arrivals.lock().len() as u64, "{calls:?}");
    assert!(
        !world.log().contains("could not be reached"),
        "{}",
        world.log()
    );
    assert!(gateway.busiest_second() <= PER_SECOND, "closes: {closes}");
    assert!(
        gateway.busiest_second() >= PER_SECOND - 2,
        "the limit is used"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_longer_than_a_permit_costs_no_call_and_breaks_no_limit() {
    ask_from_afar(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carrier_that_keeps_no_connection_is_asked_within_its_limit_too() {
    ask_from_afar(true).await;
}
