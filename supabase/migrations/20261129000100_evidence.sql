-- What may end a run, and what may be adopted: DESIGN section 4, "Evidence". Nothing here believes one look, one list or
-- one word more than the rules allow; `pipeline/evidence.py` is the pure half, these functions hold the other.

alter table onetake.runs
    add column answered_job_id text,                  -- the id that the real answer named, even if another run owns that job
    add column answered_at timestamptz,
    add column failing_since timestamptz,             -- first look at the job itself that called it failed or expired
    add column failing_words text,
    add column failed_jobs jsonb not null default '[]',   -- adopted jobs that failed: never adopted again by this run
    add column provider_word text,                    -- the provider's own status word, as last seen
    add column look_says text;                        -- why the last look through the list settled nothing

insert into onetake.moves (from_state, to_state, why) values
    ('failed', 'uncertain', 'a person took "not charged" back');

-- Rule 6 asks whether this list shows running jobs; nothing reads `list_trusted_at` any more.
alter table onetake.providers add column running_shown_at timestamptz;

-- The same for all ids of one job. LiteLLM packs the provider's id into a longer one, anew in each answer: base64 of
-- `litellm:custom_llm_provider:...;model_id:...;video_id:...`.
create function onetake.canonical_id(p_job_id text) returns text
language plpgsql immutable set search_path = '' as $$
declare
    v_packed text := regexp_replace(p_job_id, '^video_', '');
    v_text text;
begin
    if v_packed !~ '^[A-Za-z0-9+/]{8,}=*$' then return p_job_id; end if;
    v_packed := rtrim(v_packed, '=');
    v_text := convert_from(decode(v_packed || repeat('=', (4 - length(v_packed) % 4) % 4), 'base64'), 'UTF8');
    return coalesce(case when v_text like 'litellm:%' then substring(v_text from '(?:^|;)video_id:(.+)$') end, p_job_id);
exception when others then                            -- not base64, or not text
    return p_job_id;
end $$;

-- A job belongs to one run, whichever of its ids is known.
drop index onetake.runs_job;
create unique index runs_job on onetake.runs (base_url, onetake.canonical_id(job_id)) where job_id is not null;

create or replace function onetake.owner_of(p_base_url text, p_job_id text) returns uuid
language sql stable set search_path = '' as $$
    select run_id from onetake.runs where base_url = p_base_url and job_id is not null
        and onetake.canonical_id(job_id) = onetake.canonical_id(p_job_id);
$$;

-- Answers that fit no run: another token, or a run whose state takes none. Kept for operators (rule 9).
create table onetake.stray_answers (
    id      bigint generated always as identity primary key,
    at      timestamptz not null default clock_timestamp(),
    run_id  uuid,
    why     text not null,
    status  integer,
    body    text not null check (length(body) <= 2000),
    unique nulls not distinct (run_id, why, status, body)
);
alter table onetake.stray_answers enable row level security;

-- What audits found, each once. Open until the ledger or a person explains it, never because it dropped out of a list.
-- `subject`: the job that has no run, or the run's ref.
create table onetake.differences (
    base_url        text not null,
    key_fingerprint text not null,
    kind            text not null,
    subject         text not null,
    ref             text,
    job_id          text,
    words           text not null,
    microusd        bigint not null default 0,
    could_be_ours   boolean not null default false,   -- an unowned job that could be an order of ours
    first_at        timestamptz not null default clock_timestamp(),
    last_at         timestamptz not null default clock_timestamp(),
    closed_at       timestamptz,
    closed_by       text,                             -- 'ledger', or who explained it
    closed_why      text,
    primary key (base_url, key_fingerprint, kind, subject)
);
create index differences_open on onetake.differences (ref) where closed_at is null;
alter table onetake.differences enable row level security;

-- Opens a difference, or says that it is still there. One that a person has explained stays closed.
create function onetake.open_difference(p_base_url text, p_key_fingerprint text, p_found jsonb) returns void
language sql volatile set search_path = '' as $$
    insert into onetake.differences as d (base_url, key_fingerprint, kind, subject, ref, job_id, words, microusd, could_be_ours)
        values (p_base_url, p_key_fingerprint, p_found ->> 'kind',
                coalesce(case when p_found ->> 'kind' in ('run_without_job', 'in_doubt', 'charged_without_clip') then p_found ->> 'ref' end,
                         p_found ->> 'job_id', p_found ->> 'ref'),
                p_found ->> 'ref', p_found ->> 'job_id', p_found ->> 'words', coalesce((p_found ->> 'microusd')::bigint, 0),
                coalesce((p_found ->> 'could_be_ours')::boolean, false))
        on conflict (base_url, key_fingerprint, kind, subject) do update set
            last_at = clock_timestamp(), words = excluded.words, ref = excluded.ref, could_be_ours = excluded.could_be_ours,
            first_at = case when d.closed_at is null then d.first_at else clock_timestamp() end,
            closed_at = null, closed_by = null, closed_why = null
        where d.closed_by is null or d.closed_by = 'ledger';
$$;

-- Whether what the ledger knows by now explains a difference. p_listed: job ids that the list shows.
create function onetake.is_explained(d onetake.differences, p_listed jsonb) returns boolean
language sql stable set search_path = '' as $$
    select case d.kind
        when 'in_doubt' then r.state not in ('submitting', 'uncertain')
        when 'run_without_job' then p_listed ? onetake.canonical_id(d.job_id) or r.job_id is distinct from d.job_id
        when 'charged_without_clip' then r.file is not null or r.spent_microusd = 0
        when 'charged_but_failed' then r.spent_microusd = 0
        when 'released_but_made' then r.state in ('rendering', 'saved', 'delivered') or r.spent_microusd > 0
        when 'not_as_ordered' then false
        else onetake.owner_of(d.base_url, d.job_id) is not null end
    from (select 1) as one left join onetake.runs r on r.ref = d.ref;
$$;

-- Whether two jobs may have been paid for one run (rule 8): nothing fails such a run until each job is explained.
create function onetake.has_two_jobs(r onetake.runs) returns boolean
language sql stable set search_path = '' as $$
    select exists (select from onetake.differences d where d.ref = r.ref and d.closed_at is null
                     and d.kind in ('two_paid_calls', 'perhaps_two_paid_calls'));
$$;

create function onetake.owner_json(r onetake.runs) returns jsonb
language sql immutable set search_path = '' as $$
    select jsonb_build_object('run_id', r.run_id, 'source', r.job_source, 'prompt', r.improved_prompt, 'order', onetake.order_json(r),
        'sent_at', r.submitting_at, 'known_at', coalesce(r.answered_at, r.rendering_at, r.state_since));
$$;

-- Before a look for a run: the ledger's clock, the jobs that the list must show (real answers, sent within p_near_seconds
-- of this run, and the nearest before and after it), and how many other runs were sent within p_rival_seconds.
create function public.witnesses_near(p_run_id uuid, p_near_seconds double precision, p_rival_seconds double precision) returns jsonb
language sql security definer set search_path = '' as $$
    with me as (
        select * from onetake.runs where run_id = p_run_id
    ), others as (
        select o.* from onetake.runs o, me where o.base_url = me.base_url and o.key_fingerprint = me.key_fingerprint
            and o.run_id <> me.run_id and o.submitting_at is not null
    ), found as (
        select o.run_id from others o, me where o.job_source = 'answer' and o.job_id is not null
            and o.submitting_at between me.submitting_at - make_interval(secs => p_near_seconds)
                                    and me.submitting_at + make_interval(secs => p_near_seconds)
        union all
        (select o.run_id from others o, me where o.job_source = 'answer' and o.job_id is not null
            and o.submitting_at < me.submitting_at and coalesce(o.answered_at, o.rendering_at) <= me.submitting_at
            order by o.submitting_at desc limit 1)
        union all
        (select o.run_id from others o, me where o.job_source = 'answer' and o.job_id is not null
            and o.submitting_at > me.submitting_at order by o.submitting_at limit 1)
    )
    select jsonb_build_object(
        'began', clock_timestamp(),
        'witnesses', coalesce((select jsonb_object_agg(o.job_id, onetake.owner_json(o)) from onetake.runs o
            where o.run_id in (select run_id from found)), '{}'),
        'rivals', (select count(*) from others o, me where o.submitting_at
            between me.submitting_at - make_interval(secs => p_rival_seconds)
                and me.submitting_at + make_interval(secs => p_rival_seconds)));
$$;

-- What a look needs to know about one provider and key: every run that may have a job there and knows of none (failed
-- ones for thirty days), which of the listed jobs are owned, and whether the list has shown a running job of ours.
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
        'ours_since', (select min(submitting_at) from onetake.runs where base_url = p_base_url and key_fingerprint = p_key_fingerprint));
$$;

-- One look through the provider's list for a run in doubt. Only a look that shows its absence (p_counts) counts towards
-- "never made"; anything that could be the run's starts the count again.
create function public.record_look(
    p_run_id uuid, p_counts boolean, p_candidates integer, p_running_shown boolean, p_says text, p_next_look_at timestamptz,
    p_detail jsonb default '{}'
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    r onetake.runs;
    v_now timestamptz := clock_timestamp();
begin
    r := onetake.lock_run(p_run_id);
    if r.state is distinct from 'uncertain' then return onetake.run_json(r); end if;
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
                         p_detail || jsonb_build_object('candidates', p_candidates, 'says', p_says));
    return onetake.run_json(r);
end $$;

-- As an older version of the program asks: its looks count for nothing.
create or replace function public.record_look(
    p_run_id uuid, p_complete boolean, p_candidates integer, p_proves_list boolean, p_next_look_at timestamptz,
    p_detail jsonb default '{}'
) returns jsonb
language sql security definer set search_path = '' as $$
    select public.record_look(p_run_id, p_counts => false, p_candidates => p_candidates, p_running_shown => false,
        p_says => 'looked_by_an_older_version', p_next_look_at => p_next_look_at, p_detail => p_detail);
$$;

-- The first order that is answered after a doubt may be the witness that its list lacked: look again now.
create function onetake.wake_doubts(r onetake.runs) returns void
language sql volatile set search_path = '' as $$
    update onetake.runs set next_look_at = null where run_id in (
        select d.run_id from onetake.runs d
        where d.base_url = r.base_url and d.key_fingerprint = r.key_fingerprint and d.state = 'uncertain'
          and d.parked_at is not null and d.submitting_at < r.submitting_at
          and d.submitting_at > clock_timestamp() - interval '30 days'
          and not exists (select from onetake.runs o where o.base_url = d.base_url and o.key_fingerprint = d.key_fingerprint
              and o.job_source = 'answer' and o.submitting_at > d.submitting_at and o.run_id <> r.run_id)
        for update skip locked);                      -- somebody is at it: no waiting here, with budgets locked
$$;

-- The provider answered for a run with a job beside the one it has.
create function onetake.open_second_job(r onetake.runs, p_job_id text, p_second text) returns void
language sql volatile set search_path = '' as $$
    select onetake.open_difference(r.base_url, r.key_fingerprint, jsonb_build_object('kind', 'two_paid_calls',
        'ref', r.ref, 'job_id', p_second, 'microusd', r.price_microusd, 'words', format(
            'run %s has job %s, and the provider also answered with job %s: two paid calls', r.ref, p_job_id, p_second)));
$$;

-- The provider's job is this run's. p_source: 'answer' (the real answer to our POST, proved by the token),
-- 'list' (found in the provider's books) or 'person'. Proof beats a guess:
--   answer   from submitting, uncertain, failed, and from a rendering that was only adopted
--   list     from uncertain and failed, if no other run owns the job and this run has not seen it fail
--   person   as list, and from a parked rendering that was only adopted
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
        update onetake.runs set answered_job_id = p_job_id, answered_at = coalesce(answered_at, clock_timestamp())
            where run_id = p_run_id returning * into r;
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
            or (p_source = 'person' and r.state = 'rendering' and r.job_source <> 'answer' and r.parked_at is not null))
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

-- A look at the job itself: p_words if it says that it failed or expired, null if it says anything else. The first such
-- look is kept; a contradiction takes it back. Answers the run.
create function public.note_failing(p_run_id uuid, p_job_id text, p_words text, p_provider_word text default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    if r.state is distinct from 'rendering' or r.job_id is distinct from p_job_id then return onetake.run_json(r); end if;
    if p_words is not null and r.failing_since is null then
        perform onetake.note(p_run_id, r.user_id, 'generate_video', 'failing', jsonb_build_object('words', p_words));
    end if;
    update onetake.runs set failing_words = p_words, provider_word = coalesce(p_provider_word, provider_word),
            failing_since = case when p_words is not null then coalesce(failing_since, clock_timestamp()) end
        where run_id = p_run_id returning * into r;
    return onetake.run_json(r);
end $$;

-- A job that was only adopted failed: a guess may save a run, never fail it (rule 5). Two looks as for a failure.
create function public.back_to_doubt(p_run_id uuid, p_job_id text, p_words text, p_apart_seconds double precision) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    if r.state is distinct from 'rendering' or r.job_id is distinct from p_job_id or r.job_source is distinct from 'list'
            or coalesce(r.failing_since, 'infinity') > clock_timestamp() - make_interval(secs => p_apart_seconds) then
        return onetake.run_json(r);
    end if;
    update onetake.runs set job_id = null, job_source = null, progress = null, failing_since = null, failing_words = null,
            failed_jobs = failed_jobs || to_jsonb(onetake.canonical_id(p_job_id)), doubt = 'adopted_job_failed', provider_error = p_words,
            looks_complete = 0, first_look_at = null, last_look_at = null
        where run_id = p_run_id;
    r := onetake.move(p_run_id, 'uncertain', 'held');
    perform onetake.note(p_run_id, r.user_id, 'reconcile', 'adopted_job_failed', jsonb_build_object('job_id', p_job_id, 'words', p_words));
    return onetake.run_json(r);
end $$;

-- submitting -> uncertain: the answer is lost. The winner says so with his token; anybody else only once the
-- request can no longer be under way, p_min_age_seconds after the submission. p_answer: what came instead of an answer,
-- bounded, for the timeline.
drop function public.mark_uncertain(uuid, text, text, float8, integer);
create function public.mark_uncertain(
    p_run_id uuid, p_doubt text, p_token text default null, p_min_age_seconds float8 default null,
    p_ms integer default null, p_answer jsonb default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    if p_answer is not null and p_token is not null and r.token = p_token
            and not exists (select from onetake.events where run_id = p_run_id and outcome = 'answer_kept' and detail = p_answer) then
        perform onetake.note(p_run_id, r.user_id, 'generate_video', 'answer_kept', p_answer);
    end if;
    if r.state is distinct from 'submitting' then
        return jsonb_build_object('moved', false, 'state', r.state);
    end if;
    if r.token is distinct from p_token and (p_min_age_seconds is null
            or clock_timestamp() < r.submitting_at + make_interval(secs => p_min_age_seconds)) then
        return jsonb_build_object('moved', false, 'state', r.state);
    end if;
    update onetake.runs set doubt = p_doubt where run_id = p_run_id;
    r := onetake.move(p_run_id, 'uncertain', 'held');
    perform onetake.note(p_run_id, r.user_id, 'generate_video', 'uncertain', jsonb_build_object('doubt', p_doubt), p_ms);
    perform onetake.tell_breaker(p_run_id, 'answer', false);
    return jsonb_build_object('moved', true, 'state', r.state);
end $$;

-- What proves that this run failed. Before the fence: nothing was sent. With a token: the winner's clear no, or never
-- sent; a run that merely adopted a job loses it. In doubt: looks that counted, and no answer that named a job. Rendering:
-- the job itself said so p_apart_seconds ago, it is not a guess, and no second job is unexplained.
create function onetake.failure_is_proved(
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
        else false end, false);
$$;

-- Ends a run as failed, from the state its caller saw, if that is proved. p_spent: the provider said completed, or bills
-- renders that fail. p_breaker: 'answer' or 'render' if the provider is to blame. Answers {moved, state}.
drop function public.fail_run(uuid, text, text, text, boolean, text, text, integer, text);
create function public.fail_run(
    p_run_id uuid, p_expected text, p_reason text, p_detail text, p_spent boolean default false,
    p_token text default null, p_breaker text default null, p_ms integer default null, p_job_id text default null,
    p_apart_seconds double precision default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    if r.state is distinct from p_expected or not onetake.failure_is_proved(r, p_token, p_reason, p_job_id, p_apart_seconds) then
        return jsonb_build_object('moved', false, 'state', r.state);
    end if;
    update onetake.runs set reason = p_reason, detail = p_detail,
            job_id = case when r.state = 'rendering' and p_token is not null then null else job_id end
        where run_id = p_run_id;
    r := onetake.move(p_run_id, 'failed', case when p_spent then 'spent' else 'released' end);
    perform onetake.note(p_run_id, r.user_id, case p_expected when 'reserved' then 'validate_prompt' else 'generate_video' end,
        'failed', jsonb_build_object('reason', p_reason, 'from', p_expected, 'spent', p_spent), p_ms);
    if p_breaker is not null then
        perform onetake.tell_breaker(p_run_id, p_breaker, false);
    elsif p_expected = 'submitting' and p_reason <> 'never_sent' then
        perform onetake.tell_breaker(p_run_id, 'answer', true);   -- a no to this request: the provider is well
    else
        update onetake.breakers set probe_run_id = null, probe_at = null where probe_run_id = p_run_id;
    end if;
    return jsonb_build_object('moved', true, 'state', r.state);
end $$;

-- Whether this token won the run's fence: an answer with another one is nobody's.
create function public.is_winner(p_run_id uuid, p_token text) returns jsonb
language sql stable security definer set search_path = '' as $$
    select to_jsonb(exists (select from onetake.runs where run_id = p_run_id and token = p_token));
$$;

-- An answer that fits no run, kept once (rule 9). Operators are told.
create function public.keep_stray_answer(p_run_id uuid, p_why text, p_status integer, p_body text) returns jsonb
language sql security definer set search_path = '' as $$
    insert into onetake.stray_answers (run_id, why, status, body) values (p_run_id, p_why, p_status, left(p_body, 2000))
        on conflict do nothing;
    select 'true'::jsonb;
$$;

create function public.list_stray_answers(p_at_most integer) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(s) || jsonb_build_object('ref', (select ref from onetake.runs r where r.run_id = s.run_id))
            order by s.id desc), '[]')
    from (select * from onetake.stray_answers order by id desc limit p_at_most) s;
$$;

-- A failed run goes on: its own job, or the one that was forgotten with "not charged". Null if it is not that run's.
create function onetake.reopen(p_run_id uuid, p_job_id text) returns onetake.runs
language plpgsql volatile set search_path = '' as $$
declare r onetake.runs;
begin
    perform pg_advisory_xact_lock(hashtextextended(base_url || ' ' || p_job_id, 0)) from onetake.runs
        where run_id = p_run_id and state = 'failed' and job_id is null;     -- as record_submission, before any row
    r := onetake.lock_run(p_run_id);
    if r.state is distinct from 'failed' or r.submitting_at is null or not coalesce(r.job_id = p_job_id or (
            r.job_id is null and onetake.owner_of(r.base_url, p_job_id) is null
            and p_job_id = (select detail ->> 'job' from onetake.events where run_id = p_run_id and step = 'settle'
                                and outcome = 'not_charged' order by event_id desc limit 1)), false) then
        return null;
    end if;
    update onetake.runs set reason = null, detail = null, job_id = p_job_id, job_source = coalesce(job_source, 'person'),
            failing_since = null, failing_words = null
        where run_id = p_run_id returning * into r;
    r := onetake.move(p_run_id, 'rendering', 'held');
    perform onetake.note(p_run_id, r.user_id, 'generate_video', 'adopted_late',
                         jsonb_build_object('job_id', p_job_id, 'source', r.job_source, 'by', 'clip'));
    return r;
end $$;

-- A whole clip of a failed run's job lies on a machine: it goes on, and that clip is saved. Answers the run.
create function public.reopen_run(p_run_id uuid, p_job_id text) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
    perform onetake.reopen(p_run_id, p_job_id);
    return public.load_run(p_run_id);
end $$;

-- rendering -> saved: the file is complete and synced before this is called. The money is spent. A clip of another
-- job than the run now has (proof has overruled an adoption meanwhile) is not its clip. A clip in hand proves everybody
-- wrong who called this run failed while it was fetched (rule 3): a late adoption, and the money is taken again.
create or replace function public.save_run(
    p_run_id uuid, p_file text, p_file_bytes bigint, p_file_sha256 text, p_job_id text, p_ms integer default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.reopen(p_run_id, p_job_id);
    if r.run_id is null then r := onetake.lock_run(p_run_id); end if;
    if r.state = 'rendering' and r.job_id is not distinct from p_job_id then
        update onetake.runs set file = p_file, file_bytes = p_file_bytes, file_sha256 = p_file_sha256, progress = 100,
                failing_since = null, failing_words = null
            where run_id = p_run_id;
        perform onetake.move(p_run_id, 'saved', 'spent');
        perform onetake.note(p_run_id, r.user_id, 'save_video', 'saved', jsonb_build_object('bytes', p_file_bytes), p_ms);
        perform onetake.tell_breaker(p_run_id, 'render', true);
    end if;
    return public.load_run(p_run_id);
end $$;

-- Of these runs (whose clips one machine has) those that ended: [{run_id, sha256, stored, dropped, state, job_id,
-- ended_seconds_ago}]. Without a sha256 a run has no clip.
create or replace function public.clips_of(p_run_ids jsonb) returns jsonb
language sql stable security definer set search_path = '' as $$
    select coalesce(jsonb_agg(jsonb_build_object(
            'run_id', run_id, 'sha256', file_sha256, 'stored', stored, 'dropped', dropped_at is not null, 'state', state,
            'job_id', job_id, 'ended_seconds_ago', extract(epoch from clock_timestamp() - state_since))), '[]')
        from onetake.runs
        where run_id in (select value::uuid from jsonb_array_elements_text(p_run_ids))
          and state in ('saved', 'delivered', 'failed', 'canceled', 'rejected');
$$;

-- "Found it". p_seen: what the provider showed of that job, {status, word, ...}; null if it showed nothing and the person
-- insists: then nobody waits for it, the user's place is free, and one look tells (rule 11).
drop function public.settle_found(uuid, text, text, text);
create function public.settle_found(
    p_run_id uuid, p_job_id text, p_who text, p_why text default null, p_seen jsonb default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare v_answer jsonb := public.record_submission(p_run_id, p_job_id, 'person');
begin
    if (v_answer ->> 'recorded')::boolean and v_answer ->> 'state' not in ('saved', 'delivered') then
        if p_seen is null then
            update onetake.runs set parked_at = coalesce(parked_at, clock_timestamp()) where run_id = p_run_id;
        end if;
        perform onetake.note(p_run_id, (select user_id from onetake.runs where run_id = p_run_id), 'settle', 'found',
                             jsonb_strip_nulls(jsonb_build_object('by', p_who, 'why', p_why, 'job', p_job_id, 'seen', p_seen)));
    end if;
    return v_answer;
end $$;

-- "Not charged", by a person. p_shown is what that person was looking at, {state, job_id}. Before p_wait_seconds have
-- passed since the order was sent the job may still turn up: that needs p_early, the person's own words. A job id that a
-- person gave and that the provider never showed is forgotten with it. Answers {settled, state, why}.
drop function public.settle_not_charged(uuid, text, text, jsonb);
create function public.settle_not_charged(
    p_run_id uuid, p_who text, p_why text default null, p_shown jsonb default null,
    p_wait_seconds double precision default 0, p_early boolean default false
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    r onetake.runs;
    v_slip boolean;
begin
    r := onetake.lock_run(p_run_id);
    if r.run_id is null or not (r.state = 'uncertain' or (r.state = 'rendering' and r.parked_at is not null)) then
        return jsonb_build_object('settled', false, 'state', r.state, 'why', 'state');
    end if;
    if p_shown <> jsonb_build_object('state', r.state, 'job_id', r.job_id) then
        return jsonb_build_object('settled', false, 'state', r.state, 'why', 'changed');
    end if;
    if not p_early and clock_timestamp() < r.submitting_at + make_interval(secs => p_wait_seconds) then
        return jsonb_build_object('settled', false, 'state', r.state, 'why', 'early',
                                  'until', r.submitting_at + make_interval(secs => p_wait_seconds));
    end if;
    v_slip := r.job_source = 'person' and r.progress is null and not exists (
        select from onetake.events where run_id = p_run_id and step = 'run' and outcome = 'parked'
            and detail ->> 'why' in ('content_unreadable', 'disk_full'));       -- those were there to be fetched
    update onetake.runs set reason = 'not_charged', detail = p_why,
            job_id = case when v_slip then null else job_id end, job_source = case when v_slip then null else job_source end
        where run_id = p_run_id;
    perform onetake.move(p_run_id, 'failed', 'released');
    perform onetake.note(p_run_id, r.user_id, 'settle', 'not_charged', jsonb_strip_nulls(jsonb_build_object(
        'by', p_who, 'why', p_why, 'from', r.state, 'job', r.job_id, 'early', case when p_early then true end)));
    return jsonb_build_object('settled', true, 'state', 'failed', 'why', null);
end $$;

-- A person takes the last settlement back: "not charged" while nothing was bought in its place, "found" while nothing was
-- fetched. The run is in doubt again, or rendering if it had a job. Answers {settled, state, why}.
create function public.settle_taken_back(p_run_id uuid, p_who text, p_why text default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    r onetake.runs;
    v_last onetake.events;
begin
    r := onetake.lock_run(p_run_id);
    select * into v_last from onetake.events where run_id = p_run_id and step = 'settle' order by event_id desc limit 1;
    if v_last.outcome = 'not_charged' and r.state = 'failed' and r.reason = 'not_charged' then
        if exists (select from onetake.runs o where o.user_id = r.user_id and o.prompt_hash = r.prompt_hash
                     and o.run_id <> r.run_id and o.reserved_at > r.failed_at
                     and o.state not in ('rejected', 'canceled', 'failed')) then
            return jsonb_build_object('settled', false, 'state', r.state, 'why', 'bought_again');
        end if;
        update onetake.runs set reason = null, detail = null, doubt = coalesce(doubt, 'lost') where run_id = p_run_id;
        r := onetake.move(p_run_id, case when r.job_id is null then 'uncertain' else 'rendering' end, 'held');
        insert into onetake.leases (user_id, prompt_hash, run_id, expires_at)
            values (r.user_id, r.prompt_hash, r.run_id, clock_timestamp()) on conflict do nothing;
    elsif v_last.outcome = 'found' and r.state = 'rendering' and r.job_source = 'person' and r.file is null then
        update onetake.runs set job_id = null, job_source = null, progress = null, failing_since = null, failing_words = null,
                doubt = coalesce(doubt, 'lost'), looks_complete = 0, first_look_at = null, last_look_at = null
            where run_id = p_run_id;
        r := onetake.move(p_run_id, 'uncertain', 'held');
    else
        return jsonb_build_object('settled', false, 'state', r.state, 'why', case when v_last.event_id is null then 'state' else 'fetched' end);
    end if;
    perform onetake.note(p_run_id, r.user_id, 'settle', 'taken_back', jsonb_strip_nulls(jsonb_build_object('by', p_who, 'why', p_why)));
    return jsonb_build_object('settled', true, 'state', r.state, 'why', null);
end $$;

-- Runs that may have bought something at this provider with this key since then, or whose end came since then; what is
-- still open; and for thirty days every run that failed after its request was sent (rule 12).
create or replace function public.audit_view(p_base_url text, p_key_fingerprint text, p_since timestamptz) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(onetake.run_json(r) order by r.submitting_at), '[]') from onetake.runs r
    where r.base_url = p_base_url and r.key_fingerprint = p_key_fingerprint
      and r.submitting_at >= least(p_since, clock_timestamp() - interval '30 days')
      and (greatest(r.submitting_at, r.saved_at, r.failed_at) >= p_since
           or r.state in ('submitting', 'uncertain', 'rendering')
           or (r.state = 'failed' and r.reason not in ('never_sent', 'never_connected')));
$$;

-- The last job here, by a real answer, that was known before then: a list that shows it was read that far. Null: none.
create function public.known_before(p_base_url text, p_key_fingerprint text, p_at timestamptz) returns jsonb
language sql stable security definer set search_path = '' as $$
    select to_jsonb((select job_id from onetake.runs where base_url = p_base_url and key_fingerprint = p_key_fingerprint
        and job_source = 'answer' and job_id is not null and submitting_at < p_at
        and coalesce(answered_at, rendering_at) <= p_at order by submitting_at desc limit 1));
$$;

-- Keeps an audit. First what the ledger explains by now is closed, then what was found is opened; `differences` of the
-- stored result are all that are open. p_listed: the job ids that the list showed.
create function public.store_audit(
    p_base_url text, p_key_fingerprint text, p_since timestamptz, p_result jsonb, p_listed jsonb
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    a onetake.audits;
    v_found jsonb;
    v_open jsonb;
begin
    update onetake.differences d set closed_at = clock_timestamp(), closed_by = 'ledger'
        where d.base_url = p_base_url and d.key_fingerprint = p_key_fingerprint and d.closed_at is null
          and onetake.is_explained(d, p_listed);
    for v_found in select value from jsonb_array_elements(p_result -> 'differences') loop
        perform onetake.open_difference(p_base_url, p_key_fingerprint, v_found);
    end loop;
    select coalesce(jsonb_agg(jsonb_build_object('kind', d.kind, 'words', d.words, 'ref', d.ref, 'job_id', d.job_id,
            'microusd', d.microusd, 'could_be_ours', d.could_be_ours, 'first_at', d.first_at) order by d.first_at, d.subject), '[]')
        into v_open from onetake.differences d
        where d.base_url = p_base_url and d.key_fingerprint = p_key_fingerprint and d.closed_at is null;
    insert into onetake.audits (base_url, key_fingerprint, since, result, differences)
        values (p_base_url, p_key_fingerprint, p_since, p_result || jsonb_build_object('differences', v_open), jsonb_array_length(v_open))
        returning * into a;
    perform onetake.count_audit(a);
    return to_jsonb(a);
end $$;

-- A person explains a difference: every open one about this job id or ref is closed, for good. Answers {explained}.
create function public.explain_difference(p_subject text, p_who text, p_why text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare v_n integer;
begin
    update onetake.differences set closed_at = clock_timestamp(), closed_by = 'person: ' || p_who, closed_why = p_why
        where closed_at is null and (job_id = p_subject or ref = upper(p_subject));
    get diagnostics v_n = row_count;
    if v_n > 0 then
        perform onetake.record_change(p_who, 'difference:' || p_subject, null, to_jsonb(p_why));
    end if;
    return jsonb_build_object('explained', v_n);
end $$;

create function public.open_differences() returns jsonb
language sql stable security definer set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(d) order by d.first_at, d.subject), '[]') from onetake.differences d where d.closed_at is null;
$$;

-- Whether a second paid call came in a day: {clean, why, until}. The day is the 24 hours before `until`, up to which
-- complete audits reach; `until` may be 25 hours ago (they come once a day). To each order of that day its own provider's
-- audits must reach; an unexplained second job, or an unowned one that could be an order of ours, speaks against it.
create or replace function onetake.clean_day() returns jsonb
language sql stable set search_path = '' as $$
    with sold as (
        select distinct base_url, key_fingerprint from onetake.runs where submitting_at > now() - interval '25 hours'
    ), proven as (
        select coalesce((select min(coalesce(a.until, '-infinity')) from sold
                             left join onetake.audited a using (base_url, key_fingerprint)),
                        (select max(until) from onetake.audited)) as until
    ), day as (
        select until, case when until > now() - interval '25 hours' then until else now() end - interval '1 day' as begins
        from proven
    )
    select case
        when exists (select from onetake.differences where closed_at is null and kind = 'two_paid_calls')
            then jsonb_build_object('clean', false, 'why', 'two_paid_calls', 'until', null)
        when exists (select from onetake.differences where closed_at is null and (kind = 'perhaps_two_paid_calls' or could_be_ours))
            then jsonb_build_object('clean', false, 'why', 'unexplained_job', 'until', null)
        when day.until > now() - interval '25 hours' and not exists (
                select from onetake.runs r left join onetake.audited a using (base_url, key_fingerprint)
                where r.submitting_at > day.begins and r.submitting_at <= day.until
                  and coalesce(a.until, '-infinity') < r.submitting_at)
            then jsonb_build_object('clean', true, 'why', null, 'until', day.until)
        else jsonb_build_object('clean', false, 'why', 'not_audited', 'until', null) end
    from day;
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

select onetake.restrict(array['witnesses_near', 'doubts_at', 'record_look', 'record_submission', 'note_failing', 'back_to_doubt',
    'mark_uncertain', 'fail_run', 'is_winner', 'keep_stray_answer', 'list_stray_answers', 'reopen_run', 'save_run', 'clips_of', 'settle_found',
    'settle_not_charged', 'settle_taken_back', 'audit_view', 'known_before', 'store_audit', 'explain_difference', 'open_differences', 'raise_alerts']);
