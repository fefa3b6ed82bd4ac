//! Deleting a Task that was made for a test. Of calls, no Task is ever deleted.

use reqwest::Method;

use super::client::Call;
use super::error;
use super::tasks::RowResult;
use super::{Client, Error, SendBy, Session};
use crate::domain::ids::RecordId;

impl Client {
    /// Deletes a Task; one that is deleted already is well. Never repeated: after an answer that was
    /// lost, whoever wants to know looks whether it is still there.
    pub async fn delete_task(
        &self,
        session: &Session,
        task: &RecordId,
        send_by: SendBy,
    ) -> Result<(), Error> {
        let call = Call {
            method: Method::DELETE,
            send_by: Some(send_by),
            ..Call::get(format!("composite/sobjects?ids={task}&allOrNone=false"))
        };
        let rows: Vec<RowResult> = self.data(session, call).await?.value;
        let refused = rows.into_iter().find(|row| !row.success);
        let failure = refused.map(|row| error::of_row(&row.errors));
        match failure {
            Some(failure) if !error::is_gone(&failure) => Err(Error::answered(failure)),
            Some(_) | None => Ok(()),
        }
    }
}
