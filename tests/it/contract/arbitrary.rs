//! Any event: for the property tests.

use std::time::Duration;

use chrono::{DateTime, Utc};
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use vcc_link::domain::call::{
    Agent, CallEnded, CallEvent, CallFacts, CallOutcome, CallStarted, CrmContext, CustomerSide,
    Direction, Durations, EventMeta, Leg, Party, Presentation, Recording, Service,
};
use vcc_link::domain::event::{CallLog, CallLookedUp, LinkStatusChanged, Published};
use vcc_link::domain::ids::{
    CallId, Epoch, EventId, Generation, OrgId, RecordId, Revision, Sequence,
};
use vcc_link::domain::link::{Actor, Environment, Health, LinkReason, LinkStatus};
use vcc_link::domain::matching::{
    Candidate, LookupAnswer, LookupResult, MatchRule, RecordType, SHOWN, Via,
};
use vcc_link::domain::outcome::{
    DeadReason, Failure, FailureClass, FailureScope, LoggedAs, Outcome, ParkReason, SkipReason,
};
use vcc_link::domain::private::Private;
use vcc_link::domain::task::OwnerSource;

fn time() -> impl Strategy<Value = DateTime<Utc>> {
    (0..253_402_300_799_999_i64)
        .prop_map(|ms| DateTime::from_timestamp_millis(ms).expect("before the year 10000"))
}

fn span() -> impl Strategy<Value = Duration> {
    (0..=i64::MAX.unsigned_abs()).prop_map(Duration::from_millis)
}

/// Texts as they are after reading: no space at either end, no control characters.
fn text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9äöü€\"\\\\<>]{1,20}( [a-z'/]{1,9})?"
}

fn private() -> impl Strategy<Value = Private<String>> {
    text().prop_map(Private::new)
}

fn record() -> impl Strategy<Value = RecordId> {
    "(003|00Q|001|500|00T)[a-zA-Z0-9]{12}".prop_map(|id| id.parse().expect("15 characters"))
}

fn org() -> impl Strategy<Value = OrgId> {
    "00D[a-zA-Z0-9]{12}".prop_map(|id| id.parse().expect("15 characters"))
}

fn call() -> impl Strategy<Value = CallId> {
    ("[a-zA-Z0-9._-]{1,64}", "[a-zA-Z0-9._:~@-]{1,128}").prop_map(|(account, interaction)| CallId {
        account: account.parse().expect("an account"),
        interaction: interaction.parse().expect("an interaction"),
    })
}

fn event_id() -> impl Strategy<Value = EventId> {
    "[!-~]{1,200}".prop_map(|id| id.parse().expect("printable"))
}

fn traceparent() -> impl Strategy<Value = Option<String>> {
    of("00-[0-9a-f]{32}-[0-9a-f]{16}-01")
}

fn meta() -> impl Strategy<Value = EventMeta> {
    (event_id(), time(), traceparent()).prop_map(|(id, time, traceparent)| EventMeta {
        id,
        time,
        traceparent,
    })
}

fn party() -> impl Strategy<Value = Party> {
    let presentation = [
        Presentation::Allowed,
        Presentation::Restricted,
        Presentation::Unavailable,
    ];
    (
        of("\\+[0-9]{1,15}"),
        of("[0-9 ()*#]{1,20}"),
        select(presentation.to_vec()),
    )
        .prop_map(|(e164, raw, presentation)| Party {
            e164: e164.map(Private::new),
            raw: raw.map(Private::new),
            presentation,
        })
}

fn agent() -> impl Strategy<Value = Agent> {
    let user = "005[a-zA-Z0-9]{12}".prop_map(|id| id.parse().expect("a user"));
    (of(text()), of(text()), of(private()), of(user)).prop_map(
        |(agent_id, user_id, email, crm_user)| Agent {
            agent_id,
            user_id,
            email,
            crm_user,
        },
    )
}

fn around() -> impl Strategy<Value = (Service, CrmContext)> {
    let service = (of(text()), of(text()), of(text()), of(text()));
    let crm = (of(record()), of(record()), of(text()));
    (service, crm).prop_map(|(service, (record, existing_task, origin))| {
        let (name, address_name, interaction_plan, queue) = service;
        let service = Service {
            name,
            address_name,
            interaction_plan,
            queue,
        };
        let crm = CrmContext {
            record,
            existing_task,
            origin,
        };
        (service, crm)
    })
}

fn facts() -> impl Strategy<Value = CallFacts> {
    let direction = [Direction::Inbound, Direction::Outbound, Direction::Internal];
    let side = [CustomerSide::From, CustomerSide::To];
    let what = (
        call(),
        of(text()),
        select(direction.to_vec()),
        time(),
        of(select(side.to_vec())),
    );
    let attributes = btree_map("[a-z]{1,64}", private(), 0..5);
    let who = (party(), party(), agent(), around());
    (what, who, attributes, any::<bool>()).prop_map(|(what, who, attributes, test)| {
        let (id, conversation_id, direction, started_at, customer_side) = what;
        let (from, to, agent, (service, crm)) = who;
        CallFacts {
            id,
            conversation_id,
            direction,
            started_at,
            from,
            to,
            customer_side,
            service,
            agent,
            crm,
            attributes,
            test,
        }
    })
}

fn started() -> impl Strategy<Value = CallStarted> {
    (meta(), facts(), of(time())).prop_map(|(meta, facts, expires_at)| CallStarted {
        meta,
        facts,
        expires_at,
    })
}

fn durations() -> impl Strategy<Value = Durations> {
    (
        span(),
        of(span()),
        of(span()),
        of(span()),
        of(span()),
        of(span()),
    )
        .prop_map(|(total, ring, queue, talk, hold, wrap)| Durations {
            total,
            ring,
            queue,
            talk,
            hold,
            wrap,
        })
}

fn leg() -> impl Strategy<Value = Leg> {
    (text(), of(text()), of(time()), of(time()), of(text())).prop_map(
        |(leg_id, agent_id, joined_at, left_at, how)| Leg {
            leg_id,
            agent_id,
            joined_at,
            left_at,
            how,
        },
    )
}

fn ended() -> impl Strategy<Value = CallEnded> {
    let when = (meta(), time(), durations(), 0..1000, any::<bool>());
    let how = (select(CallOutcome::ALL.to_vec()), of(text()), of(text()));
    let recording = || {
        of((any::<bool>(), of(text()))
            .prop_map(|(ready, content_ref)| Recording { ready, content_ref }))
    };
    let kept = (recording(), recording());
    let said = (vec(leg(), 0..4), of(text()), of(private()), kept);
    (facts(), when, how, said).prop_map(|(mut facts, when, how, said)| {
        let (meta, ended_at, durations, revision, last) = when;
        let (outcome, ended_by, handled_by) = how;
        let (legs, disposition, notes, (recording, voicemail)) = said;
        // Who handled the call is its agent where none is told.
        if facts.agent.agent_id.is_none() {
            facts.agent.agent_id.clone_from(&handled_by);
        }
        CallEnded {
            meta,
            facts,
            ended_at,
            durations,
            outcome,
            ended_by,
            handled_by,
            legs,
            disposition,
            notes,
            recording,
            voicemail,
            revision: Revision(revision),
            last,
        }
    })
}

/// Any event of the platform.
pub(crate) fn call_event() -> impl Strategy<Value = CallEvent> {
    prop_oneof![
        started().prop_map(|e| CallEvent::Started(Box::new(e))),
        ended().prop_map(|e| CallEvent::Ended(Box::new(e))),
    ]
}

fn answer() -> impl Strategy<Value = LookupAnswer> {
    use LookupResult as R;
    let results = [
        R::Matched,
        R::None,
        R::Several,
        R::Withheld,
        R::NotSearched,
        R::Timeout,
        R::Throttled,
        R::NotLinked,
        R::Failed,
    ];
    let candidate = (record(), of(private()), of(record())).prop_map(|(id, name, account)| {
        let record_type = RecordType::of(&id);
        Candidate {
            id,
            record_type,
            name,
            account,
            modified_at: None,
        }
    });
    let rules = [
        MatchRule::ExplicitRecord,
        MatchRule::OnlyCandidate,
        MatchRule::ObjectPriority,
        MatchRule::MostRecent,
    ];
    let vias = [Via::Context, Via::Cache, Via::Search];
    let found = (
        of(candidate),
        of(private()),
        of(select(rules.to_vec())),
        vec(record(), 0..=SHOWN),
    );
    let how = (
        select(results.to_vec()),
        any::<u32>(),
        of(select(vias.to_vec())),
        time(),
    );
    (how, found).prop_map(
        |((result, candidates, via, answered_at), (record, url, rule, shown))| LookupAnswer {
            result,
            record,
            url,
            rule,
            candidates,
            shown,
            via,
            answered_at,
        },
    )
}

fn failure() -> impl Strategy<Value = Failure> {
    use FailureClass as C;
    let classes = [
        C::Transient,
        C::Throttled,
        C::Quota,
        C::Link,
        C::Admin,
        C::Payload,
        C::Ambiguous,
        C::Bug,
    ];
    (
        select(classes.to_vec()),
        "[A-Z_]{1,40}",
        of(100..600_u16),
        text(),
    )
        .prop_map(|(class, code, http_status, hint)| Failure {
            http_status,
            hint,
            ..Failure::new(class, FailureScope::Record, code)
        })
}

/// The outcomes that are published: terminal ones, and parking.
fn outcome() -> impl Strategy<Value = Outcome> {
    let how = [LoggedAs::Created, LoggedAs::Updated, LoggedAs::Adopted];
    let skip = [
        SkipReason::Unlinked,
        SkipReason::Policy,
        SkipReason::Internal,
        SkipReason::TooOld,
        SkipReason::Expired,
    ];
    let dead = [
        DeadReason::Refused,
        DeadReason::RetriesExhausted,
        DeadReason::Unknown,
        DeadReason::UnresolvedInPreviousOrg,
        DeadReason::Bug,
    ];
    let park = [
        ParkReason::LinkBroken,
        ParkReason::OrgRefuses,
        ParkReason::Quota,
        ParkReason::Paused,
        ParkReason::Unlinked,
    ];
    prop_oneof![
        (select(how.to_vec()), record()).prop_map(|(how, task)| Outcome::Logged { how, task }),
        select(skip.to_vec()).prop_map(|reason| Outcome::Skipped { reason }),
        (select(dead.to_vec()), of(failure()))
            .prop_map(|(reason, failure)| Outcome::Dead { reason, failure }),
        (select(park.to_vec()), of(failure()), of(time())).prop_map(|(reason, failure, until)| {
            Outcome::Parked {
                reason,
                failure,
                until,
            }
        }),
    ]
}

fn log() -> impl Strategy<Value = CallLog> {
    let owner = [
        OwnerSource::Event,
        OwnerSource::Email,
        OwnerSource::Fallback,
    ];
    let what = (call(), 0..1000, of(event_id()), any::<i64>(), outcome());
    let found = (
        of(org()),
        of(answer()),
        of(record()),
        of(record()),
        of(select(owner.to_vec())),
    );
    let when = (
        any::<u32>(),
        (of(time()), of(time()), any::<bool>()),
        time(),
        any::<u32>(),
        of(text()),
        traceparent(),
    );
    (what, found, when).prop_map(|(what, found, when)| {
        let (call, revision, caused_by, generation, outcome) = what;
        let (org, lookup, who, what, owner_source) = found;
        let (attempts, told, decided_at, deferral, conversation_id, traceparent) = when;
        let (ended_at, received_at, test) = told;
        CallLog {
            task_key: call.task_key(),
            call,
            revision: Revision(revision),
            caused_by,
            generation: Generation(generation),
            org,
            outcome,
            lookup,
            who,
            what,
            owner_source,
            attempts,
            ended_at,
            received_at,
            test,
            decided_at,
            deferral,
            replay: deferral % 3,
            conversation_id,
            traceparent,
        }
    })
}

fn looked_up() -> impl Strategy<Value = CallLookedUp> {
    (
        call(),
        answer(),
        any::<i64>(),
        time(),
        of(text()),
        traceparent(),
        any::<bool>(),
    )
        .prop_map(
            |(call, answer, generation, valid_until, conversation_id, traceparent, test)| {
                CallLookedUp {
                    call,
                    answer,
                    generation: Generation(generation),
                    valid_until,
                    test,
                    conversation_id,
                    traceparent,
                }
            },
        )
}

fn status_changed() -> impl Strategy<Value = LinkStatusChanged> {
    use LinkReason as R;
    let statuses = [LinkStatus::Unlinked, LinkStatus::Linked, LinkStatus::Legacy];
    let healths = [Health::Healthy, Health::AtRisk, Health::Broken];
    let reasons = [
        R::UserLinked,
        R::UserRelinked,
        R::UserUnlinked,
        R::Recovered,
        R::TokenRevoked,
        R::RefreshInDoubt,
        R::ApiUserInactive,
        R::AppNotApproved,
        R::IpOrHoursRestricted,
        R::PermissionMissing,
        R::ApiDisabled,
        R::OrgInactive,
        R::OurCredentials,
        R::Unknown,
        R::ApprovalDisplaced,
    ];
    let status = || select(statuses.to_vec());
    let health = || select(healths.to_vec());
    let actor = prop_oneof![
        text().prop_map(Actor::Admin),
        text().prop_map(Actor::Operator),
        text().prop_map(Actor::Machine),
        Just(Actor::System),
        Just(Actor::Salesforce),
    ];
    let environment = select(vec![Environment::Production, Environment::Sandbox]);
    let state = (
        status(),
        status(),
        health(),
        health(),
        select(reasons.to_vec()),
    );
    let org = (of(org()), of(environment), of(text()), of(text()));
    let place = (call(), org, actor);
    let rest = (
        any::<i64>(),
        any::<i64>(),
        any::<u64>(),
        of(failure()),
        time(),
        (of(time()), of(any::<i64>())),
    );
    (state, place, rest).prop_map(|(state, place, rest)| {
        let (previous_status, status, previous_health, health, reason) = state;
        let (call, (org, environment, username_masked, instance_url), actor) = place;
        let (generation, sequence, parked_calls, failure, effective_at, broken) = rest;
        let (broken_since, restated) = broken;
        LinkStatusChanged {
            account: call.account,
            previous_status,
            status,
            previous_health,
            health,
            reason,
            generation: Generation(generation),
            sequence: Sequence(sequence),
            org,
            environment,
            instance_url,
            username_masked,
            actor,
            parked_calls,
            failure,
            effective_at,
            broken_since,
            restated: restated.map(Epoch),
        }
    })
}

/// Any event that we publish.
pub(crate) fn published() -> impl Strategy<Value = Published> {
    prop_oneof![
        looked_up().prop_map(|e| Published::CallLookedUp(Box::new(e))),
        log().prop_map(|e| Published::CallLog(Box::new(e))),
        status_changed().prop_map(|e| Published::LinkStatusChanged(Box::new(e))),
    ]
}
