-- What operators do and see. Every change of a control is recorded with who, when, before and after.

create function onetake.record_change(p_who text, p_key text, p_before jsonb, p_after jsonb) returns void
language sql volatile set search_path = '' as $$
    insert into onetake.limit_changes (who, key, before, after) values (p_who, p_key, p_before, p_after);
$$;

create function public.set_paused(p_paused boolean, p_reason text, p_who text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare v_before onetake.control;
begin
    select * into v_before from onetake.control for update;
    update onetake.control set paused = p_paused, pause_reason = case when p_paused then p_reason end,
            paused_by = case when p_paused then p_who end, paused_at = case when p_paused then clock_timestamp() end,
            resumed_at = case when p_paused then resumed_at else clock_timestamp() end;
    perform onetake.record_change(p_who, 'paused', to_jsonb(v_before.paused), to_jsonb(p_paused));
    if not p_paused then
        update onetake.runs set next_look_at = null, held_back_since = null, held_back_by = null
            where state = 'approved' and held_back_since is not null;   -- runs before breakers, as everywhere
        update onetake.breakers set open_until = null, cause = null, failed_answers = 0, failed_renders = 0,
                probe_run_id = null, probe_at = null;
    end if;
    return public.controls();
end $$;

create function public.controls() returns jsonb
language sql security definer set search_path = '' as $$
    select jsonb_build_object(
        'paused', c.paused, 'pause_reason', c.pause_reason, 'paused_by', c.paused_by, 'paused_at', c.paused_at,
        'breakers', coalesce((select jsonb_agg(jsonb_build_object('scope', scope, 'open_until', open_until, 'cause', cause,
            'half_open', open_until <= clock_timestamp())) from onetake.breakers where open_until is not null
            and (scope = 'all' or open_until > clock_timestamp())), '[]'))
    from onetake.control c;
$$;

create function public.show_limits() returns jsonb
language sql security definer set search_path = '' as $$
    select jsonb_agg(to_jsonb(l) order by key) from onetake.limits l;
$$;

-- Sets one limit, for all or (p_user_id) for one user; p_value null removes a user's override.
-- Answers {set: true, before, after} or {set: false, why}.
create function public.set_limit(p_key text, p_value jsonb, p_who text, p_user_id text default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_limit onetake.limits;
    u onetake.users;
begin
    select * into v_limit from onetake.limits where key = p_key for update;
    if not found then return jsonb_build_object('set', false, 'why', 'unknown_limit'); end if;
    if p_key = 'rollout' then
        if p_value is null or p_value not in ('"all"', '"percent"', '"allowlist"') then
            return jsonb_build_object('set', false, 'why', 'bad_value', 'allowed', 'all, percent or allowlist');
        end if;
    elsif p_value is null and p_user_id is null or p_value is not null and (jsonb_typeof(p_value) <> 'number'
            or p_value::text !~ '^[0-9]{1,15}$' or (p_key = 'rollout_percent' and p_value::text::bigint > 100)) then
        return jsonb_build_object('set', false, 'why', 'bad_value', 'allowed',
            case p_key when 'rollout_percent' then 'a whole number from 0 to 100' else 'a whole number, 0 or more' end);
    end if;
    if p_user_id is null then
        update onetake.limits set value = p_value where key = p_key;
        perform onetake.record_change(p_who, p_key, v_limit.value, p_value);
        return jsonb_build_object('set', true, 'before', v_limit.value, 'after', p_value);
    end if;
    if p_key not in ('active_runs_per_user', 'cooldown_seconds', 'videos_per_user_day', 'rejected_per_user_day') then
        return jsonb_build_object('set', false, 'why', 'not_per_user');
    end if;
    insert into onetake.users (user_id) values (p_user_id) on conflict (user_id) do update set version = onetake.users.version + 1
        returning * into u;
    update onetake.users set limits = case when p_value is null then limits - p_key
            else limits || jsonb_build_object(p_key, p_value) end where user_id = p_user_id;
    perform onetake.record_change(p_who, 'user:' || p_user_id || ':' || p_key, u.limits -> p_key, p_value);
    return jsonb_build_object('set', true, 'before', u.limits -> p_key, 'after', p_value);
end $$;

create function public.limit_history(p_at_most integer) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(c)), '[]') from (select * from onetake.limit_changes order by change_id desc limit p_at_most) c;
$$;

-- Blocks or unblocks, invites or uninvites a user, known or not yet known.
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
        jsonb_build_object('blocked', v_before.blocked, 'invited', v_before.invited),
        jsonb_build_object('blocked', u.blocked, 'invited', u.invited));
    return to_jsonb(u);
end $$;

create function public.list_users(p_at_most integer) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(x order by x ->> 'created_at'), '[]') from (
        select to_jsonb(u) || jsonb_build_object(
            'videos', (select count(*) from onetake.runs r where r.user_id = u.user_id and r.state in ('saved', 'delivered')),
            'spent_microusd', (select coalesce(sum(r.spent_microusd), 0) from onetake.runs r where r.user_id = u.user_id)) as x
        from onetake.users u order by u.created_at desc limit p_at_most) as newest;
$$;

create function public.list_runs(p_at_most integer, p_state text default null, p_user_id text default null) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(onetake.run_json(r) order by r.reserved_at desc), '[]') from (
        select * from onetake.runs
            where (p_state is null or state = p_state) and (p_user_id is null or user_id = p_user_id)
            order by reserved_at desc limit p_at_most) as r;
$$;

create function public.run_events(p_run_id uuid) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(e) - 'call_id' order by e.event_id), '[]') from onetake.events e where e.run_id = p_run_id;
$$;

-- A person decides about a run in doubt, or parked while rendering: nothing was charged.
-- ("Found it" is record_submission with source 'person'.) Answers {settled, state}.
create function public.settle_not_charged(p_run_id uuid, p_who text, p_why text default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    if r.run_id is null or not (r.state = 'uncertain' or (r.state = 'rendering' and r.parked_at is not null)) then
        return jsonb_build_object('settled', false, 'state', r.state);
    end if;
    update onetake.runs set reason = 'not_charged', detail = p_why where run_id = p_run_id;
    perform onetake.move(p_run_id, 'failed', 'released');
    perform onetake.note(p_run_id, r.user_id, 'settle', 'not_charged', jsonb_build_object('by', p_who, 'why', p_why, 'from', r.state));
    return jsonb_build_object('settled', true, 'state', 'failed');
end $$;

-- The numbers of `onetake stats`. Money in micro-dollars.
create function public.stats() returns jsonb
language sql security definer set search_path = '' as $$
    with periods as (
        select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD') as today, to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM') as month
    ), checks as (
        select outcome, count(*) as times, sum(saved_microusd) as saved from onetake.events where step = 'check_limits' group by outcome
    )
    select jsonb_build_object(
        'total_videos', (select count(*) from onetake.runs where state in ('saved', 'delivered')),
        'total_runs', (select count(*) from onetake.runs),
        'states', coalesce((select jsonb_object_agg(state, n) from (select state, count(*) as n from onetake.runs group by state) s), '{}'),
        'parked', (select count(*) from onetake.runs where parked_at is not null and state in ('uncertain', 'rendering')),
        'requests', (select coalesce(sum(times), 0) from checks),
        'checks', coalesce((select jsonb_object_agg(outcome, times) from checks), '{}'),
        'duplicates_blocked', (select coalesce(sum(times), 0) from checks where outcome in ('duplicate', 'replayed')),
        'money_saved_microusd', (select coalesce(sum(saved), 0) from checks where outcome in ('duplicate', 'replayed')),
        'paid_calls', (select count(*) from onetake.runs where job_id is not null),
        'held_microusd', (select coalesce(sum(held_microusd), 0) from onetake.runs where held_microusd > 0),
        'spent_microusd', (select coalesce(sum(spent_microusd), 0) from onetake.runs),
        'text_microusd', (select coalesce(sum(text_microusd), 0) from onetake.runs),
        'today', (select to_jsonb(b) from onetake.budgets b, periods where period = today),
        'this_month', (select to_jsonb(b) from onetake.budgets b, periods where period = month),
        'budget_day_microusd', onetake.limit_value('budget_day_microusd'),
        'budget_month_microusd', onetake.limit_value('budget_month_microusd'));
$$;
