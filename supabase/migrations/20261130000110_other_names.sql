-- One account may have several names here: a new key replaces an old one, and a server has an inner and a public address.
-- An order in doubt under one of them may own the job that another one's list shows.

create index runs_job_anywhere on onetake.runs (onetake.canonical_id(job_id)) where job_id is not null;

-- As before, and `elsewhere`: orders under other keys and addresses that may own a job of this list. `explained` has the
-- jobs of runs under other addresses as well.
create or replace function public.doubts_at(p_base_url text, p_key_fingerprint text, p_job_ids jsonb) returns jsonb
language sql volatile security definer set search_path = '' as $$
    select onetake.note_listed(p_base_url, p_key_fingerprint, p_job_ids);
    select jsonb_build_object(
        'first_seen', coalesce((select jsonb_object_agg(l.job_key, l.first_seen_at) from onetake.listed_jobs l
            where l.base_url = p_base_url and l.key_fingerprint = p_key_fingerprint
              and l.job_key in (select value from jsonb_array_elements_text(p_job_ids))), '{}'),
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
        'elsewhere', coalesce((select jsonb_agg(onetake.run_json(r)) from (
            select * from onetake.runs where (base_url, key_fingerprint) <> (p_base_url, p_key_fingerprint) and job_id is null
                and (state in ('submitting', 'uncertain')
                     or state = 'failed' and reason not in ('never_sent', 'never_connected'))
                and submitting_at > clock_timestamp() - interval '30 days'
                order by submitting_at desc limit 1000) as r), '[]'),
        'owned', coalesce((select jsonb_object_agg(k.key, onetake.owner_json(r))
            from jsonb_array_elements_text(p_job_ids) as k (key) join onetake.runs r
                on r.base_url = p_base_url and r.job_id is not null and onetake.canonical_id(r.job_id) = k.key), '{}'),
        'explained', coalesce((select jsonb_agg(d.job_id) from (
            select job_id from onetake.differences                              -- a person says that it is nobody's here
                where base_url = p_base_url and closed_by like 'person:%'
            union all
            select job_id from onetake.runs where base_url <> p_base_url and job_id is not null) as d   -- another name of this server
            where onetake.canonical_id(d.job_id) in (select value from jsonb_array_elements_text(p_job_ids))), '[]'),
        'trusted', false,                             -- for an older version of the program: nothing is proven to it
        'running_shown', exists (select from onetake.providers where base_url = p_base_url
            and key_fingerprint = p_key_fingerprint and running_shown_at > clock_timestamp() - interval '30 days'),
        'running_shown_at', (select running_shown_at from onetake.providers where base_url = p_base_url and key_fingerprint = p_key_fingerprint),
        'ours_since', (select min(submitting_at) from onetake.runs where base_url = p_base_url));
$$;

-- As before, but `rivals` counts the orders of every key and address.
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
        'rivals', (select count(*) from onetake.runs o, me where o.run_id <> me.run_id and o.submitting_at
            between me.submitting_at - make_interval(secs => p_rival_seconds)
                and me.submitting_at + make_interval(secs => p_rival_seconds)));
$$;

select onetake.restrict(array['doubts_at', 'witnesses_near']);
