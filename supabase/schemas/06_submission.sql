-- The fence around the one paid request: the moves from `approved` to `rendering`, `failed` or `uncertain`.

-- Counts the submissions in the window and opens a breaker that is full. Null: there is room.
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

-- Marks a run as refused at the fence. The wait is timed per cause: a run that waited for a slot starts a new wait when a
-- pause begins.
create function onetake.defer(p_run_id uuid, p_by text) returns void
language sql volatile set search_path = '' as $$
    update onetake.runs set
        deferred_since = case when (deferred_by = 'no_slot') = (p_by = 'no_slot') then deferred_since
                               else clock_timestamp() end,
        deferred_by = p_by
        where run_id = p_run_id;
$$;

-- How many more orders the provider accepts now; null without limits. Runs in doubt take a slot, since they may be
-- rendering; parked ones do not, or a few lost answers would block everybody for a day.
create function onetake.free_slots(r onetake.runs, p_now timestamptz, p_in_flight_max integer, p_creates_per_minute integer) returns integer
language sql stable set search_path = '' as $$
    select least(
        p_in_flight_max - (select count(*) from onetake.runs o where o.state in ('submitting', 'uncertain', 'rendering')
            and o.parked_at is null and o.base_url = r.base_url and o.key_fingerprint = r.key_fingerprint),
        p_creates_per_minute - (select count(*) from onetake.runs o where o.submitting_at > p_now - interval '1 minute'
            and o.base_url = r.base_url and o.key_fingerprint = r.key_fingerprint))::integer;
$$;

-- How many runs wait for a slot before this one. Only runs with a live heartbeat count: a run whose worker died, or
-- that waits for its user's tap, keeps no slot free.
create function onetake.waiting_before(r onetake.runs, p_now timestamptz) returns integer
language sql stable set search_path = '' as $$
    select count(*)::integer from onetake.runs o
        where o.state = 'approved' and o.deferred_by = 'no_slot' and o.run_id <> r.run_id
          and o.base_url = r.base_url and o.key_fingerprint = r.key_fingerprint
          and o.next_look_at > p_now - interval '20 seconds'
          and (o.approved_at, o.run_id) < (r.approved_at, r.run_id);
$$;

-- approved -> submitting, one winner. Answers {won: true, order, submitting_at} to the winner, on every call with its
-- token, and {won: false, refused, until, reason} to everybody else. All submissions pass here one after another (the
-- breaker's row is their mutex), so it can count them.
-- p_in_flight_max, p_creates_per_minute: the provider's limits, as the caller knows them; null is none. They hold for all
-- machines together, and the run that was approved first goes first.
-- p_request_seconds: the winner's own deadlines, added up. No machine treats the request as over before that.
create function public.begin_submission(
    p_run_id uuid, p_token text, p_in_flight_max integer default null, p_creates_per_minute integer default null,
    p_request_seconds double precision default null
) returns jsonb
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
        perform onetake.defer(p_run_id, 'paused');
        return jsonb_build_object('won', false, 'refused', 'paused', 'reason', v_control.pause_reason);
    end if;
    v_until := greatest(onetake.breaker_until('all', p_run_id), onetake.breaker_until('user:' || r.user_id, p_run_id));
    v_until := coalesce(v_until, onetake.full_breaker(r.user_id, v_now));
    if v_until is not null then
        perform onetake.defer(p_run_id, 'breaker_open');
        return jsonb_build_object('won', false, 'refused', 'breaker_open', 'until', v_until);
    end if;
    if (p_in_flight_max is not null or p_creates_per_minute is not null)
       and onetake.free_slots(r, v_now, p_in_flight_max, p_creates_per_minute) <= onetake.waiting_before(r, v_now) then
        perform onetake.defer(p_run_id, 'no_slot');
        return jsonb_build_object('won', false, 'refused', 'no_slot');
    end if;
    if v_breaker.open_until is not null then          -- half open: this run is the probe
        update onetake.breakers set probe_run_id = p_run_id, probe_at = v_now where scope = 'all';
    end if;

    update onetake.runs set token = p_token, request_seconds = p_request_seconds where run_id = p_run_id;
    r := onetake.move(p_run_id, 'submitting', 'held');
    perform onetake.note(p_run_id, r.user_id, 'generate_video', 'submitting');
    return jsonb_build_object('won', true, 'order', onetake.order_json(r), 'submitting_at', r.submitting_at);
end $$;

-- submitting -> uncertain: the answer is lost. The winner reports it with its token; anybody else may only once the
-- request can no longer be in flight, p_min_age_seconds after the submission. p_answer: what came instead of an answer,
-- bounded, for the timeline.
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
    perform onetake.feed_breaker(p_run_id, 'answer', false);
    return jsonb_build_object('moved', true, 'state', r.state);
end $$;

-- What proves that a run failed. Before the fence: nothing was sent. With a token: the winner's clear no, or nothing
-- was sent; it overrules a job that was found in a list, not one that shows the run's own marker. In doubt: looks that
-- counted. Neither holds if an answer or a callback named a job that is not called by the run's own id. Rendering: the job itself showed it twice,
-- p_apart_seconds apart; the job was not a guess, and no second job is unexplained.
create function onetake.failure_is_proved(
    r onetake.runs, p_token text, p_reason text, p_job_id text, p_apart_seconds double precision
) returns boolean
language sql stable set search_path = '' as $$
    select coalesce(case
        when r.state in ('reserved', 'approved') then true
        when p_token is not null then r.token = p_token and (r.state = 'rendering' and r.job_source not in ('answer', 'marker')
            or r.state in ('submitting', 'uncertain') and coalesce(r.callback_job_id = r.run_id::text, true))
        when r.state = 'uncertain' then p_reason = 'not_made' and r.looks_complete > 0 and r.answered_job_id is null
            and r.callback_job_id is null and not onetake.has_two_jobs(r)
        when r.state = 'rendering' then r.job_id = p_job_id and r.job_source <> 'list' and not onetake.has_two_jobs(r)
            and r.failing_since <= clock_timestamp() - make_interval(secs => p_apart_seconds)
            and r.job_seen_at >= r.failing_since
        else false end, false);
$$;

-- Fails a run from the state its caller saw, if the failure is proved. p_spent: the provider showed it completed, or
-- bills failed renders. p_breaker: 'answer' or 'render' if the provider is to blame. Answers {moved, state}.
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
        perform onetake.feed_breaker(p_run_id, p_breaker, false);
    elsif p_expected = 'submitting' and p_reason <> 'never_sent' then
        perform onetake.feed_breaker(p_run_id, 'answer', true);   -- a no to this request: the provider is well
    else
        update onetake.breakers set probe_run_id = null, probe_at = null where probe_run_id = p_run_id;
    end if;
    return jsonb_build_object('moved', true, 'state', r.state);
end $$;

-- Notes that a gateway says it sent our one request several times: it may have bought as many videos.
create function public.note_gateway(p_run_id uuid, p_attempts integer, p_model text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    if p_attempts > r.gateway_attempts then
        update onetake.runs set gateway_attempts = p_attempts where run_id = p_run_id;
        perform onetake.note(p_run_id, r.user_id, 'generate_video', 'gateway_retried',
            jsonb_build_object('attempts', p_attempts, 'model', p_model));
    end if;
    return to_jsonb(r.run_id);
end $$;

-- Whether this token won the run's fence: an answer with any other token belongs to nobody.
create function public.is_winner(p_run_id uuid, p_token text) returns jsonb
language sql stable security definer set search_path = '' as $$
    select to_jsonb(exists (select from onetake.runs where run_id = p_run_id and token = p_token));
$$;

-- Keeps an answer that fits no run, once, and alerts operators.
create function public.keep_stray_answer(p_run_id uuid, p_why text, p_status integer, p_body text) returns jsonb
language sql security definer set search_path = '' as $$
    insert into onetake.stray_answers (run_id, why, status, body) values (p_run_id, p_why, p_status, left(p_body, 2000))
        on conflict do nothing;
    select 'true'::jsonb;
$$;

-- The newest stray answers.
create function public.list_stray_answers(p_at_most integer) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(s) || jsonb_build_object('ref', (select ref from onetake.runs r where r.run_id = s.run_id))
            order by s.id desc), '[]')
    from (select * from onetake.stray_answers order by id desc limit p_at_most) s;
$$;
