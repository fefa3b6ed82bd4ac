//! Accounts, calls and events as the suites need them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, TimeZone as _, Utc};
use vcc_link::domain::event::Topic;
use vcc_link::domain::ids::{
    AccountId, CallId, Generation, OrgId, RecordId, Revision, Sequence, ShardId,
};
use vcc_link::domain::key_head;
use vcc_link::domain::link::{
    Actor, App, Environment, Health, LinkReason, LinkState, LinkStatus, LinkedOrg, Username,
};
use vcc_link::domain::outcome::{
    Failure, FailureClass, FailureScope, LoggedAs, Outcome, ParkReason,
};
use vcc_link::domain::task::KeyMode;
use vcc_link::domain::work::{AttemptKind, Due, Lane, OpenAttempt};
use vcc_link::store::account_keys::AccountKey;
use vcc_link::store::inbox::{Appended, IngestBatch, IngestCall, IngestEnded, IngestStarted};
use vcc_link::store::journal::{BeginAttempt, Begun, OutcomeRow};
use vcc_link::store::links::{LinkChange, LinkWrite, NewLink};
use vcc_link::store::outbox::OutboxRow;
use vcc_link::store::recovery::{Standing, Witness};
use vcc_link::store::{Fence, Sealed, Store, Written};

use super::Harness;

/// The org that most tests link to.
pub(crate) const ORG: &str = "00DB0000000TfcR";
/// Another one, of another shard.
pub(crate) const OTHER_ORG: &str = "00DA0000000AbcD";
/// The API user that most tests link.
pub(crate) const USER: &str = "005B0000005Bk90";
/// A Task.
pub(crate) const TASK: &str = "00TB0000001AbCd";

/// One test's database, with a worker that owns every shard.
pub(crate) struct Fixture {
    /// The store.
    pub(crate) store: Arc<dyn Store>,
    /// What the worker owns.
    pub(crate) owned: Vec<Fence>,
}

impl Fixture {
    /// A worker that owns every shard.
    pub(crate) async fn new(harness: &dyn Harness) -> Self {
        let store = harness.store();
        let standing = store
            .recognise(&Witness::default())
            .await
            .expect("recognise");
        assert_eq!(standing, Standing::Recognised);
        let worker = "worker-1".parse().expect("replica");
        let beat = store
            .beat(&worker, Duration::from_mins(10), 256)
            .await
            .expect("beat");
        assert_eq!(beat.owned.len(), 256);
        Self {
            store,
            owned: beat.owned,
        }
    }

    /// The fence of a shard.
    pub(crate) fn fence(&self, shard: ShardId) -> Fence {
        self.owned[usize::from(shard.0)]
    }

    /// Every shard; all are owned.
    pub(crate) fn shards(&self) -> Vec<ShardId> {
        self.owned.iter().map(|fence| fence.shard).collect()
    }

    /// The account's link.
    pub(crate) async fn link_of(&self, account: &str) -> LinkState {
        let links = self
            .store
            .links(&[account_id(account)])
            .await
            .expect("links");
        links
            .into_iter()
            .next()
            .expect("one for each account asked")
    }

    /// The account's fence, where it lies now.
    pub(crate) async fn fence_of(&self, account: &str) -> Fence {
        self.fence(self.link_of(account).await.shard)
    }

    /// Links an account to [`ORG`].
    pub(crate) async fn link(&self, account: &str) -> LinkState {
        self.link_to(account, ORG).await
    }

    /// Links an account to an org.
    pub(crate) async fn link_to(&self, account: &str, org: &str) -> LinkState {
        let expected = self.link_of(account).await.sequence;
        let written = self
            .store
            .save_link(&new_link(account, org, expected), 5)
            .await;
        match written.expect("save_link") {
            LinkWrite::Stored(state) => state,
            other => panic!("{other:?}"),
        }
    }

    /// Changes status or health.
    pub(crate) async fn change(
        &self,
        account: &str,
        status: LinkStatus,
        health: Health,
    ) -> LinkWrite {
        let now = self.link_of(account).await;
        let change = LinkChange {
            account: now.account.clone(),
            expected: now.sequence,
            generation: now.generation,
            status,
            health,
            reason: LinkReason::Unknown,
            fence: (status != LinkStatus::Unlinked).then(|| self.fence(now.shard)),
            actor: Actor::System,
            event: link_event(account, now.sequence.next()),
            at: at(100),
        };
        self.store.change_link(&change).await.expect("change_link")
    }

    /// Appends calls.
    pub(crate) async fn append(&self, calls: Vec<IngestCall>) -> Appended {
        let batch = IngestBatch {
            calls,
            ..IngestBatch::default()
        };
        give_keys(&*self.store, &batch.calls).await;
        self.store.append(&batch).await.expect("append")
    }

    /// What is due in the task lane of an account's shard, however far ahead.
    pub(crate) async fn due(&self, account: &str) -> Vec<Due> {
        self.due_in(account, Lane::Task).await
    }

    /// What is due in a lane of an account's shard, however far ahead.
    pub(crate) async fn due_in(&self, account: &str, lane: Lane) -> Vec<Due> {
        let shard = self.link_of(account).await.shard;
        self.store
            .due(shard, lane, far_ahead(), None, 1000)
            .await
            .expect("due")
    }

    /// The wish to send a call of an account that is linked to [`ORG`].
    pub(crate) async fn wish(&self, account: &str, call: &str, revision: i32) -> BeginAttempt {
        let link = self.link_of(account).await;
        BeginAttempt {
            call: call_id(account, call),
            fence: self.fence(link.shard),
            generation: link.generation,
            org: link.org.map_or_else(|| org_id(ORG), |org| org.org),
            mode: KeyMode::CallObject { sees_all: true },
            kind: AttemptKind::Create,
            revision: Revision(revision),
            degraded: BTreeSet::new(),
            together: 7,
            send_within: Duration::from_secs(5),
        }
    }

    /// Begins an attempt.
    pub(crate) async fn begin(&self, account: &str, call: &str, revision: i32) -> Begun {
        let wish = self.wish(account, call, revision).await;
        let begun = self
            .store
            .begin_attempts(&[wish])
            .await
            .expect("begin_attempts");
        begun
            .into_iter()
            .next()
            .expect("one answer")
            .expect("begins")
    }

    /// The outcome of an attempt.
    pub(crate) async fn outcome(
        &self,
        begun: &Begun,
        revision: i32,
        outcome: Outcome,
    ) -> OutcomeRow {
        let id = &begun.call.id;
        OutcomeRow {
            call: id.clone(),
            fence: self.fence_of(id.account.as_str()).await,
            attempt: Some(begun.attempt),
            revision: Revision(revision),
            generation: self.link_of(id.account.as_str()).await.generation,
            outcome,
            event: None,
            replay: None,
            at: at(50),
        }
    }

    /// The outcome of a call without an attempt.
    pub(crate) async fn unsent(&self, account: &str, call: &str, outcome: Outcome) -> OutcomeRow {
        OutcomeRow {
            call: call_id(account, call),
            fence: self.fence_of(account).await,
            attempt: None,
            revision: Revision(0),
            generation: self.link_of(account).await.generation,
            outcome,
            event: None,
            replay: None,
            at: at(50),
        }
    }

    /// Records one outcome.
    pub(crate) async fn record(&self, row: &OutcomeRow) -> Written {
        let rows = std::slice::from_ref(row);
        self.store
            .record_outcomes(rows)
            .await
            .expect("record_outcomes")[0]
    }

    /// Ends a call as logged by an attempt.
    pub(crate) async fn log(&self, account: &str, call: &str) {
        let begun = self.begin(account, call, 0).await;
        let row = self.outcome(&begun, 0, created()).await;
        assert_eq!(self.record(&row).await, Written::Yes);
    }

    /// Parks a call that waits.
    pub(crate) async fn park(&self, account: &str, call: &str, reason: ParkReason) {
        let parked = Outcome::Parked {
            reason,
            failure: None,
            until: None,
        };
        let row = self.unsent(account, call, parked).await;
        assert_eq!(self.record(&row).await, Written::Yes);
    }

    /// The open attempts of a shard.
    pub(crate) async fn open_attempts(&self, shard: ShardId) -> Vec<OpenAttempt> {
        self.store
            .open_attempts(shard)
            .await
            .expect("open_attempts")
    }

    /// Writes events of a call of the account that is not stored, as it is too old.
    pub(crate) async fn publish(&self, account: &str, ids: &[&str]) {
        let too_old = ids.iter().map(|id| call_event(account, id)).collect();
        let call = IngestCall {
            too_old,
            ..ended(account, "too-old", 0)
        };
        self.append(vec![call]).await;
    }

    /// The ids of the events that wait in any shard, in order.
    pub(crate) async fn unpublished(&self) -> Vec<(ShardId, String)> {
        let shards: Vec<ShardId> = self.owned.iter().map(|fence| fence.shard).collect();
        let rows = self
            .store
            .unpublished(&shards, 0, 10_000)
            .await
            .expect("unpublished");
        rows.into_iter()
            .map(|row| (row.row.shard, row.row.id.to_string()))
            .collect()
    }
}

/// So many seconds into the day of the tests.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    let day = Utc
        .with_ymd_and_hms(2026, 11, 23, 9, 0, 0)
        .single()
        .expect("a time");
    day + TimeDelta::seconds(seconds)
}

/// Later than anything that is due.
pub(crate) fn far_ahead() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2100, 1, 1, 0, 0, 0)
        .single()
        .expect("a time")
}

/// An account.
pub(crate) fn account_id(account: &str) -> AccountId {
    account.parse().expect("account")
}

/// An org.
pub(crate) fn org_id(org: &str) -> OrgId {
    org.parse().expect("org")
}

/// A Task.
pub(crate) fn task_id() -> RecordId {
    TASK.parse().expect("record")
}

/// A call.
pub(crate) fn call_id(account: &str, call: &str) -> CallId {
    CallId {
        account: account_id(account),
        interaction: call.parse().expect("interaction"),
    }
}

/// A call's row without any event.
fn empty(account: &str, call: &str) -> IngestCall {
    IngestCall {
        id: call_id(account, call),
        call_day: at(0).date_naive(),
        started: None,
        ended: None,
        events: 1,
        too_old: Vec::new(),
    }
}

/// A call that began.
pub(crate) fn started(account: &str, call: &str) -> IngestCall {
    let begin = IngestStarted {
        event: format!("{call}/started").parse().expect("event"),
        time: at(0),
        lookup_deadline: Some(at(5)),
        body: under_key(account, &format!("{call} started")),
    };
    IngestCall {
        started: Some(begin),
        ..empty(account, call)
    }
}

/// A call that ended, at a revision.
pub(crate) fn ended(account: &str, call: &str, revision: i32) -> IngestCall {
    let end = IngestEnded {
        event: format!("{call}/ended/{revision}").parse().expect("event"),
        time: at(60 + i64::from(revision)),
        revision: Revision(revision),
        ended_at: at(60),
        skip: None,
        body: under_key(account, &format!("{call} ended {revision}")),
    };
    IngestCall {
        ended: Some(end),
        ..empty(account, call)
    }
}

/// The data key of an account, which opens nothing: the store looks at its id alone.
pub(crate) fn key_of(account: &str) -> AccountKey {
    AccountKey {
        account: account_id(account),
        id: format!("key-of-{account}").parse().expect("key"),
        sealed: Sealed(format!("the key of {account}").into_bytes()),
    }
}

/// Gives the accounts of calls their data keys.
pub(crate) async fn give_keys(store: &dyn Store, calls: &[IngestCall]) {
    let accounts: BTreeSet<&AccountId> = calls.iter().map(|call| &call.id.account).collect();
    let keys = accounts.into_iter().map(|account| key_of(account.as_str()));
    let keys: Vec<AccountKey> = keys.collect();
    store.keep_keys(&keys).await.expect("keep_keys");
}

/// What stands for a value that is sealed by the data key of an account.
pub(crate) fn under_key(account: &str, text: &str) -> Sealed {
    let head = key_head::of(&key_of(account).id);
    Sealed([head.as_slice(), text.as_bytes()].concat())
}

/// An event of a call.
pub(crate) fn call_event(account: &str, id: &str) -> OutboxRow {
    OutboxRow {
        id: id.parse().expect("event"),
        shard: ShardId(0),
        topic: Topic::CallLogs,
        body: under_key(account, id),
    }
}

/// An event of a link.
pub(crate) fn link_event(account: &str, sequence: Sequence) -> OutboxRow {
    let id = format!("link/{account}/{sequence}");
    OutboxRow {
        topic: Topic::LinkStatus,
        ..call_event(account, &id)
    }
}

/// A Link of [`USER`].
pub(crate) fn new_link(account: &str, org: &str, expected: Sequence) -> NewLink {
    NewLink {
        account: account_id(account),
        expected,
        status: LinkStatus::Linked,
        reason: LinkReason::UserLinked,
        health: Health::Healthy,
        org: LinkedOrg {
            org: org_id(org),
            user: USER.parse().expect("user"),
            name: Some("Acme".to_owned()),
            username: Username::new("api@acme.example".to_owned()),
            environment: Environment::Production,
            instance_url: "https://acme.my.salesforce.com".to_owned(),
            key_mode: KeyMode::CallObject { sees_all: true },
            time_zone: Some("Europe/London".to_owned()),
            default_country: Some("GB".to_owned()),
            closed_status: None,
            preflight: vec![],
            asked_at: None,
        },
        login_url: "https://login.salesforce.com".to_owned(),
        app: App::Own,
        tokens: Sealed(b"first tokens".to_vec()),
        actor: Actor::Operator("ann".to_owned()),
        authorization: None,
        event: link_event(account, expected.next()),
        at: at(0),
    }
}

/// A failure that goes away.
pub(crate) fn failure() -> Failure {
    Failure::new(
        FailureClass::Transient,
        FailureScope::Record,
        "UNABLE_TO_LOCK_ROW",
    )
}

/// A new Task.
pub(crate) fn created() -> Outcome {
    Outcome::Logged {
        how: LoggedAs::Created,
        task: task_id(),
    }
}

/// The generation before the first link.
pub(crate) const NEVER_LINKED: Generation = Generation(0);
