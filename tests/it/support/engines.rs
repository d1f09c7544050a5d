//! The servers that tests need: the shared ones, and private ones to be killed, stopped and started again.

pub mod kafka;
pub mod postgres;
pub mod redis;

use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Once};
use std::time::{Duration, Instant};

/// The address of a shared server.
///
/// # Panics
/// If `variable` is not set: the tests need the servers.
pub fn server(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} names no server: run the tests through tools/test, which starts one")
    })
}

/// Sets TLS up once for the whole test process, as the program does at its start.
pub fn install_tls() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        rustls::crypto::ring::default_provider()
            .install_default()
            .expect("is set up once");
    });
}

/// A port for a server to be started; each call returns another one.
///
/// It is outside the range from which Linux deals out ports to outgoing connections and to servers that ask for port 0
/// (`ip_local_port_range`, from 32768): a port of that range may be taken before the server listens, or while it is
/// being started again.
pub fn free_port() -> u16 {
    const PORTS: Range<u32> = 12_000..32_000;
    static NEXT: LazyLock<AtomicU32> = LazyLock::new(|| AtomicU32::new(rand::random()));
    for _ in PORTS {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % (PORTS.end - PORTS.start);
        let port = u16::try_from(PORTS.start + step).expect("is below 32,000");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port in {PORTS:?}");
}

/// Sends a signal, such as `-STOP`, to the process `id`.
pub fn signal(id: u32, name: &str) {
    let sent = Command::new("kill").args([name, &id.to_string()]).status();
    assert!(sent.expect("kill runs").success());
}

/// Waits until a server that was just started listens.
fn wait_for(name: &str, port: u16) {
    let began = Instant::now();
    while TcpStream::connect(("localhost", port)).is_err() {
        assert!(began.elapsed() < Duration::from_secs(60), "{name} answers");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Ends a server if its test has not killed it already.
fn end(process: &mut Child) {
    if process.kill().is_ok() {
        process.wait().expect("is gone");
    }
}
