//! A Task that is nothing special but for its key.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use vcc_link::domain::task::{OwnerSource, TaskDraft};

/// A draft with this key.
pub(crate) fn draft(key: &str) -> TaskDraft {
    TaskDraft {
        key: key.to_owned(),
        subject: "Inbound call".to_owned().into(),
        description: None,
        who: None,
        what: None,
        owner: None,
        owner_source: OwnerSource::Fallback,
        status: "Completed".into(),
        priority: "Normal".into(),
        call_type: "Inbound",
        duration_seconds: 65,
        disposition: None,
        activity_date: NaiveDate::from_ymd_opt(2026, 11, 24).expect("a day"),
        omit: BTreeSet::new(),
    }
}
