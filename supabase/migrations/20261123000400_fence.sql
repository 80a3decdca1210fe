-- The fence: the moves around the one paid call. Names and rules: DESIGN section 4, "The fence".

-- What is sent is what this says, nothing from today's configuration.
create function onetake.order_json(r onetake.runs) returns jsonb
language sql immutable set search_path = '' as $$
    select jsonb_build_object('run_id', r.run_id, 'prompt', r.improved_prompt, 'model', r.model, 'seconds', r.seconds,
                              'size', r.size, 'create_body', r.create_body);
$$;

-- Counts submissions in the window and opens a breaker that is full. Null: there is room.
create function onetake.full_breaker(p_user_id text, p_now timestamptz) returns timestamptz
language plpgsql set search_path = '' as $$
declare
    v_since timestamptz := greatest((select resumed_at from onetake.control),
                                    p_now - make_interval(secs => onetake.limit_value('breaker_window_seconds')));
    v_until timestamptz := p_now + make_interval(secs => onetake.limit_value('breaker_open_seconds'));
begin
    if (select count(*) from onetake.runs where submitting_at > v_since) >= onetake.limit_value('breaker_all_submissions') then
        update onetake.breakers set open_until = v_until, cause = 'submissions', probe_run_id = null, probe_at = null
            where scope = 'all';
        return v_until;
    end if;
    if (select count(*) from onetake.runs where submitting_at > v_since and user_id = p_user_id)
       >= onetake.limit_value('breaker_user_submissions') then
        insert into onetake.breakers (scope, open_until, cause) values ('user:' || p_user_id, v_until, 'submissions')
            on conflict (scope) do update set open_until = excluded.open_until, cause = excluded.cause;
        return v_until;
    end if;
    return null;
end $$;

create function onetake.hold_back(p_run_id uuid, p_by text) returns void
language sql volatile set search_path = '' as $$
    update onetake.runs set held_back_since = coalesce(held_back_since, clock_timestamp()), held_back_by = p_by
        where run_id = p_run_id;
$$;

-- approved -> submitting, one winner. Answers {won: true, order, submitting_at} to the winner, however often he asks
-- with his token, and {won: false, refused, until, reason} to everybody else. The submissions of all runs pass
-- here one after another (the row of the breaker is their mutex): that is what lets it count.
create function public.begin_submission(p_run_id uuid, p_token text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    r onetake.runs;
    v_control onetake.control;
    v_breaker onetake.breakers;
    v_now timestamptz;
    v_until timestamptz;
begin
    if coalesce(length(p_token), 0) < 16 then
        raise exception 'a submission needs a random token' using errcode = 'LG003';
    end if;
    r := onetake.lock_run(p_run_id);
    if r.run_id is null then return jsonb_build_object('won', false, 'refused', 'unknown_run'); end if;
    if r.state = 'submitting' and r.token = p_token then
        return jsonb_build_object('won', true, 'order', onetake.order_json(r), 'submitting_at', r.submitting_at);
    end if;
    if r.state <> 'approved' then
        return jsonb_build_object('won', false, 'refused', 'state', 'state', r.state);
    end if;
    if r.needs_confirmation and r.confirmed_at is null then
        return jsonb_build_object('won', false, 'refused', 'not_confirmed', 'until', r.confirm_until);
    end if;

    select * into v_breaker from onetake.breakers where scope = 'all' for update;
    v_now := clock_timestamp();
    select * into v_control from onetake.control;
    if v_control.paused then
        perform onetake.hold_back(p_run_id, 'paused');
        return jsonb_build_object('won', false, 'refused', 'paused', 'reason', v_control.pause_reason);
    end if;
    v_until := greatest(onetake.breaker_until('all', p_run_id), onetake.breaker_until('user:' || r.user_id, p_run_id));
    v_until := coalesce(v_until, onetake.full_breaker(r.user_id, v_now));
    if v_until is not null then
        perform onetake.hold_back(p_run_id, 'breaker_open');
        return jsonb_build_object('won', false, 'refused', 'breaker_open', 'until', v_until);
    end if;
    if v_breaker.open_until is not null then          -- half open: this run is the probe
        update onetake.breakers set probe_run_id = p_run_id, probe_at = v_now where scope = 'all';
    end if;

    update onetake.runs set token = p_token where run_id = p_run_id;
    r := onetake.move(p_run_id, 'submitting', 'held');
    perform onetake.note(p_run_id, r.user_id, 'generate_video', 'submitting');
    return jsonb_build_object('won', true, 'order', onetake.order_json(r), 'submitting_at', r.submitting_at);
end $$;

-- Who owns a job at a provider; null if nobody.
create function onetake.owner_of(p_base_url text, p_job_id text) returns uuid
language sql stable set search_path = '' as $$
    select run_id from onetake.runs where base_url = p_base_url and job_id = p_job_id;
$$;

-- Takes a job away from a run that merely adopted it. It had the same order, so if the new owner had adopted
-- another such job, the two swap; otherwise an unsaved run is in doubt again. A saved clip stays where it is. A run
-- that failed by the job it loses, and gets its own instead, goes on: what failed was not its clip.
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
        update onetake.runs set reason = null, detail = null, provider_error = null, progress = null where run_id = p_from;
        perform onetake.move(p_from, 'rendering', 'held');
        perform onetake.note(p_from, v_from.user_id, 'generate_video', 'adopted_late',
                             jsonb_build_object('job_id', p_instead, 'source', v_from.job_source));
    end if;
    perform onetake.note(p_from, v_from.user_id, 'reconcile', 'job_taken', jsonb_build_object('by', p_by, 'instead', p_instead));
end $$;

-- Locks a run and the present owner of a job, users first, each kind in the order of its id.
create function onetake.lock_two(p_run_id uuid, p_other uuid) returns void
language plpgsql set search_path = '' as $$
begin
    perform from onetake.users where user_id in (select user_id from onetake.runs where run_id in (p_run_id, p_other))
        order by user_id for update;
    perform from onetake.runs where run_id in (p_run_id, p_other) order by run_id for update;
end $$;

-- The provider's job is this run's. p_source: 'answer' (the real answer to our POST, proved by the token),
-- 'list' (found in the provider's books) or 'person'. Proof beats a guess:
--   answer   from submitting, uncertain, failed, and from a rendering that was only adopted
--   list     from uncertain and failed, if no other run owns the job
--   person   as list, and from a parked rendering that was only adopted
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

    if p_source = 'answer' and r.token is distinct from p_token then
        return jsonb_build_object('recorded', false, 'why', 'not_the_winner', 'state', r.state);
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
       or (r.state = 'failed' and p_source = 'list' and r.job_id is not null) then
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
            reason = null, detail = null, provider_error = null
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
    end if;
    return jsonb_build_object('recorded', true, 'state', 'rendering', 'late', v_was_failed);
end $$;

-- submitting -> uncertain: the answer is lost. The winner says so with his token; anybody else only once the
-- request can no longer be under way, p_min_age_seconds after the submission.
create function public.mark_uncertain(
    p_run_id uuid, p_doubt text, p_token text default null, p_min_age_seconds double precision default null, p_ms integer default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
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

-- Ends a run as failed, from the state its caller saw. From `submitting` only the winner may (a clear no, or never
-- sent: his token proves it). p_spent: the provider said completed, or bills renders that fail.
-- A rendering run fails only with the job whose failure was seen (p_job_id); or, by the winner's token, when its job
-- was merely adopted and the real answer is a clear no: that job is then another's.
-- p_breaker: 'answer' or 'render' if the provider is to blame. Answers {moved, state}.
create function public.fail_run(
    p_run_id uuid, p_expected text, p_reason text, p_detail text, p_spent boolean default false,
    p_token text default null, p_breaker text default null, p_ms integer default null, p_job_id text default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    r onetake.runs;
    v_proved boolean;
begin
    r := onetake.lock_run(p_run_id);
    v_proved := case r.state
        when 'submitting' then r.token = p_token
        when 'rendering' then coalesce(r.job_id = p_job_id, r.token = p_token and r.job_source is distinct from 'answer')
        else true end;
    if r.state is distinct from p_expected or v_proved is not true then
        return jsonb_build_object('moved', false, 'state', r.state);
    end if;
    update onetake.runs set reason = p_reason, detail = p_detail,
            job_id = case when r.state = 'rendering' and p_job_id is null then null else job_id end
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

-- What reconciliation needs to know about one provider and key: every run that may own a job there, which of the
-- listed jobs are owned and how, and whether the list is trusted.
create function public.doubts_at(p_base_url text, p_key_fingerprint text, p_job_ids jsonb) returns jsonb
language sql security definer set search_path = '' as $$
    select jsonb_build_object(
        'runs', coalesce((select jsonb_agg(onetake.run_json(r) order by r.submitting_at) from onetake.runs r
            where r.base_url = p_base_url and r.key_fingerprint = p_key_fingerprint and r.job_id is null
              and (r.state in ('submitting', 'uncertain')
                   or (r.state = 'failed' and r.reason in ('not_made', 'not_charged', 'render_failed', 'expired')
                       and r.submitting_at > clock_timestamp() - interval '2 days'))), '[]'),
        'owned', coalesce((select jsonb_object_agg(r.job_id, jsonb_build_object('run_id', r.run_id, 'source', r.job_source,
                'prompt', r.improved_prompt, 'sent_at', r.submitting_at, 'known_at', coalesce(r.rendering_at, r.state_since)))
            from onetake.runs r where r.base_url = p_base_url
              and r.job_id in (select jsonb_array_elements_text(p_job_ids))), '{}'),
        'trusted', exists (select from onetake.providers where base_url = p_base_url
            and key_fingerprint = p_key_fingerprint and list_trusted_at is not null));
$$;

-- One look through the provider's list for a run in doubt. A look counts towards "never made" only if it was
-- complete and found nothing that could be ours; anything that could starts the count again.
create function public.record_look(
    p_run_id uuid, p_complete boolean, p_candidates integer, p_proves_list boolean, p_next_look_at timestamptz,
    p_detail jsonb default '{}'
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    r onetake.runs;
    v_now timestamptz := clock_timestamp();
begin
    r := onetake.lock_run(p_run_id);
    if r.state is distinct from 'uncertain' then return onetake.run_json(r); end if;
    if p_proves_list then
        insert into onetake.providers (base_url, key_fingerprint, list_trusted_at)
            values (r.base_url, r.key_fingerprint, v_now)
            on conflict (base_url, key_fingerprint) do update
                set list_trusted_at = coalesce(onetake.providers.list_trusted_at, excluded.list_trusted_at);
    end if;
    update onetake.runs set
        looks_complete = case when p_candidates > 0 then 0 when p_complete then looks_complete + 1 else looks_complete end,
        first_look_at = case when p_candidates > 0 then null when p_complete then coalesce(first_look_at, v_now) else first_look_at end,
        last_look_at = case when p_complete then v_now else last_look_at end, next_look_at = coalesce(p_next_look_at, 'infinity'), attempts = 0
        where run_id = p_run_id returning * into r;
    perform onetake.note(p_run_id, r.user_id, 'reconcile', case when p_complete then 'looked' else 'look_incomplete' end,
                         p_detail || jsonb_build_object('candidates', p_candidates));
    return onetake.run_json(r);
end $$;
