-- Operators: pause, limits, users, settling runs in doubt, alerts.

-- Pauses or resumes buying. p_shown, {paused_at}: the pause that the operator was looking at; a newer pause by somebody
-- else stays. Answers the controls, and `changed`.
create function public.set_paused(p_paused boolean, p_reason text, p_who text, p_shown jsonb default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare v_before onetake.control;
begin
    select * into v_before from onetake.control for update;
    if p_shown is not null and (p_shown ->> 'paused_at')::timestamptz is distinct from v_before.paused_at then
        return public.controls() || '{"changed": true}';
    end if;
    update onetake.control set paused = p_paused, pause_reason = case when p_paused then p_reason end,
            paused_by = case when p_paused then p_who end, paused_at = case when p_paused then clock_timestamp() end,
            resumed_at = case when p_paused then resumed_at else clock_timestamp() end;
    perform onetake.record_change(p_who, 'paused',
        jsonb_strip_nulls(jsonb_build_object('paused', v_before.paused, 'reason', v_before.pause_reason)),
        jsonb_strip_nulls(jsonb_build_object('paused', p_paused, 'reason', case when p_paused then p_reason end)));
    if not p_paused then
        update onetake.runs set next_look_at = null, deferred_since = null, deferred_by = null
            where state = 'approved' and deferred_since is not null;   -- runs before breakers, as everywhere
        update onetake.breakers set open_until = null, cause = null, failed_answers = 0, failed_renders = 0,
                probe_run_id = null, probe_at = null;
    end if;
    return public.controls();
end $$;

-- The pause and the breakers.
create function public.controls() returns jsonb
language sql security definer set search_path = '' as $$
    select jsonb_build_object(
        'paused', c.paused, 'pause_reason', c.pause_reason, 'paused_by', c.paused_by, 'paused_at', c.paused_at,
        'breakers', coalesce((select jsonb_agg(jsonb_build_object('scope', scope, 'open_until', open_until, 'cause', cause,
            'half_open', open_until <= clock_timestamp())) from onetake.breakers where open_until is not null
            and (scope = 'all' or open_until > clock_timestamp())), '[]'))
    from onetake.control c;
$$;

-- All limits with what they mean.
create function public.show_limits() returns jsonb
language sql security definer set search_path = '' as $$
    select jsonb_agg(to_jsonb(l) order by key) from onetake.limits l;
$$;

-- Sets a limit for everybody, or for one user (null removes it).
create function public.set_limit(p_key text, p_value jsonb, p_who text, p_user_id text default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_limit onetake.limits;
    u onetake.users;
    v_most bigint := case when p_key = 'rollout_percent' then 100 when p_key like '%\_seconds' then 31536000
                          else 999999999999999 end;
begin
    select * into v_limit from onetake.limits where key = p_key for update;
    if not found then return jsonb_build_object('set', false, 'why', 'unknown_limit'); end if;
    if p_key = 'rollout' then
        if p_value is null or p_value not in ('"all"', '"percent"', '"allowlist"') then
            return jsonb_build_object('set', false, 'why', 'bad_value', 'allowed', 'all, percent or allowlist');
        end if;
    elsif p_value is null and p_user_id is null or p_value is not null and (case
            when p_value::text ~ '^[0-9]{1,15}$' then p_value::text::bigint > v_most else true end) then
        return jsonb_build_object('set', false, 'why', 'bad_value', 'allowed', case
            when p_key = 'rollout_percent' then 'a whole number from 0 to 100'
            when p_key like '%\_seconds' then 'a whole number of seconds, 31536000 (a year) at most'
            else 'a whole number, 0 or more' end);
    end if;
    if p_user_id is null then
        update onetake.limits set value = p_value where key = p_key;
        perform onetake.record_change(p_who, p_key, v_limit.value, p_value);
        return jsonb_build_object('set', true, 'before', v_limit.value, 'after', p_value);
    end if;
    if not v_limit.per_user then
        return jsonb_build_object('set', false, 'why', 'not_per_user');
    end if;
    insert into onetake.users (user_id) values (p_user_id) on conflict (user_id) do update set version = onetake.users.version + 1
        returning * into u;
    update onetake.users set limits = case when p_value is null then limits - p_key
            else limits || jsonb_build_object(p_key, p_value) end where user_id = p_user_id;
    perform onetake.record_change(p_who, 'user:' || p_user_id || ':' || p_key, u.limits -> p_key, p_value);
    return jsonb_build_object('set', true, 'before', u.limits -> p_key, 'after', p_value);
end $$;

-- The newest changes of controls.
create function public.limit_history(p_at_most integer) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(c)), '[]') from (select * from onetake.limit_changes order by change_id desc limit p_at_most) c;
$$;

-- Blocks, unblocks, invites or disinvites a user; the reason is kept with the change.
create function public.set_user(p_user_id text, p_blocked boolean, p_invited boolean, p_reason text, p_who text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_before onetake.users;
    u onetake.users;
begin
    insert into onetake.users (user_id) values (p_user_id) on conflict (user_id) do update set version = onetake.users.version + 1
        returning * into v_before;
    update onetake.users set blocked = coalesce(p_blocked, blocked), invited = coalesce(p_invited, invited),
            blocked_reason = case when p_blocked then p_reason when p_blocked is null then blocked_reason end
        where user_id = p_user_id returning * into u;
    perform onetake.record_change(p_who, 'user:' || p_user_id,
        jsonb_strip_nulls(jsonb_build_object('blocked', v_before.blocked, 'invited', v_before.invited, 'reason', v_before.blocked_reason)),
        jsonb_strip_nulls(jsonb_build_object('blocked', u.blocked, 'invited', u.invited, 'reason', u.blocked_reason)));
    return to_jsonb(u);
end $$;

-- The newest users, with what they bought.
create function public.list_users(p_at_most integer) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(x order by x ->> 'created_at'), '[]') from (
        select to_jsonb(u) || jsonb_build_object(
            'videos', (select count(*) from onetake.runs r where r.user_id = u.user_id and r.state in ('saved', 'delivered')),
            'spent_microusd', (select coalesce(sum(r.spent_microusd), 0) from onetake.runs r where r.user_id = u.user_id)) as x
        from onetake.users u order by u.created_at desc limit p_at_most) as newest;
$$;

-- Runs, the newest first.
create function public.list_runs(p_at_most integer, p_state text default null, p_user_id text default null) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(onetake.run_json(r) order by r.reserved_at desc), '[]') from (
        select * from onetake.runs
            where (p_state is null or state = p_state) and (p_user_id is null or user_id = p_user_id)
            order by reserved_at desc limit p_at_most) as r;
$$;

-- A run's timeline.
create function public.run_events(p_run_id uuid) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(e) - 'call_id' order by e.event_id), '[]') from onetake.events e where e.run_id = p_run_id;
$$;

-- Raises an alert for everything in the ledger that an operator should know, each once: doubts, late jobs, budgets,
-- failures, open breakers, differences, stray answers.
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
    -- 50, 80 and 100 % of each budget, each once a period.
    perform onetake.raise_alert('budget:' || b.period || ':' || share, 'budget',
            jsonb_build_object('period', b.period, 'share', share, 'used_microusd', b.held_microusd + b.spent_microusd, 'limit_microusd', cap))
        from onetake.budgets b
        cross join lateral (select onetake.limit_value(case when length(b.period) = 7 then 'budget_month_microusd'
            else 'budget_day_microusd' end)) as l (cap)
        cross join lateral (select max(s) from unnest(array[50, 80, 100]) as s
            where cap > 0 and (b.held_microusd + b.spent_microusd) * 100 >= cap * s) as m (share)
        where b.period in (v_utc::date::text, to_char(v_utc, 'YYYY-MM')) and share is not null;
    -- Used up before that: an order found no room in the budget as it is now. Once for each amount of a period's budget.
    perform onetake.raise_alert('budget_exhausted:' || b.period || ':' || cap, 'budget_exhausted',
            jsonb_build_object('period', b.period, 'used_microusd', b.held_microusd + b.spent_microusd, 'limit_microusd', cap))
        from (values (v_utc::date::text, 'day', date_trunc('day', v_utc), 'budget_day_microusd'),
                     (to_char(v_utc, 'YYYY-MM'), 'month', date_trunc('month', v_utc), 'budget_month_microusd')) as p (period, name, since, key)
        join onetake.budgets b using (period)
        cross join lateral (select onetake.limit_value(p.key)) as l (cap)
        where exists (select from onetake.events e where e.step = 'check_limits' and e.outcome = 'budget_exhausted'
            and e.detail ->> 'what' = p.name and e.at >= greatest(p.since at time zone 'UTC',
                (select max(c.at) from onetake.limit_changes c where c.key = p.key)));

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
          and r.reason in ('unauthorized', 'no_credit', 'forbidden', 'bad_request', 'expired', 'disk_full', 'not_sold_here');
    -- Each difference once, until it is closed and found again. What is in doubt or was adopted late is told above.
    perform onetake.raise_alert('difference:' || d.kind || ':' || d.subject || ':' || extract(epoch from d.first_at)::bigint,
            case when d.kind in ('two_paid_calls', 'perhaps_two_paid_calls') then d.kind else 'audit' end,
            jsonb_build_object('kind', d.kind, 'ref', d.ref, 'job_id', d.job_id, 'words', d.words, 'microusd', d.microusd))
        from onetake.differences d where d.closed_at is null and d.kind not in ('in_doubt', 'late_job');
    perform onetake.raise_alert('stray_answer:' || s.id, 'stray_answer', jsonb_build_object(
            'ref', (select ref from onetake.runs r where r.run_id = s.run_id), 'why', s.why, 'words', left(s.body, 200)))
        from onetake.stray_answers s where s.at > v_now - interval '7 days';
    return jsonb_build_object('raised', true);
end $$;

-- Claims unsent alerts for p_seconds.
create function public.take_alerts(p_seconds double precision) returns jsonb
language sql security definer set search_path = '' as $$
    with taken as (
        update onetake.alerts a set notifying_until = clock_timestamp() + make_interval(secs => p_seconds)
            where a.told_at is null and (a.notifying_until is null or a.notifying_until <= clock_timestamp())
            returning a.*
    )
    select coalesce(jsonb_agg(to_jsonb(taken) order by at), '[]') from taken;
$$;

-- Records that an alert was sent.
create function public.mark_alert_notified(p_key text) returns jsonb
language sql security definer set search_path = '' as $$
    update onetake.alerts a set told_at = clock_timestamp() where a.key = p_key returning to_jsonb(a);
$$;

-- Alerts operators, once a day, that an update from Telegram was skipped as unreadable.
create function public.note_unreadable_update(p_words text) returns jsonb
language sql volatile security definer set search_path = '' as $$
    select onetake.raise_alert('unreadable_update:' || (clock_timestamp() at time zone 'UTC')::date, 'unreadable_update',
                               jsonb_build_object('words', p_words));
    select null::jsonb;
$$;

-- Alerts operators to a broken edit of a prompt template, once per edit.
create function public.template_broken(p_id text, p_edit text, p_words text) returns jsonb
language sql security definer set search_path = '' as $$
    select onetake.raise_alert('template:' || p_id || ':' || p_edit, 'template', jsonb_build_object('id', p_id, 'words', p_words));
    select 'true'::jsonb;
$$;

-- Takes or renews the lease of the one machine that may work. Answers {mine, host, until}.
create function public.take_host(p_host text, p_seconds double precision) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare v_host onetake.hosts;
begin
    insert into onetake.hosts as h (host, expires_at) values (p_host, clock_timestamp() + make_interval(secs => p_seconds))
        on conflict (only_one) do update set host = excluded.host, expires_at = excluded.expires_at
            where h.host = excluded.host or h.expires_at <= clock_timestamp();
    select * into strict v_host from onetake.hosts;
    return jsonb_build_object('mine', v_host.host = p_host, 'host', v_host.host, 'until', v_host.expires_at);
end $$;

-- Which migrations this database has; a program that connects over REST compares them with its own.
create function public.applied_migrations() returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
    return (select coalesce(jsonb_agg(version order by version), '[]') from supabase_migrations.schema_migrations);
end $$;
