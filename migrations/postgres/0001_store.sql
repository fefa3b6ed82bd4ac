-- The store: accounts and their links, calls, attempts, leases, and events to publish.
--
-- Identities are compared bytewise (collate "C"): the order of the domain's values, the order in
-- which rows are locked, and half the price of a comparison by locale.
-- Bodies, tokens and events are sealed before they come here: nothing below holds a person's data.
-- Migrations only add, so that the release before this one keeps working during an update.

create table accounts (
    account text collate "C" primary key,
    -- Where the account's work lies: by its org once linked, by its id before.
    shard smallint not null,
    status text not null default 'unlinked',
    health text not null default 'healthy',
    reason text,
    since timestamptz not null default now(),
    generation bigint not null default 0,
    sequence bigint not null default 0,
    -- The domain's LinkedOrg, as JSON: read whole, and only the two ids below are ever searched.
    linked_org jsonb,
    -- When the org was last asked what it allows; null: not since it was linked.
    profile_read_at timestamptz,
    -- The org that was unlinked last: calls that still wait were for it.
    left_org text collate "C",
    -- The data key that seals what comes about its callers; null before the first, and once it was
    -- destroyed. Here too, so that whoever locks the row knows it.
    data_key text collate "C",
    org text collate "C" generated always as (linked_org ->> 'org') stored,
    api_user text collate "C" generated always as (linked_org ->> 'user') stored,
    check (shard between 0 and 255),
    check ((status = 'unlinked') = (linked_org is null))
);

-- How many accounts an API user serves is counted at each Link: Salesforce keeps five approvals.
create index accounts_by_api_user on accounts (org, api_user) where org is not null;
create index accounts_by_shard on accounts (shard);

-- The data keys of accounts, sealed by the key ring: they seal the bodies of calls, and the events that
-- tell of calls. Apart from the accounts, so that a dump can leave them out. What was deleted or
-- replaced is vacuumed at the next turn, as it should lie nowhere.
create table account_keys (
    account text collate "C" primary key,
    id text collate "C" not null unique,
    sealed bytea not null,
    created_at timestamptz not null default now()
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 0);

-- The tokens of one generation of a link, and the journal of their refresh.
create table grants (
    account text collate "C" not null,
    generation bigint not null,
    org text collate "C" not null,
    api_user text collate "C" not null,
    instance_url text not null,
    login_url text not null,
    -- Which app the tokens were given to: own, or legacy for that of the older method.
    app text not null default 'own',
    token_sequence bigint not null,
    tokens bytea not null,
    issued_at timestamptz not null,
    -- A later generation took over; kept until its attempts are closed and its token is revoked.
    retired_at timestamptz,
    -- The open claim to refresh: no byte is written after send_by, no answer comes after until.
    claim_send_by timestamptz,
    claim_until timestamptz,
    -- A claim expired without a result: the refresh token may be used up.
    in_doubt boolean not null default false,
    -- The one further try with a token in doubt has been claimed.
    last_step boolean not null default false,
    -- A refused sixth approval may have displaced this one; until a refresh tells.
    suspected_at timestamptz,
    primary key (account, generation)
);

create index grants_by_age on grants (issued_at) where retired_at is null;
create index grants_retired on grants (retired_at) where retired_at is not null;
create index grants_suspected on grants (suspected_at) where suspected_at is not null;

-- Every call within the dedupe horizon: narrow and unpartitioned, because one key must be unique
-- over all days. A call costs one insert and three or four updates here, so pages keep room for
-- the next version of a row (fillfactor): an update that changes no indexed column stays on its
-- page and touches no index. No index mentions state, attempt, outcome or terminal_at for this
-- reason; every index below is either over columns that never change or over a narrow predicate.
create table calls (
    account text collate "C" not null,
    interaction text collate "C" not null,
    shard smallint not null,
    state text not null,
    received_at timestamptz not null,
    -- Which partition of call_bodies holds its bodies: by the first event that came, until that
    -- day is dropped.
    call_day date not null,
    -- Events received, duplicates among them.
    events integer not null,

    -- The begin that stands.
    started_event text collate "C",
    started_time timestamptz,
    started_received_at timestamptz,
    lookup_deadline timestamptz,
    -- When the lookup lane is due; null when it is not.
    lookup_due_at timestamptz,
    looked_up boolean not null default false,
    lookup_generation bigint,

    -- When it was closed as a call whose end does not come. It stays ringing, so that an end which comes
    -- all the same is logged like any other.
    never_ended_at timestamptz,

    -- The end that stands.
    ended_event text collate "C",
    ended_time timestamptz,
    ended_received_at timestamptz,
    ended_at timestamptz,
    revision integer not null default 0,
    skip text,

    -- When the task lane is due; null while an attempt is open, and when nothing is to be done.
    task_due_at timestamptz,
    -- The open attempt.
    attempt bigint,
    attempts integer not null default 0,
    deferrals integer not null default 0,
    -- How often a replay revived it: part of the id of its next terminal event.
    replays integer not null default 0,
    -- Task fields that earlier attempts taught to leave out, as a JSON list; null for none.
    degraded jsonb,
    -- Its next request holds at most so many calls: it failed in a larger one.
    batch_limit integer,
    -- Where an earlier request may have made its Task, unseen: the org and its unique field.
    hidden jsonb,
    outcome jsonb,
    parked_reason text,
    dead_reason text,
    task text,
    terminal_at timestamptz,

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
) with (
    fillfactor = 70,
    -- By share of the table a fortnight of calls would gather millions of dead rows first.
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_analyze_scale_factor = 0.02,
    -- Insert-only stretches also want their visibility map.
    autovacuum_vacuum_insert_scale_factor = 0.05
);

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

-- The sealed bodies of a call. Partitioned by day and dropped by partition: deleting them row by
-- row would write as much again as storing them.
create table call_bodies (
    call_day date not null,
    account text collate "C" not null,
    interaction text collate "C" not null,
    -- started, ended or lookup
    kind text not null,
    body bytea not null,
    primary key (call_day, account, interaction, kind)
) partition by range (call_day);

-- Makes the partition of a day, if it is missing. The table is made apart and then attached,
-- because `create table … partition of` would lock out every reader of the parent, and attaching
-- does not.
create function ensure_body_partition(day date) returns void language plpgsql as $$
declare
    partition text := 'call_bodies_' || to_char(day, 'YYYYMMDD');
begin
    if to_regclass(partition) is not null then
        return;
    end if;
    -- One maker at a time, in every process.
    perform pg_advisory_xact_lock(hashtextextended('call_bodies', 0));
    begin
        execute format('create table %I (like call_bodies including all)', partition);
        execute format('alter table call_bodies attach partition %I for values from (%L) to (%L)',
                       partition, day, day + 1);
    exception
        -- Somebody else made it while this one waited for the lock.
        when duplicate_table or unique_violation then
            null;
    end;
end;
$$;

-- Where the bodies of calls go that outlive their day: dead letters, and what is parked for long.
select ensure_body_partition('0001-01-01');

-- One note per request part that writes at Salesforce, committed before the request.
create table attempts (
    attempt bigint generated always as identity primary key,
    account text collate "C" not null,
    interaction text collate "C" not null,
    shard smallint not null,
    org text collate "C" not null,
    generation bigint not null,
    mode jsonb not null,
    kind text not null,
    -- The Task that is adopted or updated.
    task text,
    revision integer not null,
    degraded jsonb,
    -- How many calls its request held.
    together integer not null,
    begun_at timestamptz not null,
    send_by timestamptz not null,
    look_at timestamptz not null,
    closed_at timestamptz,
    outcome jsonb,
    check (kind in ('create', 'adopt', 'update')),
    check ((kind = 'create') = (task is null))
) with (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 5000
);

-- At most one open attempt per call (the shard is the call's), and a new owner's first question.
create unique index attempts_open on attempts (shard, account, interaction)
    where closed_at is null;
-- At most one open change of a Task: of two calls dialled from one, a late request of the first must
-- not overwrite the key that the second has written.
create unique index attempts_open_by_task on attempts (org, task)
    where closed_at is null and task is not null;
create index attempts_by_call on attempts (account, interaction);

-- Who owns which shard. Heartbeats update these rows without end, so they are packed loosely and
-- vacuumed early: with a pinned horizon even 256 rows become thousands of dead versions.
create table leases (
    shard smallint primary key,
    epoch bigint not null default 0,
    owner text,
    expires_at timestamptz not null default now(),
    check (shard between 0 and 255)
) with (fillfactor = 25, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

insert into leases (shard) select generate_series(0, 255);

create table replicas (
    replica text collate "C" primary key,
    expires_at timestamptz not null
) with (fillfactor = 50);

-- The next offset of each partition: everything below it is stored.
create table offsets (
    topic text collate "C" not null,
    partition integer not null,
    next_offset bigint not null,
    primary key (topic, partition)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- Bytes that are no valid event, sealed, kept with the reason.
create table quarantine (
    topic text collate "C" not null,
    partition integer not null,
    kafka_offset bigint not null,
    received_at timestamptz not null,
    reason text not null,
    body bytea not null,
    -- When a person sent it to its topic again, and who.
    resent_at timestamptz,
    resent_by text,
    primary key (topic, partition, kafka_offset)
);

create index quarantine_by_time on quarantine (received_at);

-- Events to publish, written with what they tell of. A published row keeps its id for a while, so
-- that the same fact is not published twice, and loses its body.
create table outbox (
    position bigint generated always as identity primary key,
    id text collate "C" not null unique,
    shard smallint not null,
    topic text not null,
    -- Whose event it is, so that it moves with its account.
    account text collate "C",
    interaction text collate "C",
    body bytea,
    published_at timestamptz,
    check ((body is null) = (published_at is not null))
) with (
    fillfactor = 90,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 5000
);

create index outbox_unpublished on outbox (shard, position) where published_at is null;
create index outbox_unpublished_by_account on outbox (account) where published_at is null;
create index outbox_by_call on outbox (account, interaction) where interaction is not null;

-- Admins on their way to Salesforce and back. The id is a hash: what travels is known to the browser
-- alone.
create table authorizations (
    id text collate "C" primary key,
    account text collate "C" not null,
    -- Whose session began it.
    session text not null,
    stage text not null,
    begun_at timestamptz not null,
    expires_at timestamptz not null,
    -- The domain's Authorization, as JSON.
    facts jsonb not null,
    -- Sealed: what proves the code is ours, then the tokens; null once it is over.
    secret bytea,
    check (stage in ('begun', 'redeeming', 'redeemed', 'to_confirm', 'linked', 'failed'))
);

create index authorizations_open on authorizations (expires_at) where secret is not null;

-- Whoever began one follows it.
create index authorizations_session on authorizations (session, begun_at);

-- Logins by invitation wait for their account's admin.
create index authorizations_to_confirm on authorizations (account) where stage = 'to_confirm';

-- Links that let somebody link an account whom the portal does not know. The id is a hash: whoever
-- has the link has the secret.
create table invitations (
    id text collate "C" primary key,
    account text collate "C" not null,
    expires_at timestamptz not null,
    fate text not null,
    -- The domain's Invitation, as JSON.
    facts jsonb not null,
    check (fate in ('open', 'used', 'revoked'))
);

create index invitations_by_account on invitations (account, expires_at);
create index invitations_expired on invitations (expires_at);

-- Tokens of the portal that were taken, by a hash of their id: each is taken once.
create table entries (
    id text collate "C" primary key,
    expires_at timestamptz not null
);

create index entries_expired on entries (expires_at);

-- Every published change of a link: who, when, from what to what, and why. And what became of its
-- account's invitations.
create table link_history (
    account text collate "C" not null,
    -- Counts the account's lines.
    line bigint not null,
    -- The link's sequence since.
    sequence bigint not null,
    at timestamptz not null,
    actor jsonb not null,
    from_status text not null,
    from_health text not null,
    to_status text not null,
    to_health text not null,
    -- Why the link changed; of a step of an invitation, which changes nothing of it, null.
    reason text,
    step text,
    generation bigint not null,
    primary key (account, line),
    check ((reason is null) = (step is not null))
);

-- Who is told of an account's link.
create table contacts (
    account text collate "C" not null,
    contact text collate "C" not null,
    channel text not null,
    -- Sealed: where, and what webhooks are signed with.
    target bytea not null,
    -- Where, masked.
    shown text not null,
    added_at timestamptz not null,
    primary key (account, contact),
    check (channel in ('mail', 'webhook'))
);

-- Every change of them; the last version names their state.
create table contact_history (
    account text collate "C" not null,
    version bigint not null,
    at timestamptz not null,
    actor jsonb not null,
    event text not null,
    channel text not null,
    shown text not null,
    primary key (account, version)
);

-- Accounts whose link stands otherwise than before, written with the link: what is told of it is
-- decided once it has stood so for a while.
create table link_watch (
    account text collate "C" primary key,
    changes bigint not null,
    changed_at timestamptz not null,
    -- The change about which was decided last.
    decided bigint not null default 0,
    -- Enough was told lately: not looked at before then.
    held_until timestamptz,
    -- What the contacts were told last: the domain's Told, as JSON.
    told jsonb
);

create index link_watch_open on link_watch (changed_at) where decided < changes;

-- What contacts are told, each its own row. It holds nothing of a person.
create table notices (
    notice text collate "C" primary key,
    account text collate "C" not null,
    contact text collate "C" not null,
    -- The domain's Notice, as JSON.
    facts jsonb not null,
    -- Which change of the link it tells; null for a test.
    change bigint,
    made_at timestamptz not null,
    state text not null default 'waiting',
    -- When it is to be sent; null once it is over.
    due_at timestamptz,
    claimed_until timestamptz,
    attempts integer not null default 0,
    -- Why it did not arrive: the domain's DeliveryFault, as JSON.
    fault jsonb,
    ended_at timestamptz,
    check (state in ('waiting', 'sent', 'given_up')),
    check ((state = 'waiting') = (due_at is not null))
);

create index notices_due on notices (due_at) where state = 'waiting';
create index notices_by_contact on notices (account, contact, made_at);
create index notices_over on notices (ended_at) where ended_at is not null;

-- Every replay: who, when, which calls, and what came of it.
create table replays (
    replay bigint generated always as identity primary key,
    actor text not null,
    begun_at timestamptz not null default now(),
    -- Null while it runs, and for ever where it was interrupted.
    ended_at timestamptz,
    -- Which calls, in words.
    filter text not null,
    sent bigint not null default 0,
    looked_for bigint not null default 0,
    left_alone bigint not null default 0
);

-- What operators paused, now and before. A pause is in force while it is not ended and its time is
-- not over.
create table pauses (
    pause bigint generated always as identity primary key,
    -- account, org or all; and which one.
    scope text not null,
    subject text collate "C" not null,
    -- lookup or task
    lane text not null,
    reason text not null,
    by text not null,
    since timestamptz not null default now(),
    until timestamptz,
    ended_at timestamptz,
    ended_by text,
    check (scope in ('account', 'org', 'all')),
    check (lane in ('lookup', 'task')),
    check ((ended_at is null) = (ended_by is null))
);

create unique index pauses_open on pauses (scope, subject, lane) where ended_at is null;

-- What was erased at somebody's wish, and by whom: no number, as that was the wish.
create table erasures (
    erasure bigint generated always as identity primary key,
    at timestamptz not null,
    by_whom text not null,
    subject text not null,
    account text collate "C",
    calls integer not null,
    kept integer not null,
    records integer not null,
    check (subject in ('number', 'account')),
    check ((subject = 'account') = (account is not null))
);

-- Whose past this database has: the server that it was last recognised on, and whether it came back
-- from an earlier time. One row, once it is recognised for the first time.
create table lineage (
    only_row boolean primary key default true check (only_row),
    system text not null,
    timeline bigint not null,
    started text not null,
    synchronous boolean not null,
    recovering_since timestamptz,
    recovering_reason text,
    -- Calls that ended before this may have been sent in a past that is lost.
    recovered_at timestamptz,
    -- Moved on by workers all the time, and noted in Kafka: a lower one than there went back in time.
    mark bigint not null default 0,
    check ((recovering_since is null) = (recovering_reason is null))
);

-- How far Kafka may know a partition to be read without that meaning anything: its offset here was
-- moved on purpose, or is known to be lost.
create table offset_marks (
    topic text collate "C" not null,
    partition integer not null,
    mark bigint not null,
    primary key (topic, partition)
);
