//! Servers of a test's own, to be killed, stopped and started again.

pub mod kafka;
pub mod postgres;
pub mod redis;

use std::net::TcpStream;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Waits until a server that was just started listens.
pub fn wait_for(name: &str, port: u16) {
    let began = Instant::now();
    while TcpStream::connect(("localhost", port)).is_err() {
        assert!(began.elapsed() < Duration::from_secs(60), "{name} answers");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn signal(id: u32, name: &str) {
    let sent = Command::new("kill").args([name, &id.to_string()]).status();
    assert!(sent.expect("kill runs").success());
}

/// Ends a server that its test no longer needs; the test may have killed it before.
fn end(process: &mut Child) {
    if process.kill().is_ok() {
        process.wait().expect("is gone");
    }
}
