//! The tasks of a process, in the stages in which they stop.

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// All tasks of a process. `workers` stop first, then `consumers`, then the `servers`.
#[derive(Default)]
pub struct Stages {
    pub workers: Stage,
    pub consumers: Stage,
    pub servers: Stage,
}

impl Stages {
    /// The first failure of any task; never returns without one.
    pub async fn failure(&mut self) -> anyhow::Error {
        tokio::select! {
            failed = self.workers.failure() => failed,
            failed = self.consumers.failure() => failed,
            failed = self.servers.failure() => failed,
        }
    }
}

/// Tasks that stop together. Each runs until the stage's token; a task that ends earlier is a failure.
#[derive(Default)]
pub struct Stage {
    stop: CancellationToken,
    tasks: JoinSet<(&'static str, anyhow::Result<()>)>,
}

impl Stage {
    /// Spawns the task that `make` makes of the token that stops it.
    pub fn spawn<T>(&mut self, name: &'static str, make: impl FnOnce(CancellationToken) -> T)
    where
        T: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let task = make(self.stop.clone());
        self.tasks.spawn(async move { (name, task.await) });
    }

    /// The first failure of one of its tasks; never returns without one.
    async fn failure(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            None => std::future::pending().await,
            Some(Ok((name, Ok(())))) => anyhow::anyhow!("{name} ended by itself"),
            Some(Ok((name, Err(error)))) => error.context(format!("{name} failed")),
            Some(Err(error)) => anyhow::Error::new(error).context("a part of the program died"),
        }
    }

    /// Stops its tasks and waits for them.
    pub async fn end(&mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Ok((_, Ok(()))) => {}
                Ok((name, Err(error))) => {
                    tracing::error!(task = name, "{name} failed while stopping: {error:#}");
                }
                Err(error) => tracing::error!("a part of the program died while stopping: {error}"),
            }
        }
    }
}
