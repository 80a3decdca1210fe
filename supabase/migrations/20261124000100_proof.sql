-- Up to when it is proven that nothing was bought twice, and what a person settled, kept in one piece.

-- Up to when complete audits of a provider reach without a gap. `tried_at`: the last one that would have gone on from
-- there, complete or not. An audit that begins later than the last one ended proves nothing about the time between.
create table onetake.audited (
    base_url        text not null,
    key_fingerprint text not null,
    tried_at        timestamptz not null,
    until           timestamptz,                      -- null: none was complete yet
    primary key (base_url, key_fingerprint)
);
alter table onetake.audited enable row level security;

-- The first audit must reach back a day; later ones to the end of the last, or thirty days (SINCE_MAX in pipeline/audit.py),
-- farther than which none goes by itself. It saw the jobs that were made before it began to read the list.
create function onetake.count_audit(a onetake.audits) returns void
language plpgsql volatile set search_path = '' as $$
declare
    v_until timestamptz;
    v_began timestamptz := a.at - make_interval(secs => coalesce((a.result ->> 'took_seconds')::double precision, 0));
begin
    select until into v_until from onetake.audited
        where base_url = a.base_url and key_fingerprint = a.key_fingerprint for update;
    if a.since > greatest(coalesce(v_until, v_began - interval '1 day'), v_began - interval '30 days') then return; end if;
    insert into onetake.audited (base_url, key_fingerprint, tried_at, until)
        values (a.base_url, a.key_fingerprint, a.at, case when (a.result ->> 'complete')::boolean then v_began end)
        on conflict (base_url, key_fingerprint) do update
            set tried_at = greatest(audited.tried_at, excluded.tried_at), until = greatest(audited.until, excluded.until);
end $$;

do $$
declare a onetake.audits;
begin
    for a in select * from onetake.audits order by id loop perform onetake.count_audit(a); end loop;
end $$;

create or replace function public.store_audit(
    p_base_url text, p_key_fingerprint text, p_since timestamptz, p_result jsonb, p_differences integer
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare a onetake.audits;
begin
    insert into onetake.audits (base_url, key_fingerprint, since, result, differences)
        values (p_base_url, p_key_fingerprint, p_since, p_result, p_differences) returning * into a;
    perform onetake.count_audit(a);
    return to_jsonb(a);
end $$;

-- When an audit that goes on from the last complete one was last tried, up to when complete ones reach without a gap
-- (null: never), and what time it is here.
create or replace function public.last_audit_at(p_base_url text, p_key_fingerprint text) returns jsonb
language sql security definer set search_path = '' as $$
    select jsonb_build_object('at', max(tried_at), 'until', max(until), 'now', clock_timestamp())
    from onetake.audited where base_url = p_base_url and key_fingerprint = p_key_fingerprint;
$$;

-- Whether a second paid call came in a day: {clean, why, until}. Clean needs proof of the 24 hours before `until`: complete
-- audits of every provider and key that was ordered from since then, none older than 25 hours (they come once a day).
create or replace function onetake.clean_day() returns jsonb
language sql stable set search_path = '' as $$
    with sold as (
        select distinct base_url, key_fingerprint from onetake.runs where submitting_at > now() - interval '25 hours'
    ), proven as (
        select coalesce((select min(coalesce(a.until, '-infinity')) from sold
                             left join onetake.audited a using (base_url, key_fingerprint)),
                        (select max(until) from onetake.audited)) as until
    )
    select case
        when exists (select from onetake.events e join onetake.runs r using (run_id)
                where e.step = 'generate_video' and e.outcome = 'answer_ignored' and e.at > now() - interval '1 day'
                  and e.detail ->> 'source' = 'answer' and r.job_id is distinct from e.detail ->> 'job_id')
            then jsonb_build_object('clean', false, 'why', 'second_answer', 'until', null)
        when exists (select from onetake.audits a where a.at > now() - interval '1 day'
                and a.result -> 'differences' @> '[{"kind": "two_paid_calls"}]')
            then jsonb_build_object('clean', false, 'why', 'audit', 'until', null)
        when proven.until > now() - interval '25 hours'
            then jsonb_build_object('clean', true, 'why', null, 'until', proven.until)
        else jsonb_build_object('clean', false, 'why', 'not_audited', 'until', null) end
    from proven;
$$;

-- "Found it": record_submission by a person, with who that was and how they know, or nothing of it.
create function public.settle_found(p_run_id uuid, p_job_id text, p_who text, p_why text default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare v_answer jsonb := public.record_submission(p_run_id, p_job_id, 'person');
begin
    if (v_answer ->> 'recorded')::boolean then
        perform onetake.note(p_run_id, (select user_id from onetake.runs where run_id = p_run_id), 'settle', 'found',
                             jsonb_build_object('by', p_who, 'why', p_why, 'job', p_job_id));
    end if;
    return v_answer;
end $$;

-- As before, and p_shown is what that person was looking at, {state, job_id}: a word on what has changed since is not taken.
-- Answers {settled, state, why}.
drop function public.settle_not_charged(uuid, text, text);
create function public.settle_not_charged(
    p_run_id uuid, p_who text, p_why text default null, p_shown jsonb default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    if r.run_id is null or not (r.state = 'uncertain' or (r.state = 'rendering' and r.parked_at is not null)) then
        return jsonb_build_object('settled', false, 'state', r.state, 'why', 'state');
    end if;
    if p_shown <> jsonb_build_object('state', r.state, 'job_id', r.job_id) then
        return jsonb_build_object('settled', false, 'state', r.state, 'why', 'changed');
    end if;
    update onetake.runs set reason = 'not_charged', detail = p_why where run_id = p_run_id;
    perform onetake.move(p_run_id, 'failed', 'released');
    perform onetake.note(p_run_id, r.user_id, 'settle', 'not_charged', jsonb_build_object('by', p_who, 'why', p_why, 'from', r.state));
    return jsonb_build_object('settled', true, 'state', 'failed', 'why', null);
end $$;

select onetake.restrict(array['store_audit', 'last_audit_at', 'settle_found', 'settle_not_charged']);
