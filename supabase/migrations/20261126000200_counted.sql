-- What the prompts and the metrics show of days that are over is counted once, too. What a day's event says does not change
-- once the day is over: a run's versions are kept with its verdict, in the same breath as the call's event (a call that
-- failed before any verdict is no version's), and a time that a run did not have when an event came can only be later.

-- Calls of the text model by the day of the call and the version of the template.
create table onetake.prompt_days (
    day           date not null,
    id            text not null,
    sha256        text not null,
    calls         bigint not null,
    reasks        bigint not null,
    cost_microusd numeric not null,
    primary key (day, id, sha256)
);
-- Requests that were answered by what their run already had, by day and by the step that was spared.
create table onetake.cached_days (
    day  date not null,
    step text not null,
    n    bigint not null,
    primary key (day, step)
);
alter table onetake.prompt_days enable row level security;
alter table onetake.cached_days enable row level security;

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

-- The first moment (UTC) that is not counted yet.
create function onetake.not_counted() returns timestamptz
language sql stable set search_path = '' as $$
    select case when before = '-infinity' then '-infinity'::timestamptz else before::timestamp at time zone 'UTC' end
    from onetake.counted;
$$;

-- Nobody counts meanwhile: an older version, still at work, would move the mark on and count its own table only.
do $$ begin perform from onetake.counted for update; end $$;
insert into onetake.prompt_days select * from onetake.count_prompts('-infinity', onetake.not_counted());
insert into onetake.cached_days select * from onetake.count_cached('-infinity', onetake.not_counted());

create or replace function onetake.count_days() returns void
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

-- As before; the calls are those of the last p_days days.
create or replace function public.template_impact(p_days double precision) returns jsonb
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

-- As before, with each event counted once.
create or replace function public.page_metrics() returns jsonb
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

-- As before, by two indexes: a run's id as text had none, and every look for a ref went through all runs.
create or replace function public.find_run(p_ref text) returns jsonb
language sql security definer set search_path = '' as $$
    select onetake.run_json(r) from onetake.runs r
    where r.ref = upper(p_ref)
       or r.run_id = case when p_ref ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then p_ref::uuid end;
$$;

select onetake.restrict(array['template_impact', 'page_metrics', 'find_run']);
