//! Redis for the tests: the shared server, and private ones that a test may kill, stop and empty.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use uuid::Uuid;

use crate::cache::redis::Redis;

/// A prefix that no other test's keys have.
pub fn random_prefix() -> String {
    format!("test:{}:", Uuid::new_v4().simple())
}

/// A connection to the tests' shared server, which tools/test starts. Panics without it.
pub async fn connect(prefix: &str) -> Redis {
    let url = std::env::var("TRACKBOX_TEST_REDIS").expect(
        "TRACKBOX_TEST_REDIS names no server: run the tests through tools/test, which starts one",
    );
    Redis::connect(&url, None, prefix).await.expect("connects")
}

/// A server of the test's own, which ends when it is dropped.
pub struct PrivateRedis {
    port: u16,
    folder: Option<TempDir>,
    process: Child,
}

impl PrivateRedis {
    pub fn start() -> Self {
        Self::spawn(
            Self::free_port(),
            tempfile::tempdir().expect("a temporary folder"),
        )
    }

    fn free_port() -> u16 {
        let probe = TcpListener::bind("127.0.0.1:0").expect("binds");
        probe.local_addr().expect("has an address").port()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    fn spawn(port: u16, folder: TempDir) -> Self {
        let port_text = port.to_string();
        Self::spawn_with(port, folder, &["--port", &port_text])
    }

    /// A server that accepts only TLS and the password "hunter2"; with it, its certificate's file.
    pub fn start_encrypted() -> (Self, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("signs");
        let (certificate, key) = (
            folder.path().join("cert.pem"),
            folder.path().join("key.pem"),
        );
        std::fs::write(&certificate, own.cert.pem()).expect("writes");
        std::fs::write(&key, own.signing_key.serialize_pem()).expect("writes");
        let port = Self::free_port();
        let options = [
            "--port",
            "0",
            "--tls-port",
            &port.to_string(),
            "--tls-cert-file",
            "cert.pem",
            "--tls-key-file",
            "key.pem",
            "--tls-ca-cert-file",
            "cert.pem",
            "--tls-auth-clients",
            "no",
            "--requirepass",
            "hunter2",
        ];
        (Self::spawn_with(port, folder, &options), certificate)
    }

    fn spawn_with(port: u16, folder: TempDir, options: &[&str]) -> Self {
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", ""])
            .args(options)
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server starts: tools/test installs it");
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(10), "Redis answers");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self {
            port,
            folder: Some(folder),
            process,
        }
    }

    pub async fn connect(&self) -> Redis {
        let url = format!("redis://127.0.0.1:{}", self.port);
        Redis::connect(&url, None, "test:").await.expect("connects")
    }

    /// Runs a command that is answered with OK.
    pub fn command(&self, command: &str) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connects");
        stream
            .write_all(format!("{command}\r\n").as_bytes())
            .expect("asks");
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).expect("answers");
        assert_eq!(&answer, b"+OK\r\n", "{command}");
    }

    /// Kills it, and starts it again on the same port with what it last saved.
    pub fn restart_from_its_file(mut self) -> Self {
        self.end();
        let folder = self.folder.take().expect("is there until now");
        Self::spawn(self.port, folder)
    }

    /// Sends its process a signal, such as -STOP.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([name, &self.process.id().to_string()])
            .status();
        assert!(sent.expect("kill runs").success());
    }

    fn end(&mut self) {
        // After a restart it has already ended.
        if self.process.kill().is_ok() {
            self.process.wait().expect("is gone");
        }
    }
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        self.end();
    }
}
