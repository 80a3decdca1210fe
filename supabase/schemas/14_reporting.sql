-- Numbers: statistics, the operators' page, metrics. Past days are counted once, so that these queries stay fast.

-- Upper bounds of the duration histograms, in milliseconds.
create function onetake.bounds_ms() returns integer[]
language sql immutable set search_path = '' as $$
    select array[50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 120000, 300000, 600000, 1800000];
$$;

-- The first moment (UTC) that is not counted yet.
create function onetake.not_counted() returns timestamptz
language sql stable set search_path = '' as $$
    select case when before = '-infinity' then '-infinity'::timestamptz else before::timestamp at time zone 'UTC' end
    from onetake.counted;
$$;

-- Events of a time span by day, step and outcome.
create function onetake.count_events(p_since timestamptz, p_before timestamptz) returns setof onetake.event_days
language sql stable set search_path = '' as $$
    with found as (
        select (at at time zone 'UTC')::date as day, step, outcome, cost_microusd, saved_microusd, ms,
               case when ms is not null then width_bucket(ms - 0.5, onetake.bounds_ms()::numeric[]) end as bucket
        from onetake.events where at >= p_since and at < p_before
    ), bucketed as (
        select day, step, outcome, bucket, count(*) as n, sum(cost_microusd) as cost, sum(saved_microusd) as saved,
               count(ms) as timed, coalesce(sum(ms), 0) as ms
        from found group by day, step, outcome, bucket
    )
    select day, step, outcome, sum(n)::bigint, sum(cost), sum(saved), sum(timed)::bigint, sum(ms),
           array(select coalesce(sum(b.n), 0)::bigint from generate_series(0, cardinality(onetake.bounds_ms())) as i
                 left join bucketed b on b.bucket = i and b.day = o.day and b.step = o.step and b.outcome = o.outcome
                 group by i order by i)
    from bucketed o group by day, step, outcome;
$$;

-- Text model calls of a time span by day and template version.
create function onetake.count_prompts(p_since timestamptz, p_before timestamptz) returns setof onetake.prompt_days
language sql stable set search_path = '' as $$
    select day, step, sha256, count(*), sum(greatest(coalesce(asks, 1) - 1, 0)), sum(cost_microusd)
    from (select (e.at at time zone 'UTC')::date as day, e.step, (e.detail ->> 'asks')::integer as asks, e.cost_microusd,
                 -- one by one: a join, planned for more events than there are, goes through all runs
                 (select r.templates ->> e.step from onetake.runs r where r.run_id = e.run_id) as sha256
          from onetake.events e
          where e.at >= p_since and e.at < p_before and e.step in ('validate_prompt', 'write_caption')) as asked
    where sha256 is not null
    group by day, step, sha256;
$$;

-- Requests of a time span that a run had already answered, by day and skipped step.
create function onetake.count_cached(p_since timestamptz, p_before timestamptz) returns setof onetake.cached_days
language sql stable set search_path = '' as $$
    select (e.at at time zone 'UTC')::date, s.step, count(*)
    from onetake.events e join onetake.runs r using (run_id)
    cross join lateral (values
        ('check_limits', e.outcome = 'replayed'),
        ('validate_prompt', coalesce(r.approved_at, r.rejected_at) < e.at),
        ('generate_video', r.submitting_at < e.at),
        ('write_caption', r.caption is not null and r.saved_at < e.at),
        ('save_video', r.saved_at < e.at),
        ('deliver', r.delivered_at < e.at)) as s (step, spared)
    where e.at >= p_since and e.at < p_before and e.step = 'check_limits' and e.outcome in ('replayed', 'duplicate') and s.spared
    group by 1, 2;
$$;

-- Counts the days that are over, once.
create function onetake.count_days() returns void
language plpgsql volatile set search_path = '' as $$
declare
    v_from timestamptz;
    v_day date := ((clock_timestamp() - interval '1 hour') at time zone 'UTC')::date;
    v_to timestamptz := v_day::timestamp at time zone 'UTC';
begin
    perform from onetake.counted where before < v_day for update skip locked;
    if not found then return; end if;
    v_from := onetake.not_counted();
    insert into onetake.event_days select * from onetake.count_events(v_from, v_to);
    insert into onetake.prompt_days select * from onetake.count_prompts(v_from, v_to);
    insert into onetake.cached_days select * from onetake.count_cached(v_from, v_to);
    update onetake.counted set before = v_day;
end $$;

-- All events by day, step and outcome: past days as counted, the rest as it is now.
create function onetake.all_counts() returns setof onetake.event_days
language sql stable set search_path = '' as $$
    select * from onetake.event_days
    union all
    select c.* from onetake.counted k cross join lateral onetake.count_events(
        case when k.before = '-infinity' then '-infinity'::timestamptz else k.before::timestamp at time zone 'UTC' end,
        'infinity') as c;
$$;

-- Runs that have not ended, and those that wait for a worker: due for longer than a worker leaves a run between two
-- heartbeats (ATTEND_SECONDS is twice 10 s by default).
create function onetake.queue_now() returns jsonb
language sql stable set search_path = '' as $$
    select jsonb_build_object(
        'unfinished', count(*),
        'due', count(*) filter (where late),
        'oldest_due_seconds', coalesce(extract(epoch from clock_timestamp() - min(due_at) filter (where late)), 0))
        from (select due_at, due_at <= clock_timestamp() - interval '15 seconds' as late
              from (select coalesce(next_look_at, state_since) as due_at from onetake.runs
                    where state in ('reserved', 'approved', 'submitting', 'uncertain', 'rendering')) as u) as q;
$$;

-- Money, videos, paid calls and blocked duplicates, today, this month and in all.
create function public.stats() returns jsonb
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

-- Everything that the overview page shows.
create function public.page_overview(p_days integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_utc timestamp := clock_timestamp() at time zone 'UTC';
    v_week bigint;
begin
    select coalesce(sum(spent_microusd), 0) into v_week from onetake.budgets
        where length(period) = 10 and period > (v_utc::date - 7)::text and period <= v_utc::date::text;
    return jsonb_build_object(
        'now', clock_timestamp(),
        'stats', public.stats(),
        'week_spent_microusd', v_week,
        'blocked', (select coalesce(jsonb_agg(to_jsonb(b) order by b.times desc), '[]') from (
            select outcome, sum(n) as times, sum(saved_microusd) as saved_microusd from onetake.all_counts()
                where step = 'check_limits' and outcome <> 'accepted' group by outcome) b),
        'in_flight', (select coalesce(jsonb_agg(to_jsonb(f)), '[]') from (
            select ref, user_id, state, state_since, reserved_at, progress, parked_at, deferred_by, held_microusd, model, seconds
                from onetake.runs where state in ('reserved', 'approved', 'submitting', 'uncertain', 'rendering')
                order by reserved_at desc limit 50) f),
        'steps', (select coalesce(jsonb_agg(to_jsonb(t) order by t.p95_ms desc), '[]') from (
            select s.step, count(*) as n, percentile_cont(0.5) within group (order by e.ms) as p50_ms,
                   percentile_cont(0.95) within group (order by e.ms) as p95_ms
                from unnest(array['validate_prompt', 'generate_video', 'write_caption', 'save_video']) as s (step)
                cross join lateral (select ms from onetake.events where events.step = s.step and ms is not null
                    order by event_id desc limit 1000) as e
                group by s.step
            union all
            select 'whole', count(*), percentile_cont(0.5) within group (order by took),
                   percentile_cont(0.95) within group (order by took)
                from (select 1000 * extract(epoch from saved_at - submitting_at)::double precision as took from onetake.runs
                    where saved_at > submitting_at order by reserved_at desc limit 1000) as w
                having count(*) > 0) t),
        'queue', onetake.queue_now(),
        'controls', public.controls(),
        'clean_day', onetake.clean_day(),
        'last_audit_at', (select max(at) from onetake.audits),
        'days', (select coalesce(jsonb_agg(to_jsonb(d) order by d.day), '[]') from (
            select g.day::date as day, coalesce(max(b.spent_microusd), 0) as spent_microusd,
                   coalesce(max(b.held_microusd), 0) as held_microusd,
                   coalesce(sum(c.n) filter (where c.step = 'save_video' and c.outcome = 'saved'), 0) as videos,
                   coalesce(sum(c.n) filter (where c.step = 'validate_prompt' and c.outcome = 'rejected'), 0) as rejected,
                   coalesce(sum(c.n) filter (where c.step = 'check_limits' and c.outcome in ('duplicate', 'replayed')), 0) as blocked
                from generate_series(v_utc::date - p_days + 1, v_utc::date, interval '1 day') as g (day)
                left join onetake.budgets b on b.period = g.day::date::text
                left join onetake.all_counts() c on c.day = g.day::date
                group by g.day) d));
end $$;

-- Runs, newest first, up to p_before. p_filters: any of {state, user_id, ref, since, until, model, template}; `state` may be
-- "doubt" (a person may settle it) or "open" (not ended); `ref` and `template` (a sha256) may be prefixes.
create function public.page_runs(p_filters jsonb, p_at_most integer, p_before timestamptz default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_where text := 'true';
    v_found jsonb;
    v_key text;
    v_value text;
begin
    for v_key, v_value in select key, value from jsonb_each_text(p_filters) where value <> '' loop
        v_where := v_where || ' and ' || case v_key
            when 'state' then case v_value
                when 'doubt' then '(state = ''uncertain'' or (state = ''rendering'' and parked_at is not null))'
                when 'open' then 'state in (''reserved'', ''approved'', ''submitting'', ''uncertain'', ''rendering'')'
                else format('state = %L', v_value) end
            when 'user_id' then format('user_id = %L', v_value)
            when 'ref' then format('(ref >= %1$L and ref < %1$L || ''Z~'')', upper(v_value))
            when 'since' then format('reserved_at >= %L', v_value)
            when 'until' then format('reserved_at < %L', v_value)
            when 'model' then format('model = %L', v_value)
            when 'template' then coalesce((
                select '(' || string_agg(format('templates @> %L::jsonb', jsonb_build_object(t.id, t.sha256)), ' or ') || ')'
                from onetake.templates t where starts_with(t.sha256, lower(v_value))), 'false')
            else 'false' end;
    end loop;
    if p_before is not null then v_where := v_where || format(' and reserved_at < %L', p_before); end if;
    execute 'select coalesce(jsonb_agg(onetake.run_json(r) order by r.reserved_at desc), ''[]'') from ('
        || 'select * from onetake.runs where ' || v_where || format(' order by reserved_at desc limit %s) r', p_at_most) into v_found;
    return v_found;
end $$;

-- Everything that the metrics show; each event is counted once.
create function public.page_metrics() returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare v_stats jsonb := public.stats();                -- counts the days that are over
begin
    return jsonb_build_object(
        'stats', v_stats,
        'bounds_ms', to_jsonb(onetake.bounds_ms()),
        'events', (
            with counted as materialized (select * from onetake.all_counts())
            select coalesce(jsonb_agg(to_jsonb(x) order by x.step, x.outcome), '[]') from (
                select step, outcome, sum(n) as n, sum(cost_microusd) as cost_microusd, sum(saved_microusd) as saved_microusd,
                       sum(timed) as timed, sum(ms) as ms,
                       (select jsonb_agg(total order by i) from (
                            select i, sum(b) as total from counted d, unnest(d.buckets) with ordinality as u (b, i)
                            where d.step = a.step and d.outcome = a.outcome and d.timed > 0 group by i) z) as buckets
                from counted a group by step, outcome) x),
        'cached_calls', (
            select jsonb_object_agg(s.step, coalesce(c.n, 0))
            from unnest(array['check_limits', 'validate_prompt', 'generate_video', 'write_caption', 'save_video', 'deliver']) as s (step)
            left join (
                select step, sum(n) as n from (
                    select * from onetake.cached_days
                    union all select * from onetake.count_cached(onetake.not_counted(), 'infinity')) as d
                group by step) as c using (step)),
        'queue', onetake.queue_now(),
        'clean_day', onetake.clean_day(),
        'breakers_open', (select count(*) from onetake.breakers where open_until > clock_timestamp()),
        'paused', (select paused from onetake.control),
        'audit', (select jsonb_build_object('at', a.at, 'complete', a.result -> 'complete', 'differences', a.differences)
            from onetake.audits a order by a.id desc limit 1));
end $$;

-- Runs and text model calls by template version, in the last p_days days.
create function public.template_impact(p_days double precision) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
    v_since timestamptz := clock_timestamp() - make_interval(secs => p_days * 86400);
    v_whole timestamptz := date_trunc('day', v_since, 'UTC') + interval '24 hours';   -- the first whole day in it
    v_found jsonb;
begin
    perform onetake.count_days();
    with recent as materialized (
        select templates, state, caption_by, count(*) as runs, min(reserved_at) as first_at, max(reserved_at) as last_at
        from onetake.runs where reserved_at > v_since group by templates, state, caption_by
    ), called as (
        select * from onetake.count_prompts(v_since, v_whole)
        union all select * from onetake.prompt_days where day >= (v_whole at time zone 'UTC')::date
        union all select * from onetake.count_prompts(greatest(v_whole, onetake.not_counted()), 'infinity')
    ), asked as (
        select id, sha256, sum(calls) as calls, sum(reasks) as reasks, sum(cost_microusd) as cost_microusd
        from called group by id, sha256
    ), used as (
        select t.key as id, t.value as sha256, u.*
        from recent u cross join lateral jsonb_each_text(u.templates) as t
    )
    select coalesce(jsonb_agg(to_jsonb(i) order by i.id, i.last_used_at desc), '[]') into v_found from (
        select u.id, u.sha256, sum(u.runs) as runs,
               coalesce(sum(u.runs) filter (where u.state in ('saved', 'delivered')), 0) as videos,
               coalesce(sum(u.runs) filter (where u.state = 'rejected'), 0) as rejected,
               coalesce(sum(u.runs) filter (where u.state = 'failed'), 0) as failed,
               coalesce(sum(u.runs) filter (where u.caption_by = 'plain'), 0) as plain_captions,
               coalesce(max(a.calls), 0) as calls, coalesce(max(a.reasks), 0) as reasks,
               coalesce(max(a.cost_microusd), 0) as cost_microusd,
               min(u.first_at) as first_used_at, max(u.last_at) as last_used_at
        from used u left join asked a using (id, sha256)
        group by u.id, u.sha256
    ) as i;
    return v_found;
end $$;
