-- The inner machinery: reading limits, moving money, moving a run, keeping leases. Not callable from outside.

create function onetake.limit_value(p_key text, p_overrides jsonb default '{}') returns bigint
language sql stable set search_path = '' as $$
    select coalesce((p_overrides ->> p_key)::bigint, (select value::text::bigint from onetake.limits where key = p_key));
$$;

-- A run as callers see it: the whole row but the token, and the database's clock, the only one that decides.
create function onetake.run_json(r onetake.runs) returns jsonb
language sql volatile set search_path = '' as $$
    select to_jsonb(r) - 'token' || jsonb_build_object('read_at', clock_timestamp());
$$;

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

-- Books a text model's cost: spent, on the run's own day, past every limit (cents).
create function onetake.book_text(p_run_id uuid, p_cost_microusd bigint) returns void
language plpgsql set search_path = '' as $$
declare r onetake.runs;
begin
    if coalesce(p_cost_microusd, 0) <= 0 then return; end if;
    update onetake.runs set text_microusd = text_microusd + p_cost_microusd where run_id = p_run_id returning * into r;
    perform onetake.move_budgets(r.day, r.month, 0, p_cost_microusd);
end $$;

-- Gives a lease back. If the same user has another unfinished take of the same prompt, the lease is handed to it.
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

-- Moves a run to a state, stamps it, and puts its whole price into the pocket where that state keeps it: 'held',
-- 'spent' or 'released'. The caller has locked the row and decided; the trigger on runs has the last word. Progress
-- clears the attempts and every waiting mark. One UPDATE: each one writes to every index of the row.
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
        held_back_since = case when p_to = 'approved' then held_back_since end,
        held_back_by    = case when p_to = 'approved' then held_back_by end,
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

-- Locks a run's user and then the run: every function that moves a run begins here, so the lock order is one
-- (user, run, lease, budget). Null if there is no such run.
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

-- The breaker after news from the provider. kind: 'answer' or 'render'; good: it worked.
create function onetake.tell_breaker(p_run_id uuid, p_kind text, p_good boolean) returns void
language plpgsql set search_path = '' as $$
declare
    b onetake.breakers;
    v_now timestamptz := clock_timestamp();
begin
    select * into b from onetake.breakers where scope = 'all';
    if p_good and b.open_until is null and b.failed_answers = 0 and b.failed_renders = 0 then
        return;                                       -- nothing to clear: no lock on the one row that all runs share
    end if;
    select * into b from onetake.breakers where scope = 'all' for update;
    if p_kind = 'answer' then
        b.failed_answers := case when p_good then 0 else b.failed_answers + 1 end;
    else
        b.failed_renders := case when p_good then 0 else b.failed_renders + 1 end;
    end if;
    if b.probe_run_id = p_run_id and p_kind = 'answer' and p_good then
        b.open_until := null; b.cause := null; b.probe_run_id := null; b.probe_at := null; b.failed_renders := 0;
    elsif not p_good and (b.probe_run_id = p_run_id
            or greatest(b.failed_answers, b.failed_renders) >= onetake.limit_value('breaker_failures')) then
        b.open_until := v_now + make_interval(secs => onetake.limit_value('breaker_open_seconds'));
        b.cause := 'failures'; b.probe_run_id := null; b.probe_at := null;
    end if;
    update onetake.breakers set open_until = b.open_until, cause = b.cause, failed_answers = b.failed_answers,
            failed_renders = b.failed_renders, probe_run_id = b.probe_run_id, probe_at = b.probe_at
        where scope = 'all';
end $$;

-- Until when a breaker refuses; null if it lets this run through (closed, or half open with its one place free).
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
