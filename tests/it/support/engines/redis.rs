//! A private Redis.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::engines::{end, free_port, wait_for};

pub struct PrivateRedis {
    port: u16,
    folder: TempDir,
    process: Child,
}

impl PrivateRedis {
    pub fn start() -> Self {
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

    fn spawn(port: u16, folder: &TempDir) -> Child {
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--save", ""])
            .args(["--bind", "127.0.0.1"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server starts: tools/test installs it");
        wait_for("Redis", port);
        process
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn empty(&self) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connects");
        stream.write_all(b"FLUSHALL\r\n").expect("asks");
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).expect("answers");
        assert_eq!(&answer, b"+OK\r\n");
    }

    pub fn kill(&mut self) {
        self.process.kill().expect("is killed");
        self.process.wait().expect("is gone");
    }

    pub fn start_again(&mut self) {
        self.process = Self::spawn(self.port, &self.folder);
    }
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}
