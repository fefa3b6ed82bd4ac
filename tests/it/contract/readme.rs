//! The contract's page for people, with the table of which calls earn a Task.

use std::fmt::Write as _;

use vcc_link::domain::call::{CallEnded, CallOutcome, Direction};
use vcc_link::domain::outcome::SkipReason;
use vcc_link::domain::policy::Policy;

use super::{EVENTS, Way, samples, schema};

const HEAD: &str = "\
# The contract with the platform

Calls go in over Kafka, and what came of them comes out. This page, the JSON Schemas and the
AsyncAPI document ([asyncapi.json](asyncapi.json)) are generated from the Protobuf schema in
[proto/](../../proto/vcc/link/v1) and from the code; change those, then run
`UPDATE_CONTRACT=1 cargo test --test it contract`.

Accounts are linked by the sidecar: its API, for the portal and for programs, is
[openapi.json](openapi.json), made of the handlers and served at `/api/v1/openapi.json`. The portal
hands a user over by a form that it posts to `/enter`, with a JSON Web Token in the field `token`:

| claim | |
|---|---|
| `iss`, `aud` | `sidecar.portal.issuer` and `sidecar.portal.audience` |
| `exp` | at most five minutes ahead |
| `jti` | another for each token: each is taken once |
| `sub` | who it is, as histories name them |
| `account` | the account; a session is about one |
| `role` | `viewer` or `admin` |

It is signed by HS256 with `sidecar.portal.shared_key`, or by RS256 or ES256 with a key of
`sidecar.portal.jwks_url`. It is never put into an address.

";

const FORM: &str = "
## Form

CloudEvents 1.0 on Kafka. We read both modes and publish binary mode:

| mode | attributes | data |
|---|---|---|
| binary | headers `ce_specversion`, `ce_id`, `ce_source`, `ce_type`, `ce_time` | the value, as `content-type` says: `application/json` (also if it is missing) or `application/protobuf` |
| structured | with the data in one JSON document, `content-type: application/cloudevents+json` | JSON in `data`, other bytes in `data_base64` |

JSON is Protobuf's canonical mapping of the schema: lowerCamelCase names, times in RFC 3339, 64-bit
numbers as text (numbers are read too), enums as words, fields at their default left out.

- **Unknown types and fields** are ignored, and so are unknown words where a field may be left out.
  The type is looked at first: of an event of another type nothing else is judged. A breaking change
  gets a new type (`call.ended.v2`).
- **Required** fields are marked so in each schema. Without one, or where one cannot be read, the
  record goes as it is to `vcc.calls.quarantine`, with the reason in the header `vcc-link-reason`
  and its place in `vcc-link-topic`, `vcc-link-partition` and `vcc-link-offset`. After a fix of ours
  `vcc-link quarantine replay` sends it to its topic again, unless its value has 64 KiB or more: of
  such a value the database keeps the beginning only, and the whole stands in the quarantine topic,
  and where it was sent, for as long as Kafka keeps it. Later only the producer can send it anew.
- **Duplicates and disorder** are expected: an event is known by its call, type and revision.
- **Too long** names are cut at 255 characters, notes at 32,000; of attributes 32 are kept, of legs
  100; phone numbers over 64 characters are no numbers. Control characters other than line ends and
  tabs are dropped from texts. A value over `kafka.max_event_bytes` (1 MiB) is quarantined.
- **Results**: a started call is answered by one `call.lookedup.v1`. An ended call comes to a terminal
  event, `calllog.succeeded.v1` or `calllog.failed.v1`: at most one for each revision, and it speaks
  for all lower revisions too. A revision has none of its own where a higher one came before it was
  decided (in one batch, while the call waited for its turn or a retry, or parked), where it comes
  behind a higher one, and where the call's last word is said already: behind the reason `too_old`,
  `unknown` or `unresolved_in_previous_org` no revision revives it, as sending again could make a
  second Task. A call whose end never comes has no such event. `calllog.deferred.v1` says that a call
  waits, and may come again; its `keptUntil` says until when it is kept. Nothing more comes near that
  day: it is known from the first, whoever wants to remind somebody can, and one event for each call
  of a broken link would tell thousands of times what `link.statuschanged.v1` tells once. An operator
  may put a call back that was given up, or skipped as
  `unlinked` or `expired`: it comes to one more terminal event, with `replay` one higher and a `ce_id`
  of its own, and of a revision's ends the highest stands.
- **`ce_id`** of what we publish is the same for the same fact, however often it is sent: keep what
  you took first. Only where our database was restored from a backup may the end of a call come again
  under its id in other words, `adopted` for `created` or failed as `unknown`, about the same Task.
  `ce_causationid` is the id of the ended event that a result is about, `ce_correlationid` its
  conversation.
- **Tombstones** are not sent: an unlinked account is an event with status `unlinked`.

Try an event before you send it: `vcc-link publish --check FILE` tells what is wrong by its line.

";

const TABLE: &str = "
## Which calls earn a Task

By default VCC's own rule: an interaction that an agent handled is logged, which is one whose
outcome is `answered` or that names `handledByAgentId`. Internal calls have no customer and are
never logged. `policy.inbound` and `policy.outbound` decide otherwise for each outcome:
`policy.inbound.missed = \"log\"`. A call that earns none ends as `calllog.succeeded.v1` with action
`skipped` and reason `policy` or `internal`.

";

/// The page.
pub(crate) fn text() -> String {
    let mut text = HEAD.to_owned();
    types(&mut text).expect("a string takes all");
    text.push_str(FORM.trim_start_matches('\n'));
    text.push_str(TABLE.trim_start_matches('\n'));
    policy(&mut text).expect("a string takes all");
    text
}

/// The table of types.
fn types(text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "| type | topic (a setting) | key | what it tells | samples |\n|---|---|---|---|---|"
    )?;
    for event in EVENTS {
        let (name, topic, key) = (event.name, event.topic, event.key);
        let way = match event.way {
            Way::Read => "you send",
            Way::Published => "we send",
        };
        let sample = |ending| format!("../../{}", samples::file(name, ending));
        writeln!(
            text,
            "| [`{name}`]({name}.schema.json) | `{topic}`, {way} | {key} | {} | [JSON]({}), [structured]({}), [Protobuf]({}) |",
            schema::summary(event),
            sample("json"),
            sample("structured.json"),
            sample("pb"),
        )?;
    }
    writeln!(text)
}

/// The table of outcomes, by asking the code.
fn policy(text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "| outcome | inbound, handled by an agent | inbound | outbound, handled by an agent | outbound | internal |\n|---|---|---|---|---|---|"
    )?;
    for outcome in CallOutcome::ALL {
        let word = serde_json::to_value(outcome).expect("a word");
        let cells = [
            (Direction::Inbound, true),
            (Direction::Inbound, false),
            (Direction::Outbound, true),
            (Direction::Outbound, false),
            (Direction::Internal, true),
        ];
        let cells = cells.map(|(direction, handled)| cell(outcome, direction, handled));
        let word = word.as_str().expect("a word");
        writeln!(text, "| `{word}` | {} |", cells.join(" | "))?;
    }
    Ok(())
}

/// What the default says of one kind of call.
fn cell(outcome: CallOutcome, direction: Direction, handled: bool) -> &'static str {
    let mut ended: CallEnded = samples::ended();
    ended.outcome = outcome;
    ended.facts.direction = direction;
    ended.handled_by = handled.then(|| "1042".to_owned());
    match Policy::default().skip(&ended) {
        None => "**log**",
        Some(SkipReason::Internal) => "skip: internal",
        Some(_) => "skip: policy",
    }
}
