-- The steps of a run that cost no video money: loading, attempts, waiting, verdict, confirmation, caption. Each function
-- compares the expected state with the actual one, and the first stored result wins.

-- A run; null if there is none.
create function public.load_run(p_run_id uuid) returns jsonb
language sql security definer set search_path = '' as $$
    select onetake.run_json(r) from onetake.runs r where r.run_id = p_run_id;
$$;

-- These runs, each with `position`: how many wait before it for a first attempt or for a slot at the provider (null: it waits
-- for neither).
create function public.load_runs(p_run_ids jsonb) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(onetake.run_json(r) || jsonb_build_object('position', case
        when r.state = 'reserved' and r.attempts = 0 then (select count(*) from onetake.runs o
            where o.state = 'reserved' and o.attempts = 0 and o.reserved_at < r.reserved_at)
        when r.state = 'approved' and r.deferred_by = 'no_slot' then onetake.waiting_before(r, clock_timestamp()) end)), '[]')
    from onetake.runs r where r.run_id in (select value::uuid from jsonb_array_elements_text(p_run_ids));
$$;

-- A run by its ref or its id; each has an index.
create function public.find_run(p_ref text) returns jsonb
language sql security definer set search_path = '' as $$
    select onetake.run_json(r) from onetake.runs r
    where r.ref = upper(p_ref)
       or r.run_id = case when p_ref ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then p_ref::uuid end;
$$;

-- A run by its request key.
create function public.find_key(p_key text) returns jsonb
language sql security definer set search_path = '' as $$
    select onetake.run_json(r) from onetake.runs r where r.request_key = p_key;
$$;

-- The runs a worker should look at now: unfinished and due. A terminal learns how its run ended by asking.
create function public.due_runs(p_at_most integer) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(jsonb_build_object('run_id', run_id, 'ref', ref, 'state', state)), '[]') from (
        (select run_id, ref, state, next_look_at from onetake.runs
            where state in ('reserved', 'approved', 'submitting', 'uncertain', 'rendering')
              and (next_look_at is null or next_look_at <= clock_timestamp())
            order by next_look_at nulls first limit p_at_most)
        union all
        (select run_id, ref, state, next_look_at from onetake.runs
            where state in ('saved', 'delivered', 'rejected', 'canceled', 'failed') and told_state is distinct from state
              and audience ->> 'kind' <> 'terminal'
              and (next_look_at is null or next_look_at <= clock_timestamp())
            order by next_look_at nulls first limit p_at_most)
        union all
        -- It waits for its user's tap, and nobody has asked for it: whoever should have died on the way.
        (select run_id, ref, state, next_look_at from onetake.runs
            where state = 'approved' and needs_confirmation and confirmed_at is null and told_state is distinct from state
              and audience ->> 'kind' <> 'terminal' and next_look_at > clock_timestamp()
              and state_since < clock_timestamp() - interval '10 seconds'
              and (notifying_until is null or notifying_until <= clock_timestamp())
            limit p_at_most)
    ) as due;
$$;

-- Starts an attempt on a due run. It is counted before the work, so an attempt that kills its process counts too. The run
-- is not due for anybody else for p_heartbeat_seconds; the worker renews that with `heartbeat`. Past p_attempts_max without
-- progress, a run that cannot have paid fails; a later one is parked. Answers the run.
create function public.start_attempt(p_run_id uuid, p_attempts_max integer, p_heartbeat_seconds double precision) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    r onetake.runs;
    v_due boolean;
begin
    r := onetake.lock_run(p_run_id);
    if r.run_id is null then return null; end if;
    v_due := r.next_look_at is null or r.next_look_at <= clock_timestamp();
    if r.state in ('rejected', 'canceled', 'failed', 'delivered') or not v_due then return onetake.run_json(r); end if;
    if r.attempts >= p_attempts_max then
        if r.state in ('reserved', 'approved') then
            update onetake.runs set reason = 'gave_up', detail = 'five attempts came to nothing before anything was bought'
                where run_id = p_run_id;
            r := onetake.move(p_run_id, 'failed', 'released');
            perform onetake.note(p_run_id, r.user_id, 'run', 'gave_up');
            return onetake.run_json(r);
        elsif r.parked_at is null and r.state in ('submitting', 'uncertain', 'rendering') then
            update onetake.runs set parked_at = clock_timestamp() where run_id = p_run_id;
            perform onetake.note(p_run_id, r.user_id, 'run', 'parked', jsonb_build_object('why', 'attempts'));
        end if;
    end if;
    update onetake.runs set attempts = attempts + 1,
            next_look_at = clock_timestamp() + make_interval(secs => p_heartbeat_seconds)
        where run_id = p_run_id returning * into r;
    return onetake.run_json(r);
end $$;

-- The heartbeat of a worker. p_job_id: a job that this look showed as not failed; an earlier failing look is withdrawn.
create function public.heartbeat(
    p_run_id uuid, p_heartbeat_seconds float8, p_progress integer default null, p_job_id text default null
) returns jsonb
language sql security definer set search_path = '' as $$
    update onetake.runs r set next_look_at = clock_timestamp() + make_interval(secs => p_heartbeat_seconds),
            progress = coalesce(p_progress, progress),
            attempts = case when r.state = 'rendering' and p_progress is not null then 1 else attempts end,
            job_seen_at = case when r.job_id = p_job_id then clock_timestamp() else job_seen_at end,
            failing_since = case when r.job_id = p_job_id then null else failing_since end,
            failing_words = case when r.job_id = p_job_id then null else failing_words end
        where r.run_id = p_run_id and r.state in ('reserved', 'approved', 'submitting', 'rendering')
        returning onetake.run_json(r);
$$;

-- Ends an attempt and makes the run due at p_at. Null p_at: never automatically.
create function public.wait_until(p_run_id uuid, p_at timestamptz) returns jsonb
language sql security definer set search_path = '' as $$
    update onetake.runs r set next_look_at = coalesce(p_at, 'infinity'), attempts = 0
        where r.run_id = p_run_id returning onetake.run_json(r);
$$;

-- Parks a run: money held, lease kept, its user no longer busy, operators alerted. `look_says` of a rendering run: why the
-- last look at its job settled nothing.
create function public.park(p_run_id uuid, p_why text, p_next_look_at timestamptz) returns jsonb
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

-- reserved -> approved. Answers the run as it is: a second verdict changes nothing but its cost.
create function public.approve(
    p_run_id uuid, p_improved_prompt text, p_title text, p_category text, p_language text, p_template jsonb,
    p_confirm_seconds double precision, p_cost_microusd bigint, p_ms integer, p_detail jsonb default '{}'
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    perform onetake.note(p_run_id, r.user_id, 'validate_prompt', case r.state when 'reserved' then 'approved' else 'ignored' end,
                         p_detail, p_ms, p_cost_microusd);
    perform onetake.book_text(p_run_id, p_cost_microusd);
    if r.state = 'reserved' then
        update onetake.runs set improved_prompt = p_improved_prompt, title = p_title, category = p_category,
                language = p_language, templates = templates || p_template,
                confirm_until = case when needs_confirmation
                    then clock_timestamp() + make_interval(secs => p_confirm_seconds) end
            where run_id = p_run_id;
        perform onetake.move(p_run_id, 'approved', 'held');
    end if;
    return public.load_run(p_run_id);
end $$;

-- reserved -> rejected, with the reasons. Answers the run as it is.
create function public.reject(
    p_run_id uuid, p_reasons jsonb, p_explanation text, p_safe_rewrite text, p_template jsonb,
    p_cost_microusd bigint, p_ms integer, p_detail jsonb default '{}'
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    perform onetake.note(p_run_id, r.user_id, 'validate_prompt', case r.state when 'reserved' then 'rejected' else 'ignored' end,
                         p_detail || jsonb_build_object('reasons', p_reasons), p_ms, p_cost_microusd);
    perform onetake.book_text(p_run_id, p_cost_microusd);
    if r.state = 'reserved' then
        update onetake.runs set reasons = p_reasons, detail = p_explanation, reason = 'rejected',
                safe_rewrite = p_safe_rewrite, templates = templates || p_template
            where run_id = p_run_id;
        perform onetake.move(p_run_id, 'rejected', 'released');
    end if;
    return public.load_run(p_run_id);
end $$;

-- The user's tap, for this length and size if given, not for what the run has become since. Idempotent; refused after
-- confirm_until, and for a user who has been blocked.
create function public.confirm(p_run_id uuid, p_seconds integer default null, p_size text default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    if r.state = 'approved' and r.needs_confirmation and r.confirmed_at is null and r.confirm_until > clock_timestamp()
       and r.seconds = coalesce(p_seconds, r.seconds) and r.size = coalesce(p_size, r.size)
       and not exists (select from onetake.users u where u.user_id = r.user_id and u.blocked) then
        update onetake.runs set confirmed_at = clock_timestamp(), next_look_at = null, attempts = 0 where run_id = p_run_id;
        perform onetake.note(p_run_id, r.user_id, 'confirm', 'confirmed');
    end if;
    return public.load_run(p_run_id);
end $$;

-- Changes length or size before the user's tap, with them what the model is asked for, and the money set aside. The hold grows only within the budgets.
-- Answers {amended, run} or {amended: false, refused: {...}}.
create function public.amend(
    p_run_id uuid, p_seconds integer, p_size text, p_price_microusd bigint, p_input jsonb default '{}'
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    r onetake.runs;
    v_more bigint;
    v_refused jsonb;
begin
    r := onetake.lock_run(p_run_id);
    if r.state is distinct from 'approved' or not r.needs_confirmation or r.confirmed_at is not null
            or r.confirm_until <= clock_timestamp() then
        return jsonb_build_object('amended', false, 'refused', onetake.refusal('too_late'), 'run', onetake.run_json(r));
    end if;
    v_more := p_price_microusd - r.held_microusd;
    if v_more > 0 then
        insert into onetake.budgets (period) values (r.day::text), (r.month) on conflict do nothing;
        v_refused := onetake.room_in_budgets(r.day, r.month, v_more);
        if v_refused is not null then
            return jsonb_build_object('amended', false, 'refused', v_refused, 'run', onetake.run_json(r));
        end if;
    end if;
    update onetake.runs set seconds = p_seconds, size = p_size, input = p_input, price_microusd = p_price_microusd,
            held_microusd = p_price_microusd where run_id = p_run_id;
    perform onetake.move_budgets(r.day, r.month, v_more, 0);
    perform onetake.note(p_run_id, r.user_id, 'amend', 'amended',
        jsonb_build_object('seconds', p_seconds, 'size', p_size, 'price_microusd', p_price_microusd));
    return jsonb_build_object('amended', true, 'run', public.load_run(p_run_id));
end $$;

-- Cancels a run before any request: by its user, by an operator, or because nobody confirmed it in time.
create function public.cancel_run(p_run_id uuid, p_by text, p_reason text default 'canceled') returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    if r.run_id is null or r.state not in ('reserved', 'approved') then
        return jsonb_build_object('canceled', false, 'state', r.state);
    end if;
    if p_reason = 'not_confirmed' and (r.confirmed_at is not null or coalesce(r.confirm_until, 'infinity') > clock_timestamp()) then
        return jsonb_build_object('canceled', false, 'state', r.state);
    end if;
    update onetake.runs set reason = p_reason where run_id = p_run_id;
    perform onetake.move(p_run_id, 'canceled', 'released');
    perform onetake.note(p_run_id, r.user_id, 'cancel', p_reason, jsonb_build_object('by', p_by));
    return jsonb_build_object('canceled', true, 'state', 'canceled');
end $$;

-- Reserves a new request in place of a draft of the same user; the draft stays if the new one is refused.
create function public.replace_draft(p_run_id uuid, p_request jsonb) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare v_answer jsonb;
begin
    begin
        perform public.cancel_run(run_id, user_id, 'edited') from onetake.runs
            where run_id = p_run_id and user_id = p_request ->> 'user_id';
        v_answer := public.reserve(
            p_key => p_request ->> 'key', p_call_id => (p_request ->> 'call_id')::uuid,
            p_request_hash => p_request ->> 'request_hash', p_user_id => p_request ->> 'user_id',
            p_audience => p_request -> 'audience', p_language => p_request ->> 'language',
            p_prompt => p_request ->> 'prompt', p_prompt_hash => p_request ->> 'prompt_hash',
            p_model => p_request ->> 'model', p_seconds => (p_request ->> 'seconds')::integer,
            p_size => p_request ->> 'size', p_create_body => p_request ->> 'create_body',
            p_price_microusd => (p_request ->> 'price_microusd')::bigint,
            p_bills_failed => (p_request ->> 'bills_failed')::boolean, p_base_url => p_request ->> 'base_url',
            p_key_fingerprint => p_request ->> 'key_fingerprint', p_confirm => (p_request ->> 'confirm')::boolean,
            p_again => (p_request ->> 'again')::boolean, p_provider => p_request ->> 'provider', p_input => p_request -> 'input',
            p_callback_url => p_request ->> 'callback_url');
        if v_answer ->> 'kind' <> 'accepted' then
            raise exception 'the new request is refused' using errcode = 'LG009';
        end if;
    exception when sqlstate 'LG009' then              -- the withdrawal is undone; the answer says why
        null;
    end;
    return v_answer;
end $$;

-- Stores the caption and the hashtags; the first ones win.
create function public.record_caption(
    p_run_id uuid, p_caption text, p_hashtags jsonb, p_by text, p_template jsonb, p_cost_microusd bigint, p_ms integer,
    p_detail jsonb default '{}'
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    perform onetake.note(p_run_id, r.user_id, 'write_caption', case when r.caption is null then p_by else 'ignored' end,
                         p_detail, p_ms, p_cost_microusd);
    perform onetake.book_text(p_run_id, p_cost_microusd);
    update onetake.runs set caption = p_caption, hashtags = p_hashtags, caption_by = p_by, templates = templates || p_template
        where run_id = p_run_id and caption is null;
    return public.load_run(p_run_id);
end $$;

-- Adds the outcome of a step, for the timeline and the metrics.
create function public.record_event(
    p_run_id uuid, p_step text, p_outcome text, p_ms integer default null, p_cost_microusd bigint default 0, p_detail jsonb default '{}'
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    perform onetake.note(p_run_id, r.user_id, p_step, p_outcome, p_detail, p_ms, p_cost_microusd);
    perform onetake.book_text(p_run_id, p_cost_microusd);
    return jsonb_build_object('recorded', true);
end $$;
