//! Appending calls of which the database refuses some: by halves, until those stand alone.

use crate::store;
use crate::store::inbox::Appended;

/// Appends calls by halves; returns what was appended, and the calls that are refused alone.
/// `append` repeats what may be repeated, and gives `None` when told to stop meanwhile.
pub(super) async fn bisect<C, F>(
    calls: Vec<C>,
    mut append: impl FnMut(Vec<C>) -> F,
) -> Option<(Appended, Vec<C>)>
where
    C: Clone,
    F: Future<Output = Option<store::Result<Appended>>>,
{
    let mut total = Appended::default();
    let mut refused = Vec::new();
    let mut parts = vec![calls];
    while let Some(mut part) = parts.pop() {
        match append(part.clone()).await? {
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

    #[tokio::test]
    async fn whatever_the_error_only_its_cause_is_given_up() {
        let calls = ["a", "poison", "b", "c", "d", "refused", "e"];
        let mut stored = Vec::new();
        let bisected = bisect(calls.to_vec(), |names| {
            let has = |name: &str| names.contains(&name);
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
        assert_eq!(refused, ["poison", "refused"]);
        assert_eq!(stored, ["a", "b", "c", "d", "e"]);
        assert_eq!(total.new_calls, 5);
    }

    #[tokio::test]
    async fn told_to_stop_it_stops() {
        let bisected = bisect(vec!["a"], |_| std::future::ready(None)).await;
        assert!(bisected.is_none());
    }
}
