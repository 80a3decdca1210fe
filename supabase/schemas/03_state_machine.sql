-- States, money and leases: the inner functions that every other file uses. No caller reaches them directly.

-- The allowed moves (the table of states in docs/design.md) as rows: the trigger below and a test read them.
create table onetake.moves (
    from_state text not null,
    to_state   text not null,
    why        text not null,
    primary key (from_state, to_state)
);

insert into onetake.moves (from_state, to_state, why) values
    ('reserved',   'approved',   'the prompt passed'),
    ('reserved',   'rejected',   'the prompt was refused'),
    ('reserved',   'canceled',   'its user took it back'),
    ('reserved',   'failed',     'the text model could not be asked, or five attempts came to nothing'),
    ('approved',   'submitting', 'the fence: from here we may have paid'),
    ('approved',   'canceled',   'its user took it back, or never confirmed'),
    ('approved',   'failed',     'held back too long, or five attempts came to nothing'),
    ('submitting', 'rendering',  'the provider answered with a job'),
    ('submitting', 'failed',     'a clear no, or never sent'),
    ('submitting', 'uncertain',  'the answer was lost'),
    ('uncertain',  'rendering',  'found: by a late answer, in the provider''s list, or by a person'),
    ('uncertain',  'failed',     'proved never made, or settled by a person'),
    ('rendering',  'saved',      'the clip is ours'),
    ('rendering',  'failed',     'the provider says it failed, or settled by a person'),
    ('rendering',  'uncertain',  'its adopted job turned out to belong to another run'),
    ('saved',      'delivered',  'the user has it'),
    ('failed',     'rendering',  'late adoption: the job turned up after all'),
    ('failed',     'uncertain',  'a person took "not charged" back');

-- Rejects every change of state that is not in onetake.moves.
create function onetake.guard_moves() returns trigger
language plpgsql set search_path = '' as $$
begin
    if tg_op = 'INSERT' then
        if new.state <> 'reserved' then
            raise exception 'a run begins as reserved, not as %', new.state using errcode = 'LG001';
        end if;
    elsif new.state <> old.state and not exists (
        select from onetake.moves m where m.from_state = old.state and m.to_state = new.state
    ) then
        raise exception 'run % cannot go from % to %', old.ref, old.state, new.state using errcode = 'LG001';
    end if;
    return new;
end $$;

create trigger guard_moves before insert or update on onetake.runs
    for each row execute function onetake.guard_moves();

-- Makes a change of state durable before anybody acts on it, whatever the session, role or database is set to. With
-- synchronous_commit off, a server that crashes after the fence could lose it, and another worker would buy again.
-- (`remote_apply` and the like are stricter than `on`, and stay.)
create function onetake.durable() returns trigger
language plpgsql set search_path = '' as $$
begin
    if current_setting('synchronous_commit') in ('off', 'local') then
        perform set_config('synchronous_commit', 'on', true);
    end if;
    return null;
end $$;

create trigger runs_are_durable before insert or update of state on onetake.runs
    for each statement execute function onetake.durable();

-- A run with a different job has not seen that job yet.
create function onetake.forget_seen() returns trigger
language plpgsql set search_path = '' as $$
begin
    new.job_seen_at := null;
    return new;
end $$;

create trigger forget_seen before update of job_id on onetake.runs
    for each row when (old.job_id is distinct from new.job_id) execute function onetake.forget_seen();

-- A run with a different job does not know that it was completed, or what it cost.
create function onetake.forget_done() returns trigger
language plpgsql set search_path = '' as $$
begin
    if new.job_id is distinct from old.job_id then new.done_seen_at := null; new.charged_microusd := null; end if;
    return new;
end $$;

create trigger forget_done before update on onetake.runs for each row execute function onetake.forget_done();

-- A limit as a number: the user's own value, else the one for everybody.
create function onetake.limit_value(p_key text, p_overrides jsonb default '{}') returns bigint
language sql stable set search_path = '' as $$
    select coalesce((p_overrides ->> p_key)::bigint, (select value::text::bigint from onetake.limits where key = p_key));
$$;

-- A run as callers see it: the whole row without the token, plus the database's time, the only clock for decisions.
create function onetake.run_json(r onetake.runs) returns jsonb
language sql volatile set search_path = '' as $$
    select to_jsonb(r) - 'token' || jsonb_build_object('read_at', clock_timestamp());
$$;

-- Adds an event. A repeated call with the same call_id replaces its event: it is still one request.
create function onetake.note(
    p_run_id uuid, p_user_id text, p_step text, p_outcome text, p_detail jsonb default '{}',
    p_ms integer default null, p_cost_microusd bigint default 0, p_saved_microusd bigint default 0, p_call_id uuid default null
) returns void
language sql volatile set search_path = '' as $$
    insert into onetake.events (run_id, user_id, step, outcome, detail, ms, cost_microusd, saved_microusd, call_id)
    values (p_run_id, p_user_id, p_step, p_outcome, coalesce(p_detail, '{}'), p_ms, p_cost_microusd, p_saved_microusd, p_call_id)
    -- The same call asked again, its first answer lost, may be decided otherwise: it is still one request.
    on conflict (call_id) do update set run_id = excluded.run_id, outcome = excluded.outcome, detail = excluded.detail,
        saved_microusd = excluded.saved_microusd;
$$;

-- Changes the two budgets of a run's own day and month, always in this order.
create function onetake.move_budgets(p_day date, p_month text, p_held bigint, p_spent bigint) returns void
language plpgsql set search_path = '' as $$
begin
    if p_held = 0 and p_spent = 0 then return; end if;
    insert into onetake.budgets (period) values (p_day::text), (p_month) on conflict do nothing;
    update onetake.budgets set held_microusd = held_microusd + p_held, spent_microusd = spent_microusd + p_spent
        where period = p_day::text;
    update onetake.budgets set held_microusd = held_microusd + p_held, spent_microusd = spent_microusd + p_spent
        where period = p_month;
end $$;

-- Books the cost of a text model call as spent, on the run's own day, even beyond every limit (cents).
create function onetake.book_text(p_run_id uuid, p_cost_microusd bigint) returns void
language plpgsql set search_path = '' as $$
declare r onetake.runs;
begin
    if coalesce(p_cost_microusd, 0) <= 0 then return; end if;
    update onetake.runs set text_microusd = text_microusd + p_cost_microusd where run_id = p_run_id returning * into r;
    perform onetake.move_budgets(r.day, r.month, 0, p_cost_microusd);
end $$;

-- Releases a lease, or passes it to another unfinished run of the same user and prompt.
create function onetake.free_lease(r onetake.runs) returns void
language plpgsql set search_path = '' as $$
declare v_other onetake.runs;
begin
    if not exists (select from onetake.leases l where l.user_id = r.user_id and l.prompt_hash = r.prompt_hash
                   and l.run_id = r.run_id) then
        return;
    end if;
    select * into v_other from onetake.runs o
        where o.user_id = r.user_id and o.prompt_hash = r.prompt_hash and o.run_id <> r.run_id
          and o.state not in ('rejected', 'canceled', 'failed')
        order by o.reserved_at desc limit 1;
    if found then
        update onetake.leases set run_id = v_other.run_id,
                expires_at = v_other.reserved_at + make_interval(secs => onetake.limit_value('duplicate_window_seconds'))
            where user_id = r.user_id and prompt_hash = r.prompt_hash and run_id = r.run_id;
    else
        delete from onetake.leases where user_id = r.user_id and prompt_hash = r.prompt_hash and run_id = r.run_id;
    end if;
end $$;

-- Moves a run to a state, sets the state's time, and puts the run's whole price into that state's pocket: 'held',
-- 'spent' or 'released'. The caller has locked the row and decided; the trigger on runs may still reject the move.
-- Progress clears the attempts and every waiting mark. One UPDATE: each one writes to every index of the row.
create function onetake.move(p_run_id uuid, p_to text, p_pocket text) returns onetake.runs
language plpgsql set search_path = '' as $$
declare
    o onetake.runs;
    r onetake.runs;
    v_now timestamptz := clock_timestamp();
begin
    select * into strict o from onetake.runs where run_id = p_run_id;
    if o.state = p_to then
        raise exception 'run % is % already', o.ref, p_to using errcode = 'LG001';
    end if;
    update onetake.runs set
        state = p_to, state_since = v_now, attempts = 0, next_look_at = null, parked_at = null,
        held_microusd     = case p_pocket when 'held' then price_microusd else 0 end,
        spent_microusd    = case p_pocket when 'spent' then price_microusd else 0 end,
        released_microusd = case when p_pocket in ('held', 'spent') then 0 else price_microusd end,
        deferred_since = case when p_to = 'approved' then deferred_since end,
        deferred_by    = case when p_to = 'approved' then deferred_by end,
        approved_at   = case p_to when 'approved'   then v_now else approved_at end,
        submitting_at = case p_to when 'submitting' then v_now else submitting_at end,
        uncertain_at  = case p_to when 'uncertain'  then v_now else uncertain_at end,
        rendering_at  = case p_to when 'rendering'  then v_now else rendering_at end,
        saved_at      = case p_to when 'saved'      then v_now else saved_at end,
        delivered_at  = case p_to when 'delivered'  then v_now else delivered_at end,
        rejected_at   = case p_to when 'rejected'   then v_now else rejected_at end,
        canceled_at   = case p_to when 'canceled'   then v_now else canceled_at end,
        failed_at     = case p_to when 'failed'     then v_now else failed_at end
    where run_id = p_run_id returning * into strict r;
    if p_to in ('rejected', 'canceled', 'failed') then
        perform onetake.free_lease(r);
    end if;
    perform onetake.move_budgets(r.day, r.month, r.held_microusd - o.held_microusd, r.spent_microusd - o.spent_microusd);
    return r;
end $$;

-- Locks a run's user, then the run. Every function that moves a run begins here, so there is one lock order: user, run,
-- lease, budget. Null if there is no such run.
create function onetake.lock_run(p_run_id uuid) returns onetake.runs
language plpgsql set search_path = '' as $$
declare
    v_user text;
    r onetake.runs;
begin
    select user_id into v_user from onetake.runs where run_id = p_run_id;
    if not found then return null; end if;
    perform from onetake.users where user_id = v_user for update;
    select * into r from onetake.runs where run_id = p_run_id for update;
    return r;
end $$;

-- Locks a run and the present owner of a job: the users first, each kind in the order of its id.
create function onetake.lock_two(p_run_id uuid, p_other uuid) returns void
language plpgsql set search_path = '' as $$
begin
    perform from onetake.users where user_id in (select user_id from onetake.runs where run_id in (p_run_id, p_other))
        order by user_id for update;
    perform from onetake.runs where run_id in (p_run_id, p_other) order by run_id for update;
end $$;

-- Counts an outcome at the provider. p_kind: 'answer' or 'render'. A series of failures opens the breaker for
-- everybody, or, if one user had all of them and that user's prompts may be the cause, for that user only.
create function onetake.feed_breaker(p_run_id uuid, p_kind text, p_good boolean) returns void
language plpgsql set search_path = '' as $$
declare
    b onetake.breakers;
    v_now timestamptz := clock_timestamp();
    v_until timestamptz := v_now + make_interval(secs => onetake.limit_value('breaker_open_seconds'));
    v_before integer;
    v_of text;
begin
    select * into b from onetake.breakers where scope = 'all';
    if p_good and b.open_until is null and b.failed_answers = 0 and b.failed_renders = 0 then
        return;                                       -- nothing to clear: no lock on the one row that all runs share
    end if;
    select * into b from onetake.breakers where scope = 'all' for update;
    v_before := case p_kind when 'answer' then b.failed_answers else b.failed_renders end;
    if not p_good then
        select user_id into v_of from onetake.runs where run_id = p_run_id and not (p_kind = 'answer' and state = 'failed'
            and reason in ('unauthorized', 'no_credit', 'not_found', 'rate_limited', 'never_connected'));
        if v_before > 0 and v_of is distinct from (case p_kind when 'answer' then b.answers_failed_of else b.renders_failed_of end) then
            -- Those of one user alone bring nobody else nearer to the end: from here on they count as one.
            if (case p_kind when 'answer' then b.answers_failed_of else b.renders_failed_of end) is not null then v_before := 1; end if;
            v_of := null;
        end if;
    end if;
    if v_of is not null and v_before + 1 >= onetake.limit_value('breaker_failures') then
        insert into onetake.breakers (scope, open_until, cause) values ('user:' || v_of, v_until, 'failures')
            on conflict (scope) do update set open_until = excluded.open_until, cause = excluded.cause;
        v_before := -1;                               -- they are dealt with: the next failure is the first
    end if;
    if p_kind = 'answer' then
        b.failed_answers := case when p_good then 0 else v_before + 1 end;
        b.answers_failed_of := v_of;
    else
        b.failed_renders := case when p_good then 0 else v_before + 1 end;
        b.renders_failed_of := v_of;
    end if;
    if b.probe_run_id = p_run_id and p_kind = 'answer' and p_good then
        b.open_until := null; b.cause := null; b.probe_run_id := null; b.probe_at := null; b.failed_renders := 0;
    elsif not p_good and v_of is null and (b.probe_run_id = p_run_id
            or greatest(b.failed_answers, b.failed_renders) >= onetake.limit_value('breaker_failures')) then
        b.open_until := v_until;
        b.cause := 'failures'; b.probe_run_id := null; b.probe_at := null;
    elsif not p_good and b.probe_run_id = p_run_id then    -- one user's probe failed: the next one may try
        b.probe_run_id := null; b.probe_at := null;
    end if;
    update onetake.breakers set open_until = b.open_until, cause = b.cause, failed_answers = b.failed_answers,
            failed_renders = b.failed_renders, probe_run_id = b.probe_run_id, probe_at = b.probe_at,
            answers_failed_of = b.answers_failed_of, renders_failed_of = b.renders_failed_of
        where scope = 'all';
end $$;

-- Until when a breaker refuses; null if it lets this run through (closed, or half open with its one probe free).
create function onetake.breaker_until(p_scope text, p_run_id uuid) returns timestamptz
language plpgsql set search_path = '' as $$
declare
    b onetake.breakers;
    v_now timestamptz := clock_timestamp();
    v_probe_until timestamptz;
begin
    select * into b from onetake.breakers where scope = p_scope;
    if not found or b.open_until is null then return null; end if;
    if b.open_until > v_now then return b.open_until; end if;
    v_probe_until := b.probe_at + make_interval(secs => onetake.limit_value('breaker_open_seconds'));
    if b.probe_run_id is not null and b.probe_run_id is distinct from p_run_id and v_probe_until > v_now then
        return v_probe_until;
    end if;
    return null;
end $$;

-- Records a change of a control: who, when, before and after.
create function onetake.record_change(p_who text, p_key text, p_before jsonb, p_after jsonb) returns void
language sql volatile set search_path = '' as $$
    insert into onetake.limit_changes (who, key, before, after) values (p_who, p_key, p_before, p_after);
$$;

-- Raises an alert; the same key is raised once.
create function onetake.raise_alert(p_key text, p_kind text, p_detail jsonb) returns void
language sql set search_path = '' as $$
    insert into onetake.alerts (key, kind, detail) values (p_key, p_kind, p_detail) on conflict do nothing;
$$;
