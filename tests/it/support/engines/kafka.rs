//! A private Kafka of one node or several, to be killed and stopped.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::engines::{end, free_port, server, signal, wait_for};

/// One node.
pub struct PrivateKafka {
    port: u16,
    folder: TempDir,
    process: Child,
}

/// The ports of one node of a private Kafka.
#[derive(Clone, Copy)]
struct Node {
    id: usize,
    clients: u16,
    controller: u16,
}

impl PrivateKafka {
    pub fn start() -> Self {
        Self::cluster(1, "PLAINTEXT", "", &[]).remove(0)
    }

    /// Starts `count` nodes of one cluster whose clients speak `protocol`.
    ///
    /// `more` are further properties of each node, and `format` further arguments to format its storage.
    pub fn cluster(count: usize, protocol: &str, more: &str, format: &[&str]) -> Vec<Self> {
        let nodes: Vec<Node> = (1..=count)
            .map(|id| Node {
                id,
                clients: free_port(),
                controller: free_port(),
            })
            .collect();
        let made: Vec<TempDir> = nodes
            .iter()
            .map(|node| Self::format(*node, &nodes, protocol, more, format))
            .collect();
        let spawned: Vec<Child> = made.iter().map(Self::spawn).collect();
        let started = nodes.into_iter().zip(made).zip(spawned);
        started
            .map(|((node, folder), process)| {
                wait_for("Kafka", node.clients);
                Self {
                    port: node.clients,
                    folder,
                    process,
                }
            })
            .collect()
    }

    fn format(
        node: Node,
        nodes: &[Node],
        protocol: &str,
        more: &str,
        arguments: &[&str],
    ) -> TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let voters: Vec<String> = nodes
            .iter()
            .map(|node| format!("{}@127.0.0.1:{}", node.id, node.controller))
            .collect();
        let replicas = nodes.len().min(3);
        let mut properties = format!(
            "process.roles=broker,controller\nnode.id={}\ncontroller.quorum.voters={}\n\
             controller.listener.names=CONTROLLER\n\
             listeners=INNER://127.0.0.1:0,CLIENTS://localhost:{},CONTROLLER://127.0.0.1:{}\n\
             listener.security.protocol.map=INNER:PLAINTEXT,CLIENTS:{protocol},CONTROLLER:PLAINTEXT\n\
             inter.broker.listener.name=INNER\nlog.dirs={}/log\nauto.create.topics.enable=false\n\
             default.replication.factor={replicas}\noffsets.topic.replication.factor={replicas}\n{more}\n",
            node.id,
            voters.join(","),
            node.clients,
            node.controller,
            folder.path().display()
        );
        writeln!(properties, "min.insync.replicas={}", (replicas - 1).max(1)).expect("writes");
        std::fs::write(folder.path().join("server.properties"), properties).expect("writes");
        let formatted = Self::java(&folder)
            .args([
                "kafka.tools.StorageTool",
                "format",
                "-t",
                "dHJhY2tib3gtdGVzdHMtMg",
            ])
            .args(["-c", "server.properties"])
            .args(arguments)
            .stdout(Stdio::null())
            .status();
        assert!(formatted.expect("java runs").success());
        folder
    }

    fn java(folder: &TempDir) -> Command {
        let mut java = Command::new("java");
        java.args([
            "-Xmx256m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-cp",
        ])
        .arg(format!("{}/*", server("TRACKBOX_TEST_KAFKA_LIBS")))
        .current_dir(folder.path());
        java
    }

    fn spawn(folder: &TempDir) -> Child {
        let log = std::fs::File::create(folder.path().join("output")).expect("creates");
        Self::java(folder)
            .args(["kafka.Kafka", "server.properties"])
            .stdout(log.try_clone().expect("is a file"))
            .stderr(log)
            .spawn()
            .expect("java runs")
    }

    pub fn start_again(&mut self) {
        self.process = Self::spawn(&self.folder);
        wait_for("Kafka", self.port);
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn address(&self) -> String {
        format!("localhost:{}", self.port)
    }

    pub fn signal(&self, name: &str) {
        signal(self.process.id(), name);
    }

    pub fn kill(&mut self) {
        self.process.kill().expect("is killed");
        self.process.wait().expect("is gone");
    }
}

impl Drop for PrivateKafka {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}
