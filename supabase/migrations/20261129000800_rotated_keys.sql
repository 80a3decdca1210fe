-- When each job was first seen in the provider's list: before an order was sent is before, whatever its place and its time
-- there say, which one wrong clock makes wrong together.
create table onetake.listed_jobs (
    base_url        text not null,
    key_fingerprint text not null,
    job_key         text not null,
    first_seen_at   timestamptz not null default clock_timestamp(),
    last_seen_at    timestamptz not null default clock_timestamp(),
    primary key (base_url, key_fingerprint, job_key)
);
create index listed_jobs_last on onetake.listed_jobs (last_seen_at);
alter table onetake.listed_jobs enable row level security;

create function onetake.note_listed(p_base_url text, p_key_fingerprint text, p_job_ids jsonb) returns void
language sql volatile set search_path = '' as $$
    insert into onetake.listed_jobs (base_url, key_fingerprint, job_key)
        select distinct p_base_url, p_key_fingerprint, value from jsonb_array_elements_text(p_job_ids)
        on conflict (base_url, key_fingerprint, job_key) do update set last_seen_at = clock_timestamp()
            where listed_jobs.last_seen_at < clock_timestamp() - interval '1 hour';
    delete from onetake.listed_jobs where last_seen_at < clock_timestamp() - interval '60 days';
$$;

-- As before; a key that replaces another is usually of the same account, so `ours_since` goes by the provider alone.
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
        'owned', coalesce((select jsonb_object_agg(k.key, onetake.owner_json(r))
            from jsonb_array_elements_text(p_job_ids) as k (key) join onetake.runs r
                on r.base_url = p_base_url and r.job_id is not null and onetake.canonical_id(r.job_id) = k.key), '{}'),
        'explained', coalesce((select jsonb_agg(d.job_id) from onetake.differences d        -- a person says that it is nobody's here
            where d.base_url = p_base_url and d.closed_by like 'person:%'
              and onetake.canonical_id(d.job_id) in (select value from jsonb_array_elements_text(p_job_ids))), '[]'),
        'trusted', false,                             -- for an older version of the program: nothing is proven to it
        'running_shown', exists (select from onetake.providers where base_url = p_base_url
            and key_fingerprint = p_key_fingerprint and running_shown_at > clock_timestamp() - interval '30 days'),
        'running_shown_at', (select running_shown_at from onetake.providers where base_url = p_base_url and key_fingerprint = p_key_fingerprint),
        'ours_since', (select min(submitting_at) from onetake.runs where base_url = p_base_url));
$$;


-- When the job's own address first called this job completed: whatever it says later, the clip was made.
alter table onetake.runs add column done_seen_at timestamptz;

create function public.note_done(p_run_id uuid, p_job_id text) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
    update onetake.runs set done_seen_at = coalesce(done_seen_at, clock_timestamp())
        where run_id = p_run_id and job_id = p_job_id and state = 'rendering';
    return public.load_run(p_run_id);
end $$;

-- Another job begins anew.
create function onetake.forget_done() returns trigger
language plpgsql set search_path = '' as $$
begin
    if new.job_id is distinct from old.job_id then new.done_seen_at := null; end if;
    return new;
end $$;
create trigger forget_done before update on onetake.runs for each row execute function onetake.forget_done();

select onetake.restrict(array['note_done']);
select onetake.restrict(array['doubts_at']);
