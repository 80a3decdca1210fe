-- A clip is a job's, not a run's: what is noted of it names its sha256. And what nobody could hear of is told: a render
-- that cannot be fetched, a bucket that takes nothing, a run that nobody here may buy.

-- The clip of this sha256 lies in Storage, under this name ('bucket/name'). Another one is not this run's. (Null, and
-- `not_stored`: as an older version of the program asks.)
drop function public.note_stored(uuid, text);
create function public.note_stored(p_run_id uuid, p_stored text, p_sha256 text default null) returns jsonb
language sql security definer set search_path = '' as $$
    update onetake.runs set stored = p_stored
        where run_id = p_run_id and dropped_at is null and state in ('saved', 'delivered')
          and file_sha256 = coalesce(p_sha256, file_sha256);
    select public.load_run(p_run_id);
$$;

-- Of these runs (whose clips one machine has) those that ended: [{run_id, sha256, stored, dropped}]. Without a sha256
-- a run has no clip.
create function public.clips_of(p_run_ids jsonb) returns jsonb
language sql stable security definer set search_path = '' as $$
    select coalesce(jsonb_agg(jsonb_build_object(
            'run_id', run_id, 'sha256', file_sha256, 'stored', stored, 'dropped', dropped_at is not null)), '[]')
        from onetake.runs
        where run_id in (select value::uuid from jsonb_array_elements_text(p_run_ids))
          and state in ('saved', 'delivered', 'failed', 'canceled', 'rejected');
$$;

-- "Somebody is working on it": moves the next look on, and keeps the provider's progress for whoever watches. A look at
-- a render that is still on its way is progress. The wait between two is not, nor is a fetch: one that always fails
-- comes to its fifth attempt, and is parked.
create or replace function public.attend(p_run_id uuid, p_attend_seconds double precision, p_progress integer default null) returns jsonb
language sql security definer set search_path = '' as $$
    update onetake.runs r set next_look_at = clock_timestamp() + make_interval(secs => p_attend_seconds),
            progress = coalesce(p_progress, progress),
            attempts = case when r.state = 'rendering' and p_progress is not null then 1 else attempts end
        where r.run_id = p_run_id and r.state in ('reserved', 'approved', 'submitting', 'rendering')
        returning onetake.run_json(r);
$$;

-- Storage takes no clips: news for operators, once a day for each reason.
create function public.storage_broken(p_words text) returns jsonb
language sql security definer set search_path = '' as $$
    select onetake.raise_alert('storage:' || (clock_timestamp() at time zone 'UTC')::date || ':' || md5(p_words), 'storage',
        jsonb_build_object('words', p_words));
    select 'true'::jsonb;
$$;

-- Looks for news that operators must hear of, and keeps it.
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
          and r.reason in ('unauthorized', 'no_credit', 'forbidden', 'bad_request', 'expired', 'disk_full', 'not_sold_here');
    perform onetake.raise_alert('audit:' || a.id, case when a.result -> 'differences' @> '[{"kind": "two_paid_calls"}]'
                then 'two_paid_calls' else 'audit' end,
            jsonb_build_object('differences', a.differences, 'words', a.result -> 'differences' -> 0 ->> 'words'))
        from onetake.audits a where a.differences > 0 and a.at > v_now - interval '1 day';
    return jsonb_build_object('raised', true);
end $$;

select onetake.restrict(array['raise_alerts', 'note_stored', 'clips_of', 'storage_broken']);
