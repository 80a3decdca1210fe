-- What the operators' page and the metrics read: quick with a hundred thousand runs and a million events.

create index runs_by_state on onetake.runs (state, reserved_at desc)
    include (held_microusd, spent_microusd, released_microusd, text_microusd, parked_at);
create index runs_by_model on onetake.runs (model, reserved_at desc);
create index runs_by_template on onetake.runs using gin (templates jsonb_path_ops);
create index events_at on onetake.events (at);
create index events_timed on onetake.events (step, event_id desc) where ms is not null;

-- The events of days that are over, counted once. `buckets`: how many took up to each of onetake.bounds_ms(), and longer.
create table onetake.event_days (
    day            date not null,
    step           text not null,
    outcome        text not null,
    n              bigint not null,
    cost_microusd  numeric not null,
    saved_microusd numeric not null,
    timed          bigint not null,                   -- of n, those whose duration is known
    ms             numeric not null,
    buckets        bigint[] not null,
    primary key (day, step, outcome)
);
create table onetake.counted (
    only_row boolean primary key default true check (only_row),
    before   date not null                            -- days before this one are in event_days
);
insert into onetake.counted (before) values ('-infinity');
alter table onetake.event_days enable row level security;
alter table onetake.counted enable row level security;

-- Upper bounds of the histograms of durations, in milliseconds.
create function onetake.bounds_ms() returns integer[]
language sql immutable set search_path = '' as $$
    select array[50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 120000, 300000, 600000, 1800000];
$$;

-- Events from p_since on, by day, step and outcome, as they are now.
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

-- Counts the days that ended more than an hour ago: no transaction of theirs is under way any more, and an answer that is
-- asked for again (which may change its event) comes within seconds.
create function onetake.count_days() returns void
language plpgsql volatile set search_path = '' as $$
declare
    v_from date;
    v_to date := ((clock_timestamp() - interval '1 hour') at time zone 'UTC')::date;
begin
    select before into v_from from onetake.counted where before < v_to for update skip locked;
    if not found then return; end if;
    insert into onetake.event_days select * from onetake.count_events(
        case when v_from = '-infinity' then '-infinity'::timestamptz else v_from::timestamp at time zone 'UTC' end,
        v_to::timestamp at time zone 'UTC');
    update onetake.counted set before = v_to;
end $$;

-- All events, by day, step and outcome: what was counted, and the rest as it is now.
create function onetake.all_counts() returns setof onetake.event_days
language sql stable set search_path = '' as $$
    select * from onetake.event_days
    union all
    select c.* from onetake.counted k cross join lateral onetake.count_events(
        case when k.before = '-infinity' then '-infinity'::timestamptz else k.before::timestamp at time zone 'UTC' end,
        'infinity') as c;
$$;

-- The numbers of `onetake stats`. Money in micro-dollars.
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
                   sum(released_microusd) as released, sum(text_microusd) as text_model
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
        'today', (select to_jsonb(b) from onetake.budgets b where period = v_utc::date::text),
        'this_month', (select to_jsonb(b) from onetake.budgets b where period = to_char(v_utc, 'YYYY-MM')),
        'budget_day_microusd', onetake.limit_value('budget_day_microusd'),
        'budget_month_microusd', onetake.limit_value('budget_month_microusd'));
end $$;

-- Whether a second paid call came in the last day: {clean, why}. Clean needs proof: a complete audit of that day.
create function onetake.clean_day() returns jsonb
language sql stable set search_path = '' as $$
    select case
        when exists (select from onetake.events e join onetake.runs r using (run_id)
                where e.step = 'generate_video' and e.outcome = 'answer_ignored' and e.at > clock_timestamp() - interval '1 day'
                  and e.detail ->> 'source' = 'answer' and r.job_id is distinct from e.detail ->> 'job_id')
            then jsonb_build_object('clean', false, 'why', 'second_answer')
        when exists (select from onetake.audits a where a.at > clock_timestamp() - interval '1 day'
                and a.result -> 'differences' @> '[{"kind": "two_paid_calls"}]')
            then jsonb_build_object('clean', false, 'why', 'audit')
        when not exists (select from onetake.audits a where a.at > clock_timestamp() - interval '25 hours'
                and (a.result ->> 'complete')::boolean)
            then jsonb_build_object('clean', false, 'why', 'not_audited')
        else jsonb_build_object('clean', true, 'why', null) end;
$$;

-- Runs that have not ended, and those that wait for a worker: due for longer than one that works on a run lets it look
-- (ATTEND_SECONDS is twice 10 s by default).
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

-- All that the overview shows.
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
            select ref, user_id, state, state_since, reserved_at, progress, parked_at, held_back_by, held_microusd, model, seconds
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

-- Runs, the newest first, from before p_before on. p_filters: {state, user_id, ref, since, until, model, template}, any
-- of them; `state` may be "doubt" (what a person may settle) or "open" (not ended); `ref` and `template` (a sha256) may be
-- beginnings.
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

-- What `GET /metrics` and the JSON metrics show. `cached_calls`: for each step, how often a request was answered by what
-- a run already had, instead of a new call.
create function public.page_metrics() returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
    return jsonb_build_object(
        'stats', public.stats(),
        'bounds_ms', to_jsonb(onetake.bounds_ms()),
        'events', (select coalesce(jsonb_agg(to_jsonb(x) order by x.step, x.outcome), '[]') from (
            select step, outcome, sum(n) as n, sum(cost_microusd) as cost_microusd, sum(saved_microusd) as saved_microusd,
                   sum(timed) as timed, sum(ms) as ms,
                   (select jsonb_agg(total order by i) from (
                        select i, sum(b) as total from onetake.all_counts() d, unnest(d.buckets) with ordinality as u (b, i)
                        where d.step = a.step and d.outcome = a.outcome and d.timed > 0 group by i) z) as buckets
            from onetake.all_counts() a group by step, outcome) x),
        'cached_calls', (select jsonb_build_object(
                'check_limits', count(*) filter (where e.outcome = 'replayed'),
                'validate_prompt', count(*) filter (where coalesce(r.approved_at, r.rejected_at) < e.at),
                'generate_video', count(*) filter (where r.submitting_at < e.at),
                'write_caption', count(*) filter (where r.caption is not null and r.saved_at < e.at),
                'save_video', count(*) filter (where r.saved_at < e.at),
                'deliver', count(*) filter (where r.delivered_at < e.at))
            from onetake.events e join onetake.runs r using (run_id)
            where e.step = 'check_limits' and e.outcome in ('replayed', 'duplicate')),
        'queue', onetake.queue_now(),
        'clean_day', onetake.clean_day(),
        'breakers_open', (select count(*) from onetake.breakers where open_until > clock_timestamp()),
        'paused', (select paused from onetake.control),
        'audit', (select jsonb_build_object('at', a.at, 'complete', a.result -> 'complete', 'differences', a.differences)
            from onetake.audits a order by a.id desc limit 1));
end $$;

-- What became of the runs of each version, of the last p_days days, newest version first. As before, eight times as fast:
-- runs that were asked with the same versions are counted together, and now(), unlike clock_timestamp(), can use an index.
create or replace function public.template_impact(p_days double precision) returns jsonb
language sql stable security definer set search_path = '' as $$
    with recent as materialized (
        select templates, state, caption_by, count(*) as runs, min(reserved_at) as first_at, max(reserved_at) as last_at
        from onetake.runs where reserved_at > now() - make_interval(secs => p_days * 86400)
        group by templates, state, caption_by
    ), called as materialized (
        select r.templates, e.step, count(*) as calls, sum(e.cost_microusd) as cost_microusd,
               sum(greatest(coalesce((e.detail ->> 'asks')::integer, 1) - 1, 0)) as reasks
        from onetake.runs r join onetake.events e using (run_id)
        where r.reserved_at > now() - make_interval(secs => p_days * 86400)
            and e.at > now() - make_interval(secs => p_days * 86400)
            and e.step = any (array(select distinct id from recent cross join lateral jsonb_object_keys(templates) as id))
        group by r.templates, e.step
    ), used as (
        select t.key as id, t.value as sha256, u.*
        from recent u cross join lateral jsonb_each_text(u.templates) as t
    ), asked as (
        select t.key as id, t.value as sha256, sum(c.calls) as calls, sum(c.reasks) as reasks, sum(c.cost_microusd) as cost_microusd
        from called c cross join lateral jsonb_each_text(c.templates) as t where t.key = c.step group by t.key, t.value
    )
    select coalesce(jsonb_agg(to_jsonb(i) order by i.id, i.last_used_at desc), '[]') from (
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
$$;

-- Its user gets the video once more: the next worker that comes by brings it.
create function public.deliver_again(p_run_id uuid, p_who text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    if r.run_id is null or r.state <> 'saved' or r.audience ->> 'kind' = 'terminal' then
        return jsonb_build_object('asked', false, 'state', r.state);
    end if;
    update onetake.runs set told_state = null, next_look_at = null, attempts = 0 where run_id = p_run_id;
    perform onetake.note(p_run_id, r.user_id, 'deliver', 'asked_again', jsonb_build_object('by', p_who));
    return jsonb_build_object('asked', true, 'state', r.state);
end $$;

select onetake.restrict(array['stats', 'template_impact', 'page_overview', 'page_runs', 'page_metrics', 'deliver_again']);
