-- What a list must show before its silence proves anything: jobs of the same model, too, since a gateway's list may be
-- that of one deployment; and rows that contradict a clip we have are another job under an old id.

create or replace function onetake.owner_json(r onetake.runs) returns jsonb
language sql immutable set search_path = '' as $$
    select jsonb_build_object('run_id', r.run_id, 'source', r.job_source, 'prompt', r.improved_prompt, 'order', onetake.order_json(r),
        'sent_at', r.submitting_at, 'known_at', coalesce(r.answered_at, r.rendering_at, r.state_since),
        'saved', r.state in ('saved', 'delivered'));
$$;

-- As before, and the nearest of the run's own model before and after it.
create or replace function public.witnesses_near(p_run_id uuid, p_near_seconds double precision, p_rival_seconds double precision) returns jsonb
language sql security definer set search_path = '' as $$
    with me as (
        select * from onetake.runs where run_id = p_run_id
    ), others as (
        select o.* from onetake.runs o, me where o.base_url = me.base_url and o.key_fingerprint = me.key_fingerprint
            and o.run_id <> me.run_id and o.submitting_at is not null
    ), answered as (
        select o.* from others o where o.job_source = 'answer' and o.job_id is not null
    ), sides as (
        select a.run_id, a.model, a.submitting_at, a.submitting_at > me.submitting_at as after from answered a, me
            where a.submitting_at > me.submitting_at
               or a.submitting_at < me.submitting_at and coalesce(a.answered_at, a.rendering_at) <= me.submitting_at
    ), found as (
        select a.run_id from answered a, me
            where a.submitting_at between me.submitting_at - make_interval(secs => p_near_seconds)
                                      and me.submitting_at + make_interval(secs => p_near_seconds)
        union all (select run_id from sides where not after order by submitting_at desc limit 1)
        union all (select run_id from sides where after order by submitting_at limit 1)
        union all (select s.run_id from sides s, me where not s.after and s.model = me.model order by s.submitting_at desc limit 1)
        union all (select s.run_id from sides s, me where s.after and s.model = me.model order by s.submitting_at limit 1)
    )
    select jsonb_build_object(
        'began', clock_timestamp(),
        'witnesses', coalesce((select jsonb_object_agg(o.job_id, onetake.owner_json(o)) from onetake.runs o
            where o.run_id in (select run_id from found)), '{}'),
        'rivals', (select count(*) from others o, me where o.submitting_at
            between me.submitting_at - make_interval(secs => p_rival_seconds)
                and me.submitting_at + make_interval(secs => p_rival_seconds)));
$$;

-- The first order of the same model that is answered after a doubt may be the witness that its list lacked: look again now.
create or replace function onetake.wake_doubts(r onetake.runs) returns void
language sql volatile set search_path = '' as $$
    update onetake.runs set next_look_at = null where run_id in (
        select d.run_id from onetake.runs d
        where d.base_url = r.base_url and d.key_fingerprint = r.key_fingerprint and d.model = r.model and d.state = 'uncertain'
          and d.parked_at is not null and d.submitting_at < r.submitting_at
          and d.submitting_at > clock_timestamp() - interval '30 days'
          and not exists (select from onetake.runs o where o.base_url = d.base_url and o.key_fingerprint = d.key_fingerprint
              and o.model = d.model and o.job_source = 'answer' and o.submitting_at > d.submitting_at and o.run_id <> r.run_id)
        for update skip locked);                      -- somebody is at it: no waiting here, with budgets locked
$$;

-- As before, and when its list last showed a job of ours while it was rendering: before a doubt that says nothing of it.
create or replace function public.doubts_at(p_base_url text, p_key_fingerprint text, p_job_ids jsonb) returns jsonb
language sql security definer set search_path = '' as $$
    select jsonb_build_object(
        'runs', coalesce((select jsonb_agg(onetake.run_json(r) order by r.submitting_at) from (
            (select * from onetake.runs where base_url = p_base_url and key_fingerprint = p_key_fingerprint
                and job_id is null and state in ('submitting', 'uncertain'))
            union all
            (select * from onetake.runs where base_url = p_base_url and key_fingerprint = p_key_fingerprint
                and job_id is null and state in ('saved', 'delivered')        -- proof took the job whose clip it has
                and submitting_at > clock_timestamp() - interval '30 days')
            union all
            (select * from onetake.runs where base_url = p_base_url and key_fingerprint = p_key_fingerprint
                and job_id is null and state = 'failed' and reason not in ('never_sent', 'never_connected')
                and submitting_at > clock_timestamp() - interval '30 days'
                order by submitting_at desc limit 1000)) as r), '[]'),
        'owned', coalesce((select jsonb_object_agg(k.key, onetake.owner_json(r))
            from jsonb_array_elements_text(p_job_ids) as k (key) join onetake.runs r
                on r.base_url = p_base_url and r.job_id is not null and onetake.canonical_id(r.job_id) = k.key), '{}'),
        'trusted', false,                             -- for an older version of the program: nothing is proven to it
        'running_shown', exists (select from onetake.providers where base_url = p_base_url
            and key_fingerprint = p_key_fingerprint and running_shown_at > clock_timestamp() - interval '30 days'),
        'running_shown_at', (select running_shown_at from onetake.providers where base_url = p_base_url and key_fingerprint = p_key_fingerprint),
        'ours_since', (select min(submitting_at) from onetake.runs where base_url = p_base_url and key_fingerprint = p_key_fingerprint));
$$;
