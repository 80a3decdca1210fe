-- Orders, and which job belongs to which run.

-- The run that owns a job; null if none does.
create function onetake.owner_of(p_base_url text, p_job_id text) returns uuid
language sql stable set search_path = '' as $$
    select run_id from onetake.runs where base_url = p_base_url and job_id is not null
        and onetake.canonical_id(job_id) = onetake.canonical_id(p_job_id);
$$;

-- Whether the provider has shown that this job exists: at its own address, in its list, or by its clip.
create function onetake.job_exists(p_base_url text, p_job_id text) returns boolean
language sql stable set search_path = '' as $$
    select exists (select from onetake.runs where base_url = p_base_url and job_id is not null
        and onetake.canonical_id(job_id) = onetake.canonical_id(p_job_id)
        and (job_seen_at is not null or progress is not null or file is not null or job_source in ('marker', 'list')));
$$;

-- Whether two jobs may have been paid for one run: nothing fails such a run until each job is explained.
create function onetake.has_two_jobs(r onetake.runs) returns boolean
language sql stable set search_path = '' as $$
    select exists (select from onetake.differences d where d.ref = r.ref and d.closed_at is null
                     and d.kind in ('two_paid_calls', 'perhaps_two_paid_calls', 'job_without_run'));
$$;

-- The order to send. It comes from the run alone, never from today's settings.
create function onetake.order_json(r onetake.runs) returns jsonb
language sql immutable set search_path = '' as $$
    select jsonb_build_object('run_id', r.run_id, 'prompt', r.improved_prompt, 'model', r.model, 'seconds', r.seconds,
                              'size', r.size, 'create_body', r.create_body, 'provider', r.provider, 'input', r.input,
                              'callback_url', r.callback_url);
$$;

-- A run as evidence for a list: a list must show jobs of the same model before an absence in it proves anything (a
-- gateway's list may cover one deployment), and a row that contradicts our clip is another job under an old id.
create function onetake.owner_json(r onetake.runs) returns jsonb
language sql immutable set search_path = '' as $$
    select jsonb_build_object('run_id', r.run_id, 'source', r.job_source, 'prompt', r.improved_prompt, 'order', onetake.order_json(r),
        'sent_at', r.submitting_at, 'known_at', coalesce(r.answered_at, r.rendering_at, r.state_since),
        'saved', r.state in ('saved', 'delivered'));
$$;

-- Opens a difference, or notes that it still exists. One that a person explained stays closed, and what is known about
-- its run is kept.
create function onetake.open_difference(p_base_url text, p_key_fingerprint text, p_found jsonb) returns void
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

-- Records a second job that the provider named for one run: two paid calls, if the first job is known to exist.
create function onetake.open_second_job(r onetake.runs, p_job_id text, p_second text) returns void
language sql volatile set search_path = '' as $$
    select onetake.open_difference(r.base_url, r.key_fingerprint, jsonb_build_object(
        'ref', r.ref, 'job_id', p_second, 'microusd', r.price_microusd) || case
        when onetake.job_exists(r.base_url, p_job_id) then jsonb_build_object('kind', 'two_paid_calls', 'words', format(
            'run %s has job %s, and the provider also answered with job %s: two paid calls', r.ref, p_job_id, p_second))
        else jsonb_build_object('kind', 'job_without_run', 'could_be_ours', true, 'words', format(
            'the provider answered for run %s with job %s, which it has never shown, and with job %s', r.ref, p_job_id, p_second)) end);
$$;

-- Makes older doubts of the same model due now: this answered order may be the witness that their lists lacked.
create function onetake.wake_doubts(r onetake.runs) returns void
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

-- Takes a job from a run that only adopted it. Both had the same order, so if the new owner had adopted another such
-- job, the two swap; otherwise an unsaved run is in doubt again. A saved clip stays where it is. A run that failed
-- because of the job it loses, and gets its own instead, continues: its own clip did not fail.
create function onetake.take_job(p_from uuid, p_instead text, p_by uuid) returns void
language plpgsql set search_path = '' as $$
declare
    v_from onetake.runs;
begin
    update onetake.runs set job_id = p_instead where run_id = p_from returning * into v_from;
    if p_instead is null and v_from.state = 'rendering' then
        update onetake.runs set doubt = 'job_was_another_runs', looks_complete = 0, first_look_at = null, last_look_at = null,
                progress = null, job_source = null
            where run_id = p_from;
        perform onetake.move(p_from, 'uncertain', 'held');
    elsif p_instead is not null and v_from.state = 'failed' then
        update onetake.runs set reason = null, detail = null, progress = null where run_id = p_from;
        perform onetake.move(p_from, 'rendering', 'held');
        perform onetake.note(p_from, v_from.user_id, 'generate_video', 'adopted_late',
                             jsonb_build_object('job_id', p_instead, 'source', v_from.job_source));
    end if;
    perform onetake.note(p_from, v_from.user_id, 'reconcile', 'job_taken', jsonb_build_object('by', p_by, 'instead', p_instead));
end $$;

-- Records that a job belongs to a run. p_source: 'answer' (the real answer to our POST, proved by the token), 'marker'
-- (the provider shows it with something that only this run's request had), 'list' (found by its prompt) or 'person'.
-- Proof beats a guess:
--   answer   from submitting, uncertain, failed, and from a rendering that was only adopted
--   marker, list
--            from uncertain and failed, if no other run owns the job and this run has not seen it fail
--   person   as list, and from a parked rendering that was only adopted, or whose job the provider never showed
-- A second id in a real answer, or beside one found by the marker, is kept as a difference: possibly two paid calls.
-- Answers {recorded, state, why}.
create function public.record_submission(
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
    if p_source not in ('answer', 'marker', 'list', 'person') or coalesce(p_job_id, '') = '' then
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
       or (r.state = 'failed' and p_source in ('marker', 'list') and r.job_id is not null)
       or (p_source in ('marker', 'list') and r.failed_jobs ? onetake.canonical_id(p_job_id)) then
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
        perform onetake.take_job(v_owner, case when r.state = 'rendering' and r.job_source <> 'marker' then v_old_job end, p_run_id);
    end if;

    v_was_failed := r.state = 'failed';
    update onetake.runs set job_id = p_job_id, job_source = p_source, progress = null, doubt = null,
            reason = null, detail = null, failing_since = null, failing_words = null,
            provider_word = null, look_says = null
        where run_id = p_run_id;
    if p_source = 'answer' and r.job_source = 'marker' and onetake.canonical_id(v_old_job) <> onetake.canonical_id(p_job_id) then
        perform onetake.open_difference(r.base_url, r.key_fingerprint, jsonb_build_object('kind', 'two_paid_calls', 'ref', r.ref,
            'job_id', v_old_job, 'microusd', r.price_microusd, 'words', format('run %s is job %s by the provider''s answer, and '
            'job %s shows what only its order had: two paid calls', r.ref, p_job_id, v_old_job)));
    end if;
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
        perform onetake.feed_breaker(p_run_id, 'answer', true);
        perform onetake.wake_doubts(r);
    end if;
    return jsonb_build_object('recorded', true, 'state', 'rendering', 'late', v_was_failed);
end $$;

-- Notes which parts of the order the answer already showed differently, such as the model's real name: the same
-- difference in a later look is no sign of another job.
create function public.note_shown_otherwise(p_run_id uuid, p_job_id text, p_parts jsonb) returns jsonb
language sql volatile security definer set search_path = '' as $$
    update onetake.runs set shown_otherwise = array(select jsonb_array_elements_text(p_parts))
        where run_id = p_run_id and job_id = p_job_id and job_source = 'answer';
    select null::jsonb;
$$;
