-- What the Telegram bot keeps: each user's preferences, where a run's card and video are, who is telling its user just
-- now, and the operators' alerts. Nothing here moves money.

alter table onetake.users add column preferences jsonb not null default '{}';

-- While somebody tells the user of a state, nobody else does; a teller that died is given up after telling_until.
alter table onetake.runs add column telling_state text, add column telling_until timestamptz;

-- Answers {preferences, videos}: what the user chose, and how many videos were delivered or are about to be.
create function public.customer(p_user_id text) returns jsonb
language sql stable security definer set search_path = '' as $$
    select jsonb_build_object(
        'preferences', coalesce((select u.preferences from onetake.users u where u.user_id = p_user_id), '{}'),
        'videos', (select count(*) from onetake.runs r where r.user_id = p_user_id and r.state in ('saved', 'delivered')));
$$;

-- Sets one preference (null takes it back) and answers all of them.
create function public.set_preference(p_user_id text, p_key text, p_value jsonb) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare v_preferences jsonb;
begin
    if p_key not in ('language', 'seconds', 'size', 'confirm') then
        raise exception 'there is no preference %', p_key using errcode = 'LG003';
    end if;
    insert into onetake.users (user_id) values (p_user_id) on conflict (user_id) do nothing;
    update onetake.users set preferences = case when p_value is null then preferences - p_key
            else preferences || jsonb_build_object(p_key, p_value) end
        where user_id = p_user_id returning preferences into v_preferences;
    return v_preferences;
end $$;

-- What a user may still do: today's counts and limits, the budgets' room, what stands in the way, unfinished runs.
create function public.allowance(p_user_id text) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
    u onetake.users;
    v_now timestamptz := clock_timestamp();
    v_today date := (v_now at time zone 'UTC')::date;
    v_day bigint;
    v_month bigint;
begin
    select * into u from onetake.users where user_id = p_user_id;
    if not found then
        u.user_id := p_user_id; u.blocked := false; u.invited := false; u.limits := '{}';
    end if;
    select coalesce(sum(held_microusd + spent_microusd) filter (where period = v_today::text), 0),
           coalesce(sum(held_microusd + spent_microusd) filter (where period = to_char(v_today, 'YYYY-MM')), 0)
        into v_day, v_month from onetake.budgets;
    return jsonb_build_object(
        'now', v_now,
        'tomorrow', (v_today + 1)::timestamp at time zone 'UTC',
        'next_month', (date_trunc('month', v_today::timestamp) + interval '1 month') at time zone 'UTC',
        'videos_today', (select count(*) from onetake.runs r where r.user_id = p_user_id and r.day = v_today
            and (r.state not in ('rejected', 'canceled', 'failed') or r.spent_microusd > 0)),
        'videos_per_day', onetake.limit_value('videos_per_user_day', u.limits),
        'rejected_today', (select count(*) from onetake.runs r where r.user_id = p_user_id and r.day = v_today and r.state = 'rejected'),
        'rejected_per_day', onetake.limit_value('rejected_per_user_day', u.limits),
        'active_at_once', onetake.limit_value('active_runs_per_user', u.limits),
        'cooldown_seconds', onetake.limit_value('cooldown_seconds', u.limits),
        'day_left_microusd', greatest(onetake.limit_value('budget_day_microusd') - v_day, 0),
        'month_left_microusd', greatest(onetake.limit_value('budget_month_microusd') - v_month, 0),
        'blocked', u.blocked, 'blocked_reason', u.blocked_reason, 'invited', onetake.is_invited(u),
        'paused', (select c.paused from onetake.control c), 'pause_reason', (select c.pause_reason from onetake.control c),
        'unfinished', coalesce((select jsonb_agg(onetake.run_json(r) order by r.reserved_at) from onetake.runs r
            where r.user_id = p_user_id and r.state in ('reserved', 'approved', 'submitting', 'uncertain', 'rendering', 'saved')), '[]'));
end $$;

-- The rows of these runs, each with `place`: how many wait before it for their first attempt (null: it does not wait).
create function public.load_runs(p_run_ids jsonb) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(onetake.run_json(r) || jsonb_build_object('place', case
        when r.state = 'reserved' and r.attempts = 0 then (select count(*) from onetake.runs o
            where o.state = 'reserved' and o.attempts = 0 and o.reserved_at < r.reserved_at) end)), '[]')
    from onetake.runs r where r.run_id in (select value::uuid from jsonb_array_elements_text(p_run_ids));
$$;

-- Adds to what is known of where a run's user is told: the card's message id, the video's, Telegram's file id.
create function public.note_audience(p_run_id uuid, p_more jsonb) returns jsonb
language sql security definer set search_path = '' as $$
    update onetake.runs r set audience = audience || p_more where r.run_id = p_run_id returning onetake.run_json(r);
$$;

-- Takes the telling of a state for p_seconds; null if it was told, has moved on, or somebody else is telling it.
-- Again by the same teller (p_teller) it is prolonged. Whoever finds another at it sees to it that the run is looked at
-- when that one's time is over: a teller may die, and a run that waits for its user's tap is looked at by nobody else.
create function public.begin_telling(p_run_id uuid, p_state text, p_teller text, p_seconds double precision) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare v_run jsonb;
begin
    update onetake.runs r set telling_state = p_state || ' ' || p_teller,
            telling_until = clock_timestamp() + make_interval(secs => p_seconds)
        where r.run_id = p_run_id and r.state = p_state and r.told_state is distinct from p_state
          and (telling_until is null or telling_until <= clock_timestamp() or telling_state not like p_state || ' %'
               or telling_state = p_state || ' ' || p_teller)
        returning onetake.run_json(r) into v_run;
    if v_run is null then
        update onetake.runs r set next_look_at = least(coalesce(r.next_look_at, r.telling_until), r.telling_until)
            where r.run_id = p_run_id and r.state = p_state and r.told_state is distinct from p_state;
    end if;
    return v_run;
end $$;

-- The telling came to nothing, and is tried again at p_at, by nobody before; what must be done for the run itself is
-- not put off.
create function public.tell_later(p_run_id uuid, p_state text, p_at timestamptz) returns jsonb
language sql security definer set search_path = '' as $$
    update onetake.runs r set telling_state = p_state || ' nobody', telling_until = p_at,
            next_look_at = case when r.state in ('saved', 'delivered', 'rejected', 'canceled', 'failed') then p_at
                else least(coalesce(r.next_look_at, p_at), p_at) end
        where r.run_id = p_run_id and r.state = p_state returning onetake.run_json(r);
$$;

-- The runs a worker should look at now: unfinished and due. A terminal hears of its end when it asks.
create or replace function public.due_runs(p_at_most integer) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(jsonb_build_object('run_id', run_id, 'ref', ref, 'state', state)), '[]') from (
        (select run_id, ref, state, next_look_at from onetake.runs
            where state in ('reserved', 'approved', 'submitting', 'uncertain', 'rendering')
              and (next_look_at is null or next_look_at <= clock_timestamp())
            order by next_look_at nulls first limit p_at_most)
        union all
        (select run_id, ref, state, next_look_at from onetake.runs
            where state in ('saved', 'delivered', 'rejected', 'canceled', 'failed') and told_state is distinct from state
              and audience ->> 'kind' <> 'terminal'
              and (next_look_at is null or next_look_at <= clock_timestamp())
            order by next_look_at nulls first limit p_at_most)
        union all
        -- It waits for its user's tap, and nobody has asked for it: whoever should have died on the way.
        (select run_id, ref, state, next_look_at from onetake.runs
            where state = 'approved' and needs_confirmation and confirmed_at is null and told_state is distinct from state
              and audience ->> 'kind' <> 'terminal' and next_look_at > clock_timestamp()
              and state_since < clock_timestamp() - interval '10 seconds'
              and (telling_until is null or telling_until <= clock_timestamp())
            limit p_at_most)
    ) as due;
$$;

-- The user's saved videos that could not be brought (the bot was blocked) are due to be brought now. Answers run ids.
create function public.tell_again(p_user_id text) returns jsonb
language sql security definer set search_path = '' as $$
    with woken as (
        update onetake.runs set told_state = null, telling_until = null, next_look_at = null
            where user_id = p_user_id and state = 'saved' and told_state = 'saved' and audience ->> 'kind' = 'telegram'
            returning run_id
    )
    select coalesce(jsonb_agg(run_id), '[]') from woken;
$$;

-- A page of a user's videos, newest first. Answers {total, runs}.
create function public.user_videos(p_user_id text, p_at_most integer, p_skip integer) returns jsonb
language sql stable security definer set search_path = '' as $$
    select jsonb_build_object(
        'total', (select count(*) from onetake.runs where user_id = p_user_id and state in ('saved', 'delivered')),
        'runs', coalesce((select jsonb_agg(onetake.run_json(r) order by r.reserved_at desc) from (
            select * from onetake.runs where user_id = p_user_id and state in ('saved', 'delivered')
            order by reserved_at desc limit p_at_most offset p_skip) r), '[]'));
$$;

-- What operators are told once each. `key` is the same for the same news, for ever.
create table onetake.alerts (
    key           text primary key,
    kind          text not null,
    at            timestamptz not null default clock_timestamp(),
    detail        jsonb not null default '{}',
    telling_until timestamptz,
    told_at       timestamptz
);
create index alerts_untold on onetake.alerts (at) where told_at is null;
alter table onetake.alerts enable row level security;

create function onetake.raise_alert(p_key text, p_kind text, p_detail jsonb) returns void
language sql set search_path = '' as $$
    insert into onetake.alerts (key, kind, detail) values (p_key, p_kind, p_detail) on conflict do nothing;
$$;

-- Looks for news that operators must hear of, and keeps it.
create function public.raise_alerts(p_doubt_seconds double precision) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_now timestamptz := clock_timestamp();
    v_utc timestamp := v_now at time zone 'UTC';
begin
    perform onetake.raise_alert('in_doubt:' || r.ref || ':' || extract(epoch from r.submitting_at)::bigint, 'in_doubt',
            jsonb_build_object('ref', r.ref, 'held_microusd', r.held_microusd, 'doubt', r.doubt))
        from onetake.runs r where r.state in ('submitting', 'uncertain')
          and r.submitting_at <= v_now - make_interval(secs => p_doubt_seconds);
    perform onetake.raise_alert('parked:' || r.ref || ':' || extract(epoch from r.parked_at)::bigint, 'parked',
            jsonb_build_object('ref', r.ref, 'held_microusd', r.held_microusd))
        from onetake.runs r where r.state = 'rendering' and r.parked_at is not null;
    perform onetake.raise_alert('late_job:' || e.event_id, 'late_job',
            jsonb_build_object('ref', r.ref, 'price_microusd', r.price_microusd))
        from onetake.events e join onetake.runs r using (run_id)
        where e.step = 'generate_video' and e.outcome = 'adopted_late' and e.at > v_now - interval '1 day';
    -- The provider answered one run with a second job: a second purchase, which must never come.
    perform onetake.raise_alert('two_paid_calls:' || e.event_id, 'two_paid_calls',
            jsonb_build_object('ref', r.ref, 'words', e.detail ->> 'job_id'))
        from onetake.events e join onetake.runs r using (run_id)
        where e.step = 'generate_video' and e.outcome = 'answer_ignored' and e.at > v_now - interval '1 day'
          and e.detail ->> 'source' = 'answer' and r.job_id is distinct from e.detail ->> 'job_id';

    -- 50, 80 and 100 % of each budget, each once a period.
    perform onetake.raise_alert('budget:' || b.period || ':' || share, 'budget',
            jsonb_build_object('period', b.period, 'share', share, 'used_microusd', b.held_microusd + b.spent_microusd, 'limit_microusd', cap))
        from onetake.budgets b
        cross join lateral (select onetake.limit_value(case when length(b.period) = 7 then 'budget_month_microusd'
            else 'budget_day_microusd' end)) as l (cap)
        cross join lateral (select max(s) from unnest(array[50, 80, 100]) as s
            where cap > 0 and (b.held_microusd + b.spent_microusd) * 100 >= cap * s) as m (share)
        where b.period in (v_utc::date::text, to_char(v_utc, 'YYYY-MM')) and share is not null;

    -- More than half of at least five runs that ended within the hour failed at the provider.
    perform onetake.raise_alert('failure_rate:' || to_char(v_utc, 'YYYY-MM-DD HH24'), 'failure_rate', jsonb_build_object('failed', failed, 'ended', ended))
        from (select count(*) filter (where r.state = 'failed') as failed, count(*) as ended from onetake.runs r
              where r.state_since > v_now - interval '1 hour' and r.submitting_at is not null
                and r.state in ('failed', 'saved', 'delivered')) as hour
        where ended >= 5 and failed * 2 > ended;
    perform onetake.raise_alert('breaker:' || extract(epoch from b.open_until)::bigint, 'breaker',
            jsonb_build_object('until', b.open_until, 'cause', b.cause))
        from onetake.breakers b where b.scope = 'all' and b.open_until > v_now;
    perform onetake.raise_alert('model_gone:' || r.model || ':' || r.day, 'model_gone',
            jsonb_build_object('model', r.model, 'base_url', r.base_url, 'ref', r.ref, 'detail', r.detail))
        from onetake.runs r where r.state = 'failed' and r.reason = 'not_found' and r.failed_at > v_now - interval '1 day';
    -- What only the people behind the bot can mend, once a day and reason.
    perform onetake.raise_alert('our_side:' || r.reason || ':' || r.day, 'our_side',
            jsonb_build_object('ref', r.ref, 'reason', r.reason, 'detail', r.detail))
        from onetake.runs r where r.state = 'failed' and r.failed_at > v_now - interval '1 day'
          and r.reason in ('unauthorized', 'no_credit', 'forbidden', 'bad_request', 'expired', 'disk_full');
    perform onetake.raise_alert('audit:' || a.id, case when a.result -> 'differences' @> '[{"kind": "two_paid_calls"}]'
                then 'two_paid_calls' else 'audit' end,
            jsonb_build_object('differences', a.differences, 'words', a.result -> 'differences' -> 0 ->> 'words'))
        from onetake.audits a where a.differences > 0 and a.at > v_now - interval '1 day';
    return jsonb_build_object('raised', true);
end $$;

-- Alerts nobody has told yet, taken for p_seconds.
create function public.take_alerts(p_seconds double precision) returns jsonb
language sql security definer set search_path = '' as $$
    with taken as (
        update onetake.alerts a set telling_until = clock_timestamp() + make_interval(secs => p_seconds)
            where a.told_at is null and (a.telling_until is null or a.telling_until <= clock_timestamp())
            returning a.*
    )
    select coalesce(jsonb_agg(to_jsonb(taken) order by at), '[]') from taken;
$$;

create function public.alert_told(p_key text) returns jsonb
language sql security definer set search_path = '' as $$
    update onetake.alerts a set told_at = clock_timestamp() where a.key = p_key returning to_jsonb(a);
$$;

-- The checks between "blocked" and "daily_limit", read under the user's mutex. Null: nothing stands in the way.
create or replace function onetake.first_refusal(u onetake.users, p_prompt_hash text, p_again boolean, p_now timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
declare
    v_control onetake.control;
    v_until timestamptz;
    v_of onetake.runs;
    v_lease_until timestamptz;
    v_tomorrow timestamptz := (date_trunc('day', p_now at time zone 'UTC') + interval '1 day') at time zone 'UTC';
    v_today date := (p_now at time zone 'UTC')::date;
begin
    if u.blocked then return onetake.refusal('blocked', p_reason => u.blocked_reason); end if;
    if not onetake.is_invited(u) then return onetake.refusal('not_invited'); end if;

    select * into v_control from onetake.control;
    if v_control.paused then return onetake.refusal('paused', p_reason => v_control.pause_reason); end if;

    v_until := greatest(onetake.breaker_until('all', null), onetake.breaker_until('user:' || u.user_id, null));
    if v_until is not null then return onetake.refusal('breaker_open', v_until); end if;

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
    if (select count(*) from onetake.runs r where r.user_id = u.user_id and r.day = v_today and r.state = 'rejected')
       >= onetake.limit_value('rejected_per_user_day', u.limits) then
        return onetake.refusal('daily_limit', v_tomorrow, p_what => 'rejected_prompts');
    end if;
    return null;
end $$;

select onetake.restrict(array[
    'customer', 'set_preference', 'allowance', 'load_runs', 'note_audience', 'begin_telling', 'tell_later', 'tell_again',
    'user_videos', 'raise_alerts', 'take_alerts', 'alert_told']);
