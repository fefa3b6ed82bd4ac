//! Appending calls of which the database refuses some: by halves, until those stand alone.

use crate::store;
use crate::store::inbox::{Appended, IngestBatch, IngestCall};

/// Appends calls by halves; returns what was appended, and the calls that are refused alone.
/// `append` repeats what may be repeated, and gives `None` when told to stop meanwhile.
pub(super) async fn bisect<F>(
    calls: Vec<IngestCall>,
    mut append: impl FnMut(IngestBatch) -> F,
) -> Option<(Appended, Vec<IngestCall>)>
where
    F: Future<Output = Option<store::Result<Appended>>>,
{
    let mut total = Appended::default();
    let mut refused = Vec::new();
    let mut parts = vec![calls];
    while let Some(mut part) = parts.pop() {
        let batch = IngestBatch {
            calls: part.clone(),
            ..IngestBatch::default()
        };
        match append(batch).await? {
            Ok(appended) => {
                total.due.extend(appended.due);
                total.new_calls += appended.new_calls;
                total.duplicates += appended.duplicates;
            }
            // Whatever the error is, one call may be its only cause.
            Err(_) if part.len() > 1 => {
                let half = part.split_off(part.len() / 2);
                parts.extend([half, part]);
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the database refuses a call");
                refused.append(&mut part);
            }
        }
    }
    Some((total, refused))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::CallId;

    fn call(interaction: &str) -> IngestCall {
        IngestCall {
            id: CallId {
                account: "acme".parse().expect("an account"),
                interaction: interaction.parse().expect("an interaction"),
            },
            call_day: chrono::NaiveDate::default(),
            started: None,
            ended: None,
            too_old: Vec::new(),
            events: 1,
        }
    }

    fn names(calls: &[IngestCall]) -> Vec<String> {
        calls
            .iter()
            .map(|call| call.id.interaction.to_string())
            .collect()
    }

    #[tokio::test]
    async fn whatever_the_error_only_its_cause_is_given_up() {
        let calls = ["a", "poison", "b", "c", "d", "refused", "e"];
        let calls: Vec<IngestCall> = calls.into_iter().map(call).collect();
        let mut stored = Vec::new();
        let bisected = bisect(calls, |batch| {
            let names = names(&batch.calls);
            let has = |name: &str| names.iter().any(|n| n == name);
            let answer = if has("poison") {
                Err(store::Error::Corrupt {
                    what: "account".into(),
                })
            } else if has("refused") {
                Err(store::Error::Refused {
                    rule: "a check".into(),
                    source: "no".into(),
                })
            } else {
                stored.extend(names.clone());
                Ok(Appended {
                    new_calls: names.len() as u64,
                    ..Appended::default()
                })
            };
            std::future::ready(Some(answer))
        });
        let (total, refused) = bisected.await.expect("not told to stop");
        assert_eq!(names(&refused), ["poison", "refused"]);
        assert_eq!(stored, ["a", "b", "c", "d", "e"]);
        assert_eq!(total.new_calls, 5);
    }

    #[tokio::test]
    async fn told_to_stop_it_stops() {
        let bisected = bisect(vec![call("a")], |_| std::future::ready(None)).await;
        assert!(bisected.is_none());
    }
}
