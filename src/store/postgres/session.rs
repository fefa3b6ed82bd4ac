//! Connections whose answers are waited for only so long.
//!
//! A network that forgets a connection tells nobody: what is sent is swallowed, and an answer that
//! was under way never comes. The server ends a statement that takes too long, and a transaction
//! whose client is silent; a client that heard nothing of it would wait for ever. So it gives an
//! answer up a little after the server must have ended the statement, and the connection with it.

use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, StreamExt as _};
use sqlx::postgres::{PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{
    Describe, Either, Execute, Executor, PgConnection, PgPool, Postgres, Row as _, SqlStr,
    Transaction,
};
use tokio::time::timeout;

use super::Result;

/// How long after the server must have ended a statement its answer may still come.
const ON_THE_WAY: Duration = Duration::from_secs(5);

/// How long a connection may take to say that it is well.
const WELL_WITHIN: Duration = Duration::from_secs(5);

/// Connections. A statement on it takes one for itself.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    /// The driver's.
    inner: PgPool,
    /// How long an answer is waited for.
    patience: Duration,
}

impl Pool {
    /// What every pool has: a connection that was given up is closed, and not asked for ever
    /// whether it is well; one that can only be read from, as a standby's, is not used at all.
    pub(super) fn options(acquire_timeout: Duration) -> PgPoolOptions {
        PgPoolOptions::new()
            .acquire_timeout(acquire_timeout)
            .after_connect(|connection, _| writable(connection).boxed())
            .after_release(|connection, _| well(connection).boxed())
    }

    /// A pool whose statements the server ends after this time.
    pub(super) fn new(inner: PgPool, statement_timeout: Duration) -> Self {
        Self {
            inner,
            patience: statement_timeout + ON_THE_WAY,
        }
    }

    /// Begins a transaction.
    pub(super) async fn begin(&self) -> Result<Tx> {
        let transaction = answered(self.patience, self.inner.begin()).await?;
        Ok(Tx(Session {
            transaction,
            patience: self.patience,
        }))
    }

    /// Closes the connections, once those in use are given back.
    pub(super) async fn close(&self) {
        self.inner.close().await;
    }
}

/// A transaction.
pub(super) struct Tx(Session);

impl Tx {
    /// Commits. After an error it may have happened, or not.
    pub(super) async fn commit(self) -> Result<()> {
        let Session {
            transaction,
            patience,
        } = self.0;
        Ok(answered(patience, transaction.commit()).await?)
    }
}

impl Deref for Tx {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.0
    }
}

/// What the statements of a transaction go to.
#[derive(Debug)]
pub(super) struct Session {
    /// The driver's.
    transaction: Transaction<'static, Postgres>,
    /// How long an answer is waited for.
    patience: Duration,
}

/// An answer, if it comes in time.
async fn answered<T>(
    patience: Duration,
    answer: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    let answer = timeout(patience, answer).await;
    answer.unwrap_or_else(|_| Err(unanswered()))
}

fn unanswered() -> sqlx::Error {
    let text = "the database did not answer in time; the connection is given up";
    std::io::Error::new(std::io::ErrorKind::TimedOut, text).into()
}

/// Answers, each of which comes in time.
fn each_answered<'e, T: Send + 'e>(
    patience: Duration,
    answers: BoxStream<'e, sqlx::Result<T>>,
) -> BoxStream<'e, sqlx::Result<T>> {
    let next = move |answers: Option<BoxStream<'e, sqlx::Result<T>>>| async move {
        let mut answers = answers?;
        match timeout(patience, answers.next()).await {
            Ok(answer) => answer.map(|answer| (answer, Some(answers))),
            Err(_) => Some((Err(unanswered()), None)),
        }
    };
    stream::unfold(Some(answers), next).boxed()
}

/// Whether a connection that was given back answers.
async fn well(connection: &mut PgConnection) -> sqlx::Result<bool> {
    answered(WELL_WITHIN, sqlx::Connection::ping(connection)).await?;
    Ok(true)
}

/// Refuses a connection that cannot be written to: a pool would keep it long after another server
/// has become the primary.
async fn writable(connection: &mut PgConnection) -> sqlx::Result<()> {
    let row = connection.fetch_one("show transaction_read_only").await?;
    if row.try_get::<&str, _>(0)? == "on" {
        let text = "the database is read-only: a standby, or default_transaction_read_only is set";
        return Err(std::io::Error::new(std::io::ErrorKind::ReadOnlyFilesystem, text).into());
    }
    Ok(())
}

/// What a statement answers: how many rows it touched, or a row.
type Answer = Either<PgQueryResult, PgRow>;

/// An executor that waits for the answers of the one behind it.
macro_rules! patient {
    ($life:lifetime, $executor:ty, |$this:ident| $inner:expr) => {
        impl<$life> Executor<$life> for $executor {
            type Database = Postgres;

            fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Answer>>
            where
                $life: 'e,
                E: 'q + Execute<'q, Postgres>,
            {
                let $this = self;
                each_answered($this.patience, $inner.fetch_many(query))
            }

            fn fetch_optional<'e, 'q: 'e, E>(
                self,
                query: E,
            ) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
            where
                $life: 'e,
                E: 'q + Execute<'q, Postgres>,
            {
                let $this = self;
                answered($this.patience, $inner.fetch_optional(query)).boxed()
            }

            fn prepare_with<'e>(
                self,
                sql: SqlStr,
                parameters: &'e [PgTypeInfo],
            ) -> BoxFuture<'e, sqlx::Result<PgStatement>>
            where
                $life: 'e,
            {
                let $this = self;
                answered($this.patience, $inner.prepare_with(sql, parameters)).boxed()
            }

            fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
            where
                $life: 'e,
            {
                let $this = self;
                answered($this.patience, $inner.describe(sql)).boxed()
            }
        }
    };
}

patient!('p, &'p Pool, |this| (&this.inner));
patient!('c, &'c mut Session, |this| (&mut *this.transaction));
