-- Folds a batch of calls into those stored: domain::call::Call::fold, for many calls at once.
-- What changed is told by what carries this transaction's now().
insert into calls (account, interaction, shard, state, received_at, call_day, events,
    started_event, started_time, started_received_at, lookup_deadline, lookup_due_at,
    ended_event, ended_time, ended_received_at, ended_at, revision, skip, task_due_at)
select account, interaction, shard,
    case when ended_event is null then 'ringing' else 'ready' end, now(), call_day, events,
    started_event, started_time, case when started_event is not null then now() end,
    lookup_deadline, case when lookup_deadline is not null then now() end,
    ended_event, ended_time, case when ended_event is not null then now() end,
    ended_at, revision, skip, case when ended_event is not null then now() end
from unnest($1::text[], $2::text[], $3::smallint[], $4::date[], $5::integer[],
    $6::text[], $7::timestamptz[], $8::timestamptz[],
    $9::text[], $10::timestamptz[], $11::timestamptz[], $12::integer[], $13::text[])
    as batch (account, interaction, shard, call_day, events,
        started_event, started_time, lookup_deadline,
        ended_event, ended_time, ended_at, revision, skip)
on conflict (account, interaction) do update set
    (events, shard,
     started_event, started_time, started_received_at, lookup_deadline, lookup_due_at,
     ended_event, ended_time, ended_received_at, ended_at, revision, skip,
     deferrals, state, task_due_at, attempts, dead_reason, terminal_at) = (
        select calls.events + excluded.events, excluded.shard,
            case when begin_stands then excluded.started_event else calls.started_event end,
            case when begin_stands then excluded.started_time else calls.started_time end,
            case when begin_stands then now() else calls.started_received_at end,
            case when begin_stands then excluded.lookup_deadline else calls.lookup_deadline end,
            -- The first begin asks for an answer, if only for the one that is stored; one that
            -- takes its place later does not again.
            case when calls.started_event is null
                then excluded.lookup_due_at else calls.lookup_due_at end,
            case when end_stands then excluded.ended_event else calls.ended_event end,
            case when end_stands then excluded.ended_time else calls.ended_time end,
            case when end_stands then now() else calls.ended_received_at end,
            case when end_stands then excluded.ended_at else calls.ended_at end,
            case when end_stands then excluded.revision else calls.revision end,
            case when end_stands then excluded.skip else calls.skip end,
            case when is_later then 0 else calls.deferrals end,
            case when makes_due then 'ready' else calls.state end,
            case when makes_due then now() else calls.task_due_at end,
            case when makes_due then 0 else calls.attempts end,
            case when makes_due then null else calls.dead_reason end,
            case when makes_due then null else calls.terminal_at end
        from
            (select
                -- Of two begins the earlier stands.
                excluded.started_event is not null and (calls.started_event is null
                    or (excluded.started_time, excluded.started_event)
                        < (calls.started_time, calls.started_event)) as begin_stands,
                -- Of two ends the higher revision; within one revision the earlier.
                excluded.ended_event is not null and (calls.ended_event is null
                    or excluded.revision > calls.revision
                    or (excluded.revision = calls.revision
                        and (excluded.ended_time, excluded.ended_event)
                            < (calls.ended_time, calls.ended_event))) as end_stands,
                excluded.ended_event is not null and calls.ended_event is null as is_first,
                excluded.ended_event is not null and calls.ended_event is not null
                    and excluded.revision > calls.revision as is_later,
                -- WorkRow::is_final: it ended unlogged as too old, or may have a Task already.
                (calls.state = 'skipped' and calls.task is null
                    and calls.outcome ->> 'reason' = 'too_old')
                or (calls.state = 'dead' and calls.dead_reason
                    in ('unknown', 'unresolved_in_previous_org')) as is_final) as judged,
            lateral (select
                -- A later revision of an open call waits for what is open, and goes with it.
                is_first or (is_later and calls.terminal_at is not null and not is_final)
                    as makes_due) as decided)
returning account, interaction, shard, call_day, xmax = 0 as is_new,
    case when started_received_at = now() then started_event end as begun_by,
    case when ended_received_at = now() then ended_event end as ended_by,
    task_due_at, lookup_due_at, lookup_deadline, looked_up, ended_at, revision, skip, attempts,
    degraded::text, batch_limit, hidden::text
