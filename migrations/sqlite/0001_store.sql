-- The store: accounts and their links, calls, attempts, leases, and events to publish.
-- The tables of migrations/postgres, with what a file of one machine does otherwise:
--
-- Times are microseconds since 1970, so that they keep their order and lose nothing.
-- Identities are compared bytewise, which is SQLite's default.
-- Tables have rowids: with rows of this width they are twice as fast as those without.
-- Bodies, tokens and events are sealed before they come here: nothing below holds a person's data.

-- Tells this file from other programs': "vclk".
pragma application_id = 1986227307;

create table accounts (
    account text primary key not null,
    -- Where the account's work lies: by its org once linked, by its id before.
    shard integer not null,
    status text not null default 'unlinked',
    health text not null default 'healthy',
    reason text,
    since integer not null,
    generation integer not null default 0,
    sequence integer not null default 0,
    -- The domain's LinkedOrg, as JSON: read whole, and only the two ids below are ever searched.
    linked_org text,
    -- When the org was last asked what it allows; null: not since it was linked.
    profile_read_at integer,
    -- The org that was unlinked last: calls that still wait were for it.
    left_org text,
    -- The data key that seals what comes about its callers; null before the first, and once it was
    -- destroyed.
    data_key text,
    org text generated always as (linked_org ->> 'org') stored,
    api_user text generated always as (linked_org ->> 'user') stored,
    check (shard between 0 and 255),
    check ((status = 'unlinked') = (linked_org is null))
) strict;

-- How many accounts an API user serves is counted at each Link: Salesforce keeps five approvals.
create index accounts_by_api_user on accounts (org, api_user) where org is not null;
create index accounts_by_shard on accounts (shard);

-- The data keys of accounts, sealed by the key ring: they seal the bodies of calls, and the events that
-- tell of calls.
create table account_keys (
    account text primary key not null,
    id text not null unique,
    sealed blob not null,
    created_at integer not null
) strict;

-- The tokens of one generation of a link, and the journal of their refresh.
create table grants (
    account text not null,
    generation integer not null,
    org text not null,
    api_user text not null,
    instance_url text not null,
    login_url text not null,
    -- Which app the tokens were given to: own, or legacy for that of the older method.
    app text not null default 'own',
    token_sequence integer not null,
    tokens blob not null,
    issued_at integer not null,
    -- A later generation took over; kept until its attempts are closed and its token is revoked.
    retired_at integer,
    -- The open claim to refresh: no byte is written after send_by, no answer comes after until.
    claim_send_by integer,
    claim_until integer,
    -- A claim expired without a result: the refresh token may be used up.
    in_doubt integer not null default 0,
    -- The one further try with a token in doubt has been claimed.
    last_step integer not null default 0,
    -- A refused sixth approval may have displaced this one; until a refresh tells.
    suspected_at integer,
    primary key (account, generation)
) strict;

-- Every call within the dedupe horizon. No index mentions state, attempt, outcome or terminal_at:
-- every index below is either over columns that never change or over a narrow predicate.
create table calls (
    account text not null,
    interaction text not null,
    shard integer not null,
    state text not null,
    received_at integer not null,
    -- Events received, duplicates among them.
    events integer not null,

    -- The begin that stands.
    started_event text,
    started_time integer,
    started_received_at integer,
    lookup_deadline integer,
    -- When the lookup lane is due; null when it is not.
    lookup_due_at integer,
    looked_up integer not null default 0,
    lookup_generation integer,

    -- When it was closed as a call whose end does not come. It stays ringing, so that an end which comes
    -- all the same is logged like any other.
    never_ended_at integer,

    -- The end that stands.
    ended_event text,
    ended_time integer,
    ended_received_at integer,
    ended_at integer,
    revision integer not null default 0,
    skip text,

    -- When the task lane is due; null while an attempt is open, and when nothing is to be done.
    task_due_at integer,
    -- The open attempt.
    attempt integer,
    attempts integer not null default 0,
    deferrals integer not null default 0,
    -- How often a replay revived it: part of the id of its next terminal event.
    replays integer not null default 0,
    -- Task fields that earlier attempts taught to leave out, as a JSON list; null for none.
    degraded text,
    -- Its next request holds at most so many calls: it failed in a larger one.
    batch_limit integer,
    -- Where an earlier request may have made its Task, unseen: the org and its unique field.
    hidden text,
    outcome text,
    parked_reason text,
    dead_reason text,
    task text,
    terminal_at integer,

    primary key (account, interaction),
    -- What a state means, held by the database: a wrong write fails instead of losing a call.
    check (state in ('ringing', 'ready', 'sending', 'in_doubt', 'retry_at', 'parked', 'logged',
                     'skipped', 'dead')),
    check ((state = 'ringing') = (ended_event is null)),
    check ((state in ('ready', 'retry_at')) = (task_due_at is not null)),
    check ((state in ('sending', 'in_doubt')) = (attempt is not null)),
    check ((state = 'parked') = (parked_reason is not null)),
    check ((state = 'dead') = (dead_reason is not null)),
    check ((state in ('logged', 'skipped', 'dead')) = (terminal_at is not null))
) strict;

-- What is due, in the order in which it is read.
create index calls_task_due on calls (shard, task_due_at, account, interaction)
    where task_due_at is not null;
create index calls_lookup_due on calls (shard, lookup_due_at, account, interaction)
    where lookup_due_at is not null;
-- Parked calls of an account, oldest first.
create index calls_parked on calls (account, received_at, interaction)
    where parked_reason is not null;
create index calls_ringing on calls (account, received_at) where ended_event is null;
-- What operators list: the latest, an account's latest, the dead letters. Also the order of forget.
create index calls_by_time on calls (received_at);
create index calls_by_account on calls (account, received_at);
create index calls_dead on calls (received_at) where dead_reason is not null;

-- The sealed bodies of a call, apart from its row, which is rewritten as often as it changes.
create table call_bodies (
    account text not null,
    interaction text not null,
    -- started, ended or lookup
    kind text not null,
    body blob not null,
    primary key (account, interaction, kind)
) strict;

-- One note per request part that writes at Salesforce, committed before the request.
create table attempts (
    attempt integer primary key autoincrement,
    account text not null,
    interaction text not null,
    shard integer not null,
    org text not null,
    generation integer not null,
    mode text not null,
    kind text not null,
    -- The Task that is adopted or updated.
    task text,
    revision integer not null,
    degraded text,
    -- How many calls its request held.
    together integer not null,
    begun_at integer not null,
    send_by integer not null,
    look_at integer not null,
    closed_at integer,
    outcome text,
    check (kind in ('create', 'adopt', 'update')),
    check ((kind = 'create') = (task is null))
) strict;

-- At most one open attempt per call (the shard is the call's), and a new owner's first question.
create unique index attempts_open on attempts (shard, account, interaction)
    where closed_at is null;
-- At most one open change of a Task: of two calls dialled from one, a late request of the first must
-- not overwrite the key that the second has written.
create unique index attempts_open_by_task on attempts (org, task)
    where closed_at is null and task is not null;
create index attempts_by_call on attempts (account, interaction);

-- Who owns which shard.
create table leases (
    shard integer primary key,
    epoch integer not null default 0,
    owner text,
    expires_at integer not null default 0,
    check (shard between 0 and 255)
) strict;

insert into leases (shard)
with recursive shards (shard) as (select 0 union all select shard + 1 from shards where shard < 255)
select shard from shards;

create table replicas (
    replica text primary key not null,
    expires_at integer not null
) strict;

-- The next offset of each partition: everything below it is stored.
create table offsets (
    topic text not null,
    partition integer not null,
    next_offset integer not null,
    primary key (topic, partition)
) strict;

-- Bytes that are no valid event, sealed, kept with the reason.
create table quarantine (
    topic text not null,
    partition integer not null,
    kafka_offset integer not null,
    received_at integer not null,
    reason text not null,
    body blob not null,
    -- When a person sent it to its topic again, and who.
    resent_at integer,
    resent_by text,
    primary key (topic, partition, kafka_offset)
) strict;

create index quarantine_by_time on quarantine (received_at);

-- Events to publish, written with what they tell of. A published row keeps its id for a while, so
-- that the same fact is not published twice, and loses its body.
create table outbox (
    position integer primary key autoincrement,
    id text not null unique,
    shard integer not null,
    topic text not null,
    -- Whose event it is, so that it moves with its account.
    account text,
    interaction text,
    body blob,
    published_at integer,
    check ((body is null) = (published_at is not null))
) strict;

-- By position over all shards: one worker has them all.
create index outbox_unpublished on outbox (position, shard) where published_at is null;
create index outbox_unpublished_by_account on outbox (account) where published_at is null;
create index outbox_by_call on outbox (account, interaction) where interaction is not null;

-- What transactions tell other listeners: PostgreSQL's notifications. The latest are kept; who
-- listens reads on from the last that it has read.
create table wakes (
    wake integer primary key autoincrement,
    payload text not null
) strict;

-- Admins on their way to Salesforce and back. The id is a hash: what travels is known to the browser
-- alone.
create table authorizations (
    id text primary key not null,
    account text not null,
    -- Whose session began it.
    session text not null,
    stage text not null,
    begun_at integer not null,
    expires_at integer not null,
    -- The domain's Authorization, as JSON.
    facts text not null,
    -- Sealed: what proves the code is ours, then the tokens; null once it is over.
    secret blob,
    check (stage in ('begun', 'redeeming', 'redeemed', 'to_confirm', 'linked', 'failed'))
) strict;

create index authorizations_open on authorizations (expires_at) where secret is not null;

-- Whoever began one follows it.
create index authorizations_session on authorizations (session, begun_at);

-- Logins by invitation wait for their account's admin.
create index authorizations_to_confirm on authorizations (account) where stage = 'to_confirm';

-- Links that let somebody link an account whom the portal does not know. The id is a hash: whoever
-- has the link has the secret.
create table invitations (
    id text primary key not null,
    account text not null,
    expires_at integer not null,
    fate text not null,
    -- The domain's Invitation, as JSON.
    facts text not null,
    check (fate in ('open', 'used', 'revoked'))
) strict;

create index invitations_by_account on invitations (account, expires_at);
create index invitations_expired on invitations (expires_at);

-- Tokens of the portal that were taken, by a hash of their id: each is taken once.
create table entries (
    id text primary key not null,
    expires_at integer not null
) strict;

create index entries_expired on entries (expires_at);

-- Every published change of a link: who, when, from what to what, and why. And what became of its
-- account's invitations.
create table link_history (
    account text not null,
    -- Counts the account's lines.
    line integer not null,
    -- The link's sequence since.
    sequence integer not null,
    at integer not null,
    actor text not null,
    from_status text not null,
    from_health text not null,
    to_status text not null,
    to_health text not null,
    -- Why the link changed; of a step of an invitation, which changes nothing of it, null.
    reason text,
    step text,
    generation integer not null,
    primary key (account, line),
    check ((reason is null) = (step is not null))
) strict;

-- Who is told of an account's link.
create table contacts (
    account text not null,
    contact text not null,
    channel text not null,
    -- Sealed: where, and what webhooks are signed with.
    target blob not null,
    -- Where, masked.
    shown text not null,
    added_at integer not null,
    primary key (account, contact),
    check (channel in ('mail', 'webhook'))
) strict;

-- Every change of them; the last version names their state.
create table contact_history (
    account text not null,
    version integer not null,
    at integer not null,
    actor text not null,
    event text not null,
    channel text not null,
    shown text not null,
    primary key (account, version)
) strict;

-- Accounts whose link stands otherwise than before, written with the link: what is told of it is
-- decided once it has stood so for a while.
create table link_watch (
    account text primary key not null,
    changes integer not null,
    changed_at integer not null,
    -- The change about which was decided last.
    decided integer not null default 0,
    -- Enough was told lately: not looked at before then.
    held_until integer,
    -- What the contacts were told last: the domain's Told, as JSON.
    told text
) strict;

create index link_watch_open on link_watch (changed_at) where decided < changes;

-- What contacts are told, each its own row. It holds nothing of a person.
create table notices (
    notice text primary key not null,
    account text not null,
    contact text not null,
    -- The domain's Notice, as JSON.
    facts text not null,
    -- Which change of the link it tells; null for a test.
    change integer,
    made_at integer not null,
    state text not null default 'waiting',
    -- When it is to be sent; null once it is over.
    due_at integer,
    claimed_until integer,
    attempts integer not null default 0,
    -- Why it did not arrive: the domain's DeliveryFault, as JSON.
    fault text,
    ended_at integer,
    check (state in ('waiting', 'sent', 'given_up')),
    check ((state = 'waiting') = (due_at is not null))
) strict;

create index notices_due on notices (due_at) where state = 'waiting';
create index notices_by_contact on notices (account, contact, made_at);
create index notices_over on notices (ended_at) where ended_at is not null;

-- Every replay: who, when, which calls, and what came of it.
create table replays (
    replay integer primary key autoincrement,
    actor text not null,
    begun_at integer not null,
    -- Null while it runs, and for ever where it was interrupted.
    ended_at integer,
    -- Which calls, in words.
    filter text not null,
    sent integer not null default 0,
    looked_for integer not null default 0,
    left_alone integer not null default 0
) strict;

-- What operators paused, now and before. A pause is in force while it is not ended and its time is
-- not over.
create table pauses (
    pause integer primary key autoincrement,
    -- account, org or all; and which one.
    scope text not null,
    subject text not null,
    -- lookup or task
    lane text not null,
    reason text not null,
    by text not null,
    since integer not null,
    until integer,
    ended_at integer,
    ended_by text,
    check (scope in ('account', 'org', 'all')),
    check (lane in ('lookup', 'task')),
    check ((ended_at is null) = (ended_by is null))
) strict;

create unique index pauses_open on pauses (scope, subject, lane) where ended_at is null;

-- What was erased at somebody's wish, and by whom: no number, as that was the wish.
create table erasures (
    erasure integer primary key,
    at integer not null,
    by_whom text not null,
    subject text not null,
    account text,
    calls integer not null,
    kept integer not null,
    records integer not null,
    check (subject in ('number', 'account')),
    check ((subject = 'account') = (account is not null))
) strict;

-- Whose past this file has: who opened it last, and whether it came back from an earlier time. One
-- row, once it is recognised for the first time.
create table lineage (
    only_row integer not null unique default 1 check (only_row = 1),
    system text not null,
    timeline integer not null,
    started text not null,
    synchronous integer not null,
    recovering_since integer,
    recovering_reason text,
    -- Calls that ended before this may have been sent in a past that is lost.
    recovered_at integer,
    -- Moved on by workers all the time, and noted in Kafka: a lower one than there went back in time.
    mark integer not null default 0,
    check ((recovering_since is null) = (recovering_reason is null))
) strict;

-- How far Kafka may know a partition to be read without that meaning anything: its offset here was
-- moved on purpose, or is known to be lost.
create table offset_marks (
    topic text not null,
    partition integer not null,
    mark integer not null,
    primary key (topic, partition)
) strict;
