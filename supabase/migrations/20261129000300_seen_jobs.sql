-- An id that an answer names may be a request's and not a job's: only what the provider has shown at the job's own address
-- is known to exist. Such a job's failure may end its run (DESIGN section 4, "Evidence", rule 2), and only jobs that exist
-- can be two paid calls (rule 8).

alter table onetake.runs add column job_seen_at timestamptz;   -- last look at the job's own address that showed this job

-- Another job has not been seen yet.
create function onetake.forget_seen() returns trigger
language plpgsql set search_path = '' as $$
begin
    new.job_seen_at := null;
    return new;
end $$;

create trigger forget_seen before update of job_id on onetake.runs
    for each row when (old.job_id is distinct from new.job_id) execute function onetake.forget_seen();

-- Whether the provider has shown that there is this job: at its own address, in its list, or by its clip.
create function onetake.job_exists(p_base_url text, p_job_id text) returns boolean
language sql stable set search_path = '' as $$
    select exists (select from onetake.runs where base_url = p_base_url and job_id is not null
        and onetake.canonical_id(job_id) = onetake.canonical_id(p_job_id)
        and (job_seen_at is not null or progress is not null or file is not null or job_source = 'list'));
$$;

-- The run is being worked on. p_job_id: the job that this look showed, and did not call failed: that takes an earlier
-- failing look back.
drop function public.attend(uuid, float8, integer);
create function public.attend(
    p_run_id uuid, p_attend_seconds float8, p_progress integer default null, p_job_id text default null
) returns jsonb
language sql security definer set search_path = '' as $$
    update onetake.runs r set next_look_at = clock_timestamp() + make_interval(secs => p_attend_seconds),
            progress = coalesce(p_progress, progress),
            attempts = case when r.state = 'rendering' and p_progress is not null then 1 else attempts end,
            job_seen_at = case when r.job_id = p_job_id then clock_timestamp() else job_seen_at end,
            failing_since = case when r.job_id = p_job_id then null else failing_since end,
            failing_words = case when r.job_id = p_job_id then null else failing_words end
        where r.run_id = p_run_id and r.state in ('reserved', 'approved', 'submitting', 'rendering')
        returning onetake.run_json(r);
$$;

-- A look at the job itself: p_words if it says that it failed or expired, null if it says anything else. The first such
-- look is kept; a contradiction takes it back. p_seen: the job was seen at its own address; the create answer does not
-- show that it exists, and "not found" even less. Answers the run.
drop function public.note_failing(uuid, text, text, text);
create function public.note_failing(
    p_run_id uuid, p_job_id text, p_words text, p_provider_word text default null, p_seen boolean default false
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    r onetake.runs;
    v_now timestamptz;
begin
    r := onetake.lock_run(p_run_id);
    v_now := clock_timestamp();                       -- not before the lock: whoever held it may have looked since
    if r.state is distinct from 'rendering' or r.job_id is distinct from p_job_id then return onetake.run_json(r); end if;
    if p_words is not null and r.failing_since is null then
        perform onetake.note(p_run_id, r.user_id, 'generate_video', 'failing', jsonb_build_object('words', p_words));
    end if;
    update onetake.runs set failing_words = p_words, provider_word = coalesce(p_provider_word, provider_word),
            failing_since = case when p_words is not null then coalesce(failing_since, v_now) end,
            job_seen_at = case when p_seen then v_now else job_seen_at end
        where run_id = p_run_id returning * into r;
    return onetake.run_json(r);
end $$;

-- What proves that this run failed. Before the fence: nothing was sent. With a token: the winner's clear no, or never
-- sent; a run that merely adopted a job loses it. In doubt: looks that counted, and no answer that named a job. Rendering:
-- the job said so p_apart_seconds ago, and since then at its own address; it is not a guess, and no second job is unexplained.
create or replace function onetake.failure_is_proved(
    r onetake.runs, p_token text, p_reason text, p_job_id text, p_apart_seconds double precision
) returns boolean
language sql stable set search_path = '' as $$
    select coalesce(case
        when r.state in ('reserved', 'approved') then true
        when p_token is not null then r.token = p_token
            and (r.state in ('submitting', 'uncertain') or r.state = 'rendering' and r.job_source is distinct from 'answer')
        when r.state = 'uncertain' then p_reason = 'not_made' and r.looks_complete > 0 and r.answered_job_id is null
            and not onetake.has_two_jobs(r)
        when r.state = 'rendering' then r.job_id = p_job_id and r.job_source <> 'list' and not onetake.has_two_jobs(r)
            and r.failing_since <= clock_timestamp() - make_interval(secs => p_apart_seconds)
            and r.job_seen_at >= r.failing_since
        else false end, false);
$$;

-- Opens a difference, or says that it is still there. One that a person has explained stays closed, and what is known of
-- its run is not forgotten.
create or replace function onetake.open_difference(p_base_url text, p_key_fingerprint text, p_found jsonb) returns void
language sql volatile set search_path = '' as $$
    insert into onetake.differences as d (base_url, key_fingerprint, kind, subject, ref, job_id, words, microusd, could_be_ours)
        values (p_base_url, p_key_fingerprint, p_found ->> 'kind',
                coalesce(case when p_found ->> 'kind' in ('run_without_job', 'in_doubt', 'charged_without_clip') then p_found ->> 'ref' end,
                         p_found ->> 'job_id', p_found ->> 'ref'),
                p_found ->> 'ref', p_found ->> 'job_id', p_found ->> 'words', coalesce((p_found ->> 'microusd')::bigint, 0),
                coalesce((p_found ->> 'could_be_ours')::boolean, false))
        on conflict (base_url, key_fingerprint, kind, subject) do update set
            last_at = clock_timestamp(), words = excluded.words, ref = coalesce(excluded.ref, d.ref), could_be_ours = excluded.could_be_ours,
            first_at = case when d.closed_at is null then d.first_at else clock_timestamp() end,
            closed_at = null, closed_by = null, closed_why = null
        where d.closed_by is null or d.closed_by = 'ledger';
$$;

-- The provider answered for a run with a job beside the one it has: two paid calls, if the first one is known to exist.
create or replace function onetake.open_second_job(r onetake.runs, p_job_id text, p_second text) returns void
language sql volatile set search_path = '' as $$
    select onetake.open_difference(r.base_url, r.key_fingerprint, jsonb_build_object(
        'ref', r.ref, 'job_id', p_second, 'microusd', r.price_microusd) || case
        when onetake.job_exists(r.base_url, p_job_id) then jsonb_build_object('kind', 'two_paid_calls', 'words', format(
            'run %s has job %s, and the provider also answered with job %s: two paid calls', r.ref, p_job_id, p_second))
        else jsonb_build_object('kind', 'job_without_run', 'could_be_ours', true, 'words', format(
            'the provider answered for run %s with job %s, which it has never shown, and with job %s', r.ref, p_job_id, p_second)) end);
$$;

-- Whether two jobs may have been paid for one run (rule 8): nothing fails such a run until each job is explained.
create or replace function onetake.has_two_jobs(r onetake.runs) returns boolean
language sql stable set search_path = '' as $$
    select exists (select from onetake.differences d where d.ref = r.ref and d.closed_at is null
                     and d.kind in ('two_paid_calls', 'perhaps_two_paid_calls', 'job_without_run'));
$$;

-- The provider's job is this run's. p_source: 'answer' (the real answer to our POST, proved by the token),
-- 'list' (found in the provider's books) or 'person'. Proof beats a guess:
--   answer   from submitting, uncertain, failed, and from a rendering that was only adopted
--   list     from uncertain and failed, if no other run owns the job and this run has not seen it fail
--   person   as list, and from a parked rendering that was only adopted, or whose job the provider has never shown
-- A second id by a real answer is kept as a difference: possibly two paid calls. Answers {recorded, state, why}.
create or replace function public.record_submission(
    p_run_id uuid, p_job_id text, p_source text, p_token text default null, p_ms integer default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    r onetake.runs;
    v_owner uuid;
    v_owner_source text;
    v_old_job text;
    v_answered text;
    v_was_failed boolean;
begin
    if p_source not in ('answer', 'list', 'person') or coalesce(p_job_id, '') = '' then
        raise exception 'a submission is recorded with a job id and its source' using errcode = 'LG003';
    end if;
    -- One at a time for each job id: two runs that claim one job nobody owns yet have no row in common to lock.
    perform pg_advisory_xact_lock(hashtextextended(base_url || ' ' || p_job_id, 0)) from onetake.runs where run_id = p_run_id;
    loop
        select onetake.owner_of(base_url, p_job_id) into v_owner from onetake.runs where run_id = p_run_id;
        if not found then return jsonb_build_object('recorded', false, 'why', 'unknown_run'); end if;
        perform onetake.lock_two(p_run_id, v_owner);
        select * into r from onetake.runs where run_id = p_run_id;
        exit when onetake.owner_of(r.base_url, p_job_id) is not distinct from v_owner;
    end loop;

    if p_source = 'answer' then
        if r.token is distinct from p_token then
            return jsonb_build_object('recorded', false, 'why', 'not_the_winner', 'state', r.state);
        end if;
        if onetake.canonical_id(coalesce(r.answered_job_id, p_job_id)) <> onetake.canonical_id(p_job_id) then
            perform onetake.note(p_run_id, r.user_id, 'generate_video', 'answer_ignored',
                                 jsonb_build_object('job_id', p_job_id, 'source', p_source, 'state', r.state));
            perform onetake.open_second_job(r, r.answered_job_id, p_job_id);
            return jsonb_build_object('recorded', false, 'why', 'state', 'state', r.state);
        end if;
        v_answered := r.answered_job_id;
        update onetake.runs set answered_job_id = p_job_id, answered_at = coalesce(answered_at, clock_timestamp())
            where run_id = p_run_id returning * into r;
    end if;
    if v_answered is not null and r.state = 'rendering' and r.job_source = 'person' and v_owner is distinct from p_run_id then
        return jsonb_build_object('recorded', false, 'why', 'state', 'state', r.state);     -- a replay overrules nobody
    end if;
    if v_owner = p_run_id then
        if p_source = 'answer' and r.job_source = 'answer' then
            return jsonb_build_object('recorded', true, 'state', r.state);      -- a replay says nothing new
        end if;
        if p_source = 'answer' then
            update onetake.runs set job_source = 'answer' where run_id = p_run_id;
        end if;
        if p_source = 'person' and r.state = 'rendering' then    -- looked for no more by itself: it is, once again
            update onetake.runs set next_look_at = null, attempts = 0 where run_id = p_run_id;
        end if;
        if r.state in ('rendering', 'saved', 'delivered') then
            return jsonb_build_object('recorded', true, 'state', r.state);
        end if;                                       -- a failed run whose own job turns up after all goes on below
    end if;
    if not (r.state in ('uncertain', 'failed')
            or (p_source = 'answer' and r.state = 'submitting')
            or (p_source = 'answer' and r.state = 'rendering' and r.job_source <> 'answer')
            or (p_source = 'person' and r.state = 'rendering' and r.parked_at is not null
                and (r.job_source <> 'answer' or not onetake.job_exists(r.base_url, r.job_id))))
       or (r.state = 'failed' and r.submitting_at is null)
       or (r.state = 'failed' and p_source = 'list' and r.job_id is not null)
       or (p_source = 'list' and r.failed_jobs ? onetake.canonical_id(p_job_id)) then
        if p_source = 'answer' and onetake.canonical_id(r.job_id) <> onetake.canonical_id(p_job_id) then
            perform onetake.open_second_job(r, r.job_id, p_job_id);
        end if;
        perform onetake.note(p_run_id, r.user_id, 'generate_video', 'answer_ignored',
                             jsonb_build_object('job_id', p_job_id, 'source', p_source, 'state', r.state));
        return jsonb_build_object('recorded', false, 'why', 'state', 'state', r.state);
    end if;
    v_old_job := r.job_id;
    if v_owner is not null and v_owner <> p_run_id then
        select job_source into v_owner_source from onetake.runs where run_id = v_owner;
        if p_source <> 'answer' or v_owner_source = 'answer' then
            return jsonb_build_object('recorded', false, 'why', 'owned', 'state', r.state,
                                      'owner', (select ref from onetake.runs where run_id = v_owner));
        end if;
        update onetake.runs set job_id = null where run_id = p_run_id;
        perform onetake.take_job(v_owner, case when r.state = 'rendering' then v_old_job end, p_run_id);
    end if;

    v_was_failed := r.state = 'failed';
    update onetake.runs set job_id = p_job_id, job_source = p_source, progress = null, doubt = null,
            reason = null, detail = null, provider_error = null, failing_since = null, failing_words = null,
            provider_word = null, look_says = null
        where run_id = p_run_id;
    if r.state <> 'rendering' then
        r := onetake.move(p_run_id, 'rendering', 'held');
        insert into onetake.leases (user_id, prompt_hash, run_id, expires_at)
            values (r.user_id, r.prompt_hash, r.run_id, clock_timestamp()) on conflict do nothing;
    else
        update onetake.runs set parked_at = null, next_look_at = null, attempts = 0 where run_id = p_run_id;
    end if;
    perform onetake.note(p_run_id, r.user_id, 'generate_video',
        case when v_was_failed then 'adopted_late' when p_source = 'answer' then 'made' else 'adopted' end,
        jsonb_build_object('job_id', p_job_id, 'source', p_source), p_ms);
    if p_source = 'answer' then
        perform onetake.tell_breaker(p_run_id, 'answer', true);
        perform onetake.wake_doubts(r);
    end if;
    return jsonb_build_object('recorded', true, 'state', 'rendering', 'late', v_was_failed);
end $$;

-- Money held, lease kept, the user no longer busy, the operator told. `look_says` of a rendering run: why the last look
-- at its job settled nothing.
create or replace function public.park(p_run_id uuid, p_why text, p_next_look_at timestamptz) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    if r.state not in ('uncertain', 'rendering') then return onetake.run_json(r); end if;
    if r.parked_at is null then
        perform onetake.note(p_run_id, r.user_id, 'run', 'parked', jsonb_build_object('why', p_why));
    end if;
    update onetake.runs set parked_at = coalesce(parked_at, clock_timestamp()), attempts = 0,
            next_look_at = coalesce(p_next_look_at, 'infinity'),
            look_says = case when r.state = 'rendering' then p_why else look_says end
        where run_id = p_run_id returning * into r;
    return onetake.run_json(r);
end $$;

select onetake.restrict(array['attend', 'note_failing', 'record_submission', 'park']);
