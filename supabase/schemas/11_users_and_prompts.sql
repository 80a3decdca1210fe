-- Telegram users: preferences, and what they may still do today; and the versions of the prompts they are asked with.

-- A user's preferences and standing, and whether a video is undelivered because the user had blocked the bot.
create function public.customer(p_user_id text) returns jsonb
language sql stable security definer set search_path = '' as $$
    select jsonb_build_object(
        'preferences', coalesce((select u.preferences from onetake.users u where u.user_id = p_user_id), '{}'),
        'videos', (select count(*) from onetake.runs r where r.user_id = p_user_id and r.state in ('saved', 'delivered')),
        'unreached', exists (select from onetake.runs r where r.user_id = p_user_id and r.state = 'saved' and r.told_state = 'saved'
            and (select e.detail ->> 'why' from onetake.events e where e.run_id = r.run_id and e.step = 'tell'
                 order by e.event_id desc limit 1) = 'Unreachable'));
$$;

-- Sets one preference (null removes it) and answers all of them.
create function public.set_preference(p_user_id text, p_key text, p_value jsonb) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare v_preferences jsonb;
begin
    if p_key not in ('language', 'seconds', 'size', 'confirm', 'model') then
        raise exception 'there is no preference %', p_key using errcode = 'LG003';
    end if;
    insert into onetake.users (user_id) values (p_user_id) on conflict (user_id) do nothing;
    update onetake.users set preferences = case when p_value is null then preferences - p_key
            else preferences || jsonb_build_object(p_key, p_value) end
        where user_id = p_user_id returning preferences into v_preferences;
    return v_preferences;
end $$;

-- Notes that the user was told that later orders will not ask first. The user's own choice stands.
create function public.note_first_notice(p_user_id text) returns jsonb
language sql volatile security definer set search_path = '' as $$
    update onetake.users set preferences = preferences || '{"confirm": "first"}'
        where user_id = p_user_id and not preferences ? 'confirm';
    select null::jsonb;
$$;

-- What a user may still do: today's counts and limits, the budgets' room, what is in the way, unfinished runs.
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

-- Keeps a version, once; a version never changes.
create function public.keep_template(p_sha256 text, p_id text, p_body text) returns jsonb
language sql security definer set search_path = '' as $$
    insert into onetake.templates (sha256, id, body) values (p_sha256, p_id, p_body) on conflict do nothing;
    select 'true'::jsonb;
$$;

-- The text of a version, or null.
create function public.template_text(p_sha256 text) returns jsonb
language sql stable security definer set search_path = '' as $$
    select to_jsonb((select body from onetake.templates where sha256 = p_sha256));
$$;
