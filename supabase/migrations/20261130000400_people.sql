-- One user against all others: whose failures open which breaker, how many drafts a user may take back; looks that are
-- told twice; budgets without room; numbers that add up.

-- One look through the provider's list for a run in doubt. Only a look that shows its absence (p_counts) counts towards
-- "never made"; anything that could be the run's starts the count again. p_look_id: the same look told again, because the
-- answer was lost, changes nothing.
drop function public.record_look(uuid, boolean, integer, boolean, text, timestamptz, jsonb);
create function public.record_look(
    p_run_id uuid, p_counts boolean, p_candidates integer, p_running_shown boolean, p_says text, p_next_look_at timestamptz,
    p_detail jsonb default '{}', p_look_id uuid default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    r onetake.runs;
    v_now timestamptz := clock_timestamp();
begin
    r := onetake.lock_run(p_run_id);
    if r.state is distinct from 'uncertain' or exists (select from onetake.events
            where run_id = p_run_id and step = 'reconcile' and detail ->> 'look_id' = p_look_id::text) then
        return onetake.run_json(r);
    end if;
    if p_running_shown then
        insert into onetake.providers (base_url, key_fingerprint, running_shown_at) values (r.base_url, r.key_fingerprint, v_now)
            on conflict (base_url, key_fingerprint) do update set running_shown_at = v_now;
    end if;
    update onetake.runs set
        looks_complete = case when p_candidates > 0 then 0 when p_counts then looks_complete + 1 else looks_complete end,
        first_look_at = case when p_candidates > 0 then null when p_counts then coalesce(first_look_at, v_now) else first_look_at end,
        last_look_at = case when p_counts then v_now else last_look_at end,
        look_says = p_says, next_look_at = coalesce(p_next_look_at, 'infinity'), attempts = 0
        where run_id = p_run_id returning * into r;
    perform onetake.note(p_run_id, r.user_id, 'reconcile', case when p_counts then 'looked' else 'look_incomplete' end,
                         p_detail || jsonb_build_object('candidates', p_candidates, 'says', p_says)
                             || jsonb_strip_nulls(jsonb_build_object('look_id', p_look_id)));
    return onetake.run_json(r);
end $$;

-- The one user whose failures all of those in a row are. Null: of several users, or of a kind that no prompt causes.
alter table onetake.breakers add column answers_failed_of text, add column renders_failed_of text;

-- The breakers after news from the provider. kind: 'answer' or 'render'; good: it worked. So many failures in a row stop
-- everybody; if one user had them all, and their prompts may be the cause, that user alone is stopped.
create or replace function onetake.tell_breaker(p_run_id uuid, p_kind text, p_good boolean) returns void
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

insert into onetake.limits (key, value, about) values
    ('canceled_per_user_day', '30', 'drafts a user may cancel or let expire a day (UTC)');

-- As before, and drafts that were canceled are counted; `what` of an open breaker: 'user' if it is this user's own.
create or replace function onetake.first_refusal(u onetake.users, p_prompt_hash text, p_again boolean, p_now timestamptz) returns jsonb
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

-- As before, with the limit on canceled drafts.
create or replace function public.set_limit(p_key text, p_value jsonb, p_who text, p_user_id text default null) returns jsonb
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
    if p_key not in ('active_runs_per_user', 'cooldown_seconds', 'videos_per_user_day', 'rejected_per_user_day',
                     'canceled_per_user_day') then
        return jsonb_build_object('set', false, 'why', 'not_per_user');
    end if;
    insert into onetake.users (user_id) values (p_user_id) on conflict (user_id) do update set version = onetake.users.version + 1
        returning * into u;
    update onetake.users set limits = case when p_value is null then limits - p_key
            else limits || jsonb_build_object(p_key, p_value) end where user_id = p_user_id;
    perform onetake.record_change(p_who, 'user:' || p_user_id || ':' || p_key, u.limits -> p_key, p_value);
    return jsonb_build_object('set', true, 'before', u.limits -> p_key, 'after', p_value);
end $$;

-- As before, and a budget without room for an order is told.
create or replace function public.raise_alerts(p_doubt_seconds double precision) returns jsonb
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

-- A clip that was paid for cannot be stored on the machine that fetches it: noted once, told once a day.
create function public.note_not_stored(p_run_id uuid, p_words text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs := onetake.lock_run(p_run_id);
begin
    if r.state is distinct from 'rendering' or exists (select from onetake.events where run_id = p_run_id
            and step = 'save_video' and outcome = 'not_stored' and detail ->> 'words' = p_words) then
        return jsonb_build_object('recorded', false);
    end if;
    perform onetake.note(p_run_id, r.user_id, 'save_video', 'not_stored', jsonb_build_object('words', p_words));
    perform onetake.raise_alert('not_stored:' || (clock_timestamp() at time zone 'UTC')::date, 'not_stored',
                                jsonb_build_object('ref', r.ref, 'words', p_words));
    return jsonb_build_object('recorded', true);
end $$;

-- What is given back was ordered first; what the paid calls came to, by state.
drop index onetake.runs_by_state;
create index runs_by_state on onetake.runs (state, reserved_at desc)
    include (held_microusd, spent_microusd, released_microusd, text_microusd, parked_at, submitting_at);
create index runs_paid on onetake.runs (state) where job_id is not null;
create or replace function public.stats() returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_utc timestamp := clock_timestamp() at time zone 'UTC';
    v_runs jsonb;
    v_checks jsonb;
begin
    perform onetake.count_days();
    select jsonb_build_object(
        'total_videos', coalesce(sum(n) filter (where state in ('saved', 'delivered')), 0),
        'total_runs', coalesce(sum(n), 0),
        'states', coalesce(jsonb_object_agg(state, n), '{}'),
        'parked', coalesce(sum(parked) filter (where state in ('uncertain', 'rendering')), 0),
        'held_microusd', coalesce(sum(held), 0), 'spent_microusd', coalesce(sum(spent), 0),
        'released_microusd', coalesce(sum(released), 0), 'text_microusd', coalesce(sum(text_model), 0))
        into v_runs from (
            select state, count(*) as n, count(parked_at) as parked, sum(held_microusd) as held, sum(spent_microusd) as spent,
                   sum(released_microusd) filter (where submitting_at is not null) as released, sum(text_microusd) as text_model
            from onetake.runs group by state) as s;
    select jsonb_build_object(
        'requests', coalesce(sum(times), 0),
        'checks', coalesce(jsonb_object_agg(outcome, times), '{}'),
        'duplicates_blocked', coalesce(sum(times) filter (where outcome in ('duplicate', 'replayed')), 0),
        'money_saved_microusd', coalesce(sum(saved) filter (where outcome in ('duplicate', 'replayed')), 0))
        into v_checks from (
            select outcome, sum(n) as times, sum(saved_microusd) as saved
            from onetake.all_counts() where step = 'check_limits' group by outcome) as c;
    return v_runs || v_checks || jsonb_build_object(
        'paid_calls', (select count(*) from onetake.runs where job_id is not null),
        'paid_states', (select coalesce(jsonb_object_agg(state, n), '{}')
            from (select state, count(*) as n from onetake.runs where job_id is not null group by state) as p),
        'today', (select to_jsonb(b) from onetake.budgets b where period = v_utc::date::text),
        'this_month', (select to_jsonb(b) from onetake.budgets b where period = to_char(v_utc, 'YYYY-MM')),
        'budget_day_microusd', onetake.limit_value('budget_day_microusd'),
        'budget_month_microusd', onetake.limit_value('budget_month_microusd'));
end $$;

select onetake.restrict(array['note_not_stored', 'record_look', 'set_limit', 'raise_alerts', 'stats']);
