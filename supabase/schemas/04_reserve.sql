-- Reserving a run: every limit is decided here, in one transaction under the user's mutex.

-- A refusal as JSON. `what` says of the run in the way that it waits for its own user's tap (waiting for it would not
-- help), or, of a duplicate, that it is unfinished.
create function onetake.refusal(
    p_kind text, p_until timestamptz default null, p_of onetake.runs default null, p_reason text default null, p_what text default null
) returns jsonb
language sql stable set search_path = '' as $$
    select jsonb_build_object('kind', p_kind, 'until', p_until, 'of_run_id', (p_of).run_id, 'of_ref', (p_of).ref,
        'reason', p_reason, 'what', case
            when p_kind in ('busy', 'duplicate') and (p_of).state = 'approved' and (p_of).needs_confirmation
                and (p_of).confirmed_at is null then 'waits_for_tap'
            when p_kind = 'duplicate' and (p_of).state in ('reserved', 'approved', 'submitting', 'uncertain', 'rendering')
                then 'unfinished'
            else p_what end);
$$;

-- A new ref: six characters without 0, 1, 8 and 9, not in use.
create function onetake.new_ref() returns text
language plpgsql volatile set search_path = '' as $$
declare
    v_bytes bytea;
    v_ref text;
begin
    loop
        v_bytes := uuid_send(gen_random_uuid());      -- bytes 6 and 8 carry the uuid's version; the others are random
        select string_agg(substr('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', get_byte(v_bytes, i) % 32 + 1, 1), '')
            into v_ref from generate_series(0, 5) as i;
        exit when not exists (select from onetake.runs where ref = v_ref);
    end loop;
    return v_ref;
end $$;

-- Whether the rollout lets this user in.
create function onetake.is_invited(u onetake.users) returns boolean
language sql stable set search_path = '' as $$
    select case (select value #>> '{}' from onetake.limits where key = 'rollout')
        when 'all' then true
        when 'percent' then u.invited or
            (get_byte(sha256(convert_to(u.user_id, 'UTF8')), 0) * 256
             + get_byte(sha256(convert_to(u.user_id, 'UTF8')), 1)) % 100 < onetake.limit_value('rollout_percent')
        else u.invited end;
$$;

-- Whether a run in this state keeps its user busy. A parked run does not.
create function onetake.is_active(p_state text, p_parked_at timestamptz) returns boolean
language sql immutable set search_path = '' as $$
    select p_state in ('reserved', 'approved', 'submitting') or (p_state in ('uncertain', 'rendering') and p_parked_at is null);
$$;

-- The first limit that refuses this request, in a fixed order; null if none does. `what` of an open breaker: 'user' if it
-- is this user's own.
create function onetake.first_refusal(u onetake.users, p_prompt_hash text, p_again boolean, p_now timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
declare
    v_control onetake.control;
    v_until timestamptz;
    v_own timestamptz;
    v_of onetake.runs;
    v_lease_until timestamptz;
    v_tomorrow timestamptz := (date_trunc('day', p_now at time zone 'UTC') + interval '1 day') at time zone 'UTC';
    v_today date := (p_now at time zone 'UTC')::date;
begin
    if u.blocked then return onetake.refusal('blocked', p_reason => u.blocked_reason); end if;
    if not onetake.is_invited(u) then return onetake.refusal('not_invited'); end if;

    select * into v_control from onetake.control;
    if v_control.paused then return onetake.refusal('paused', p_reason => v_control.pause_reason); end if;

    v_until := onetake.breaker_until('all', null);
    v_own := onetake.breaker_until('user:' || u.user_id, null);
    if coalesce(v_until, v_own) is not null then
        return onetake.refusal('breaker_open', greatest(v_until, v_own), p_what => case when v_until is null then 'user' end);
    end if;

    if not p_again then
        -- The lease's run while the lease holds, and any other unfinished take: an older one may outlive the lease.
        select r.* into v_of from onetake.runs r left join onetake.leases l using (run_id)
            where r.user_id = u.user_id and r.prompt_hash = p_prompt_hash
              and (l.expires_at > p_now
                   or r.state in ('reserved', 'approved', 'submitting', 'uncertain', 'rendering')
                   -- A terminal that has gone never hears of its clip: it must not hold the prompt for ever.
                   or (r.state = 'saved' and r.audience ->> 'kind' <> 'terminal'))
            order by l.expires_at desc nulls last, r.reserved_at desc limit 1;
        if found then
            select expires_at into v_lease_until from onetake.leases
                where user_id = u.user_id and prompt_hash = p_prompt_hash;
            return onetake.refusal('duplicate', nullif(greatest(v_lease_until, p_now), p_now), v_of);
        end if;
    end if;

    if (select count(*) from onetake.runs r where r.user_id = u.user_id and onetake.is_active(r.state, r.parked_at))
       >= onetake.limit_value('active_runs_per_user', u.limits) then
        select * into v_of from onetake.runs r where r.user_id = u.user_id and onetake.is_active(r.state, r.parked_at)
            order by r.reserved_at desc limit 1;
        return onetake.refusal('busy', null, v_of);
    end if;

    -- A rejected prompt does not slow its user down: its safe rewrite can be tapped at once. Nor does one that was set
    -- aside to be written anew.
    select max(r.reserved_at) + make_interval(secs => onetake.limit_value('cooldown_seconds', u.limits)) into v_until
        from onetake.runs r where r.user_id = u.user_id and r.state <> 'rejected' and r.reason is distinct from 'edited';
    if v_until > p_now then return onetake.refusal('cooldown', v_until); end if;

    if (select count(*) from onetake.runs r where r.user_id = u.user_id and r.day = v_today
            and (r.state not in ('rejected', 'canceled', 'failed') or r.spent_microusd > 0))
       >= onetake.limit_value('videos_per_user_day', u.limits) then
        return onetake.refusal('daily_limit', v_tomorrow, p_what => 'videos');
    end if;
    -- Both had the text model asked, and nothing came of it.
    if (select count(*) from onetake.runs r where r.user_id = u.user_id and r.day = v_today
            and (r.state = 'rejected' or (r.state = 'canceled' and r.reason = 'edited')
                 or (r.state = 'failed' and r.reason = 'prompt_refused')))    -- the provider refused it, not the text model
       >= onetake.limit_value('rejected_per_user_day', u.limits) then
        return onetake.refusal('daily_limit', v_tomorrow, p_what => 'rejected_prompts');
    end if;
    -- So did these: nothing was charged, but each prompt was checked. Those set aside by Edit are counted above.
    if (select count(*) from onetake.runs r where r.user_id = u.user_id and r.day = v_today
            and r.state = 'canceled' and r.reason is distinct from 'edited')
       >= onetake.limit_value('canceled_per_user_day', u.limits) then
        return onetake.refusal('daily_limit', v_tomorrow, p_what => 'canceled_drafts');
    end if;
    return null;
end $$;

-- Sets the money aside in the day's and the month's budget, or says which one is exhausted and until when.
create function onetake.take_budget(p_price bigint, p_now timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
declare
    v_utc timestamp := p_now at time zone 'UTC';
    v_day text := v_utc::date::text;
    v_month text := to_char(v_utc, 'YYYY-MM');
begin
    insert into onetake.budgets (period) values (v_day), (v_month) on conflict do nothing;
    update onetake.budgets set held_microusd = held_microusd + p_price
        where period = v_day and held_microusd + spent_microusd + p_price <= onetake.limit_value('budget_day_microusd');
    if not found then
        return onetake.refusal('budget_exhausted', (date_trunc('day', v_utc) + interval '1 day') at time zone 'UTC', p_what => 'day');
    end if;
    update onetake.budgets set held_microusd = held_microusd + p_price
        where period = v_month and held_microusd + spent_microusd + p_price <= onetake.limit_value('budget_month_microusd');
    if not found then
        update onetake.budgets set held_microusd = held_microusd - p_price where period = v_day;
        return onetake.refusal('budget_exhausted', (date_trunc('month', v_utc) + interval '1 month') at time zone 'UTC', p_what => 'month');
    end if;
    return null;
end $$;

-- Which budget of a run's own day and month lacks room for p_more, read under their locks; null: there is room.
create function onetake.room_in_budgets(p_day date, p_month text, p_more bigint) returns jsonb
language plpgsql set search_path = '' as $$
declare b onetake.budgets;
begin
    select * into b from onetake.budgets where period = p_day::text for update;
    if b.held_microusd + b.spent_microusd + p_more > onetake.limit_value('budget_day_microusd') then
        return onetake.refusal('budget_exhausted', (p_day + 1)::timestamp at time zone 'UTC', p_what => 'day');
    end if;
    select * into b from onetake.budgets where period = p_month for update;
    if b.held_microusd + b.spent_microusd + p_more > onetake.limit_value('budget_month_microusd') then
        return onetake.refusal('budget_exhausted',
            (date_trunc('month', p_day::timestamp) + interval '1 month') at time zone 'UTC', p_what => 'month');
    end if;
    return null;
end $$;

-- The answer for a known key: its run, or a mismatch.
create function onetake.replay(p_key text, p_request_hash text, p_call_id uuid) returns jsonb
language plpgsql set search_path = '' as $$
declare r onetake.runs;
begin
    select * into r from onetake.runs where request_key = p_key;
    if not found then return null; end if;
    if r.request_hash <> p_request_hash then
        perform onetake.note(null, r.user_id, 'check_limits', 'idempotency_mismatch',
                             jsonb_build_object('of', r.ref), p_call_id => p_call_id);
        return onetake.refusal('idempotency_mismatch', p_of => r);
    end if;
    if r.call_id <> p_call_id then
        perform onetake.note(r.run_id, r.user_id, 'check_limits', 'replayed',
                             p_saved_microusd => r.price_microusd, p_call_id => p_call_id);
    end if;
    return jsonb_build_object('kind', 'accepted', 'replayed', r.call_id <> p_call_id, 'run', onetake.run_json(r));
end $$;

-- Reserves a run. Answers {kind: 'accepted', replayed, run} or {kind: <refusal>, until, of_run_id, of_ref, reason, what}.
create function public.reserve(
    p_key text, p_call_id uuid, p_request_hash text, p_user_id text, p_audience jsonb, p_language text,
    p_prompt text, p_prompt_hash text, p_model text, p_seconds integer, p_size text, p_create_body text,
    p_price_microusd bigint, p_bills_failed boolean, p_base_url text, p_key_fingerprint text,
    p_confirm boolean default false, p_again boolean default false, p_provider text default 'openai',
    p_input jsonb default '{}', p_callback_url text default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    u onetake.users;
    r onetake.runs;
    v_now timestamptz;
    v_answer jsonb;
begin
    insert into onetake.users (user_id) values (p_user_id)
        on conflict (user_id) do update set version = onetake.users.version + 1
        returning * into u;
    v_now := clock_timestamp();

    v_answer := onetake.replay(p_key, p_request_hash, p_call_id);
    if v_answer is not null then return v_answer; end if;

    v_answer := onetake.first_refusal(u, p_prompt_hash, p_again, v_now);
    if v_answer is null then
        v_answer := onetake.take_budget(p_price_microusd, v_now);
    end if;
    if v_answer is not null then
        perform onetake.note((v_answer ->> 'of_run_id')::uuid, p_user_id, 'check_limits', v_answer ->> 'kind', v_answer,
            p_saved_microusd => case v_answer ->> 'kind' when 'duplicate' then p_price_microusd else 0 end,
            p_call_id => p_call_id);
        return v_answer;
    end if;

    insert into onetake.runs (
        ref, request_key, request_hash, call_id, user_id, audience, language, prompt, prompt_hash,
        provider, model, seconds, size, create_body, input, callback_url, price_microusd, bills_failed, base_url, key_fingerprint,
        state_since, reserved_at, day, month, held_microusd, needs_confirmation
    ) values (
        onetake.new_ref(), p_key, p_request_hash, p_call_id, p_user_id, p_audience, p_language, p_prompt, p_prompt_hash,
        p_provider, p_model, p_seconds, p_size, p_create_body, p_input, p_callback_url, p_price_microusd, p_bills_failed, p_base_url, p_key_fingerprint,
        v_now, v_now, (v_now at time zone 'UTC')::date, to_char(v_now at time zone 'UTC', 'YYYY-MM'), p_price_microusd, p_confirm
    ) returning * into r;

    -- The database says no last: a lease that still holds is taken only by another take asked for on purpose.
    insert into onetake.leases as l (user_id, prompt_hash, run_id, expires_at)
        values (p_user_id, p_prompt_hash, r.run_id, v_now + make_interval(secs => onetake.limit_value('duplicate_window_seconds')))
        on conflict (user_id, prompt_hash) do update set run_id = excluded.run_id, expires_at = excluded.expires_at
        where p_again or l.expires_at <= v_now;
    if not found then
        raise exception 'the lease on this prompt is held' using errcode = 'LG002';
    end if;

    perform onetake.note(r.run_id, p_user_id, 'check_limits', 'accepted', p_call_id => p_call_id);
    return jsonb_build_object('kind', 'accepted', 'replayed', false, 'run', onetake.run_json(r));
exception when unique_violation then
    -- Two users raced for one key, or two refs met by chance: the whole attempt is undone; the caller learns why.
    v_answer := onetake.replay(p_key, p_request_hash, p_call_id);
    if v_answer is null then raise; end if;
    return v_answer;
end $$;

-- What `reserve` would answer now, without changing anything (dry run). It runs the same checks without the user's mutex,
-- so the answer holds for this moment only.
create function public.preview_reserve(
    p_user_id text, p_prompt_hash text, p_price_microusd bigint, p_again boolean default false
) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
    u onetake.users;
    v_now timestamptz := clock_timestamp();
    v_utc timestamp := v_now at time zone 'UTC';
    v_refused jsonb;
    v_day bigint;
    v_month bigint;
begin
    select * into u from onetake.users where user_id = p_user_id;
    if not found then
        u.user_id := p_user_id;
        u.blocked := false;
        u.invited := false;
        u.limits := '{}';
    end if;
    v_refused := onetake.first_refusal(u, p_prompt_hash, p_again, v_now);
    if v_refused is not null then return v_refused; end if;

    select coalesce(sum(held_microusd + spent_microusd) filter (where period = v_utc::date::text), 0),
           coalesce(sum(held_microusd + spent_microusd) filter (where period = to_char(v_utc, 'YYYY-MM')), 0)
        into v_day, v_month from onetake.budgets;
    if v_day + p_price_microusd > onetake.limit_value('budget_day_microusd') then
        return onetake.refusal('budget_exhausted', (date_trunc('day', v_utc) + interval '1 day') at time zone 'UTC', p_what => 'day');
    end if;
    if v_month + p_price_microusd > onetake.limit_value('budget_month_microusd') then
        return onetake.refusal('budget_exhausted', (date_trunc('month', v_utc) + interval '1 month') at time zone 'UTC', p_what => 'month');
    end if;
    return jsonb_build_object('kind', 'accepted');
end $$;
