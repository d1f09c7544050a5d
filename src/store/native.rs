//! A connection that gives every parameter the type that its database keeps the value in.
//!
//! PostgreSQL has types for times and UUIDs. SQLite has none: there a time is microseconds since 1970 UTC, a UUID its text.
//! sea-orm makes a value a parameter without asking the database, so it is done here: every statement passes, whether it
//! was built or written by hand.

use sea_orm::prelude::async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement,
    Value,
};

/// A connection or a transaction of a database.
#[derive(Clone, Debug)]
pub struct Native<C>(pub C);

/// A transaction; dropping it rolls it back.
pub type Transaction = Native<DatabaseTransaction>;

impl Transaction {
    pub async fn commit(self) -> Result<(), DbErr> {
        self.0.commit().await
    }
}

#[async_trait]
impl<C: ConnectionTrait> ConnectionTrait for Native<C> {
    fn get_database_backend(&self) -> DbBackend {
        self.0.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.0.execute_raw(native(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.0.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.0.query_one_raw(native(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.0.query_all_raw(native(statement)).await
    }
}

fn native(mut statement: Statement) -> Statement {
    if statement.db_backend == DbBackend::Sqlite {
        for value in statement.values.iter_mut().flat_map(|values| &mut values.0) {
            match value {
                Value::ChronoDateTimeUtc(time) => {
                    *value = time.map(|time| time.timestamp_micros()).into();
                }
                Value::Uuid(id) => *value = id.map(|id| id.to_string()).into(),
                _ => {}
            }
        }
    }
    statement
}
