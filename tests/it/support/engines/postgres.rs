//! A private PostgreSQL. It refuses to run as root: if root runs the tests, it runs as the user that the packages made.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::engines::{free_port, signal, wait_for};

/// The password of [`PrivatePostgres::start_encrypted`]'s user `trackbox`.
pub const PASSWORD: &str = "hunter2";

pub struct PrivatePostgres {
    port: u16,
    folder: TempDir,
    process: Child,
    encrypted: bool,
}

/// The user and group to run it as, if not those of the tests.
fn account() -> Option<(u32, u32)> {
    let id = |arguments: &[&str]| -> u32 {
        let output = Command::new("id")
            .args(arguments)
            .output()
            .expect("id runs");
        let text = String::from_utf8(output.stdout).expect("is text");
        text.trim().parse().expect("is a number")
    };
    (id(&["-u"]) == 0).then(|| (id(&["-u", "postgres"]), id(&["-g", "postgres"])))
}

/// A program of the newest PostgreSQL that packages installed, or else the one in the PATH.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let newest = versions
        .filter_map(|version| {
            version
                .ok()?
                .file_name()
                .into_string()
                .ok()?
                .parse::<u32>()
                .ok()
        })
        .max();
    newest.map_or_else(
        || PathBuf::from(name),
        |version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin/{name}")),
    )
}

fn command(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(program(name));
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    if let Some((user, group)) = account() {
        command.uid(user).gid(group);
    }
    command
}

/// Waits until it accepts sessions: after a crash it listens earlier than that.
fn wait_until_recovered(port: u16, folder: &Path) {
    let began = Instant::now();
    let ready = || {
        let mut command = command("pg_isready", folder);
        command.args(["-q", "-h", "localhost", "-p", &port.to_string()]);
        command.status().expect("pg_isready runs").success()
    };
    while !ready() {
        assert!(began.elapsed() < Duration::from_secs(60), "it recovers");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl PrivatePostgres {
    pub fn start() -> Self {
        Self::start_with(false)
    }

    /// Starts one that demands TLS and the password; returns it and the file of its certificate for `localhost`.
    pub fn start_encrypted() -> (Self, PathBuf) {
        let server = Self::start_with(true);
        let certificate = server.folder.path().join("cert.pem");
        (server, certificate)
    }

    fn start_with(encrypted: bool) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("writes");
            // PostgreSQL refuses a key that others may read.
            let mode = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&path, mode).expect("restricts");
            path
        };
        let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("signs");
        let files = [
            file("cert.pem", &own.cert.pem()),
            file("key.pem", &own.signing_key.serialize_pem()),
            file("password", PASSWORD),
        ];
        if let Some((user, group)) = account() {
            for path in files.iter().map(PathBuf::as_path).chain([folder.path()]) {
                chown(path, Some(user), Some(group)).expect("gives it away");
            }
        }
        let how = if encrypted { "scram-sha-256" } else { "trust" };
        let made = command("initdb", folder.path())
            .args([
                "-D", "data", "-U", "trackbox", "-A", how, "--pwfile", "password",
            ])
            .status();
        assert!(made.expect("initdb runs: tools/test installs it").success());
        if encrypted {
            let rules = "hostssl all all all scram-sha-256\n";
            std::fs::write(folder.path().join("data/pg_hba.conf"), rules).expect("writes");
        }
        let port = free_port();
        let process = Self::spawn(port, &folder, encrypted);
        Self {
            port,
            folder,
            process,
            encrypted,
        }
    }

    fn spawn(port: u16, folder: &TempDir, encrypted: bool) -> Child {
        let log = std::fs::File::create(folder.path().join("log")).expect("creates");
        let mut command = command("postgres", folder.path());
        command.stderr(log).args(["-D", "data"]);
        let here = folder.path().display();
        for setting in [
            format!("port={port}"),
            format!("unix_socket_directories={here}"),
            "listen_addresses=localhost".to_owned(),
            "max_connections=200".to_owned(),
            // The tests kill the server, not the machine.
            "fsync=off".to_owned(),
            format!("ssl={}", if encrypted { "on" } else { "off" }),
            format!("ssl_cert_file={here}/cert.pem"),
            format!("ssl_key_file={here}/key.pem"),
        ] {
            command.args(["-c", &setting]);
        }
        let process = command.spawn().expect("postgres starts");
        wait_for("PostgreSQL", port);
        wait_until_recovered(port, folder.path());
        process
    }

    /// Its address without a database's name; `localhost`, for which its certificate is.
    pub fn server(&self, password: Option<&str>) -> String {
        let password = password.map(|text| format!(":{text}")).unwrap_or_default();
        format!("postgres://trackbox{password}@localhost:{}", self.port)
    }

    /// Ends all sessions at once, in the middle of their work, as a crash does.
    pub fn crash(&mut self) {
        signal(self.process.id(), "-QUIT");
        self.process.wait().expect("is gone");
    }

    pub fn start_again(&mut self) {
        self.process = Self::spawn(self.port, &self.folder, self.encrypted);
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            self.crash();
        }
    }
}
