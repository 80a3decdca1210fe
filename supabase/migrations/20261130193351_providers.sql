-- Several providers: a run names its own, what its model is asked for, where the provider may report the job, and what
-- the provider says that it charged.
alter table onetake.runs
    add column provider text not null default 'openai',
    add column input jsonb not null default '{}',
    add column callback_url text,
    add column callback_job_id text,
    add column gateway_attempts integer not null default 0,
    add column charged_microusd bigint check (charged_microusd >= 0),
    drop constraint runs_job_source_check,
    add constraint runs_job_source_check check (job_source in ('answer', 'marker', 'list', 'person'));
create unique index runs_callback on onetake.runs (right(callback_url, 32)) where callback_url is not null;

drop function public.amend(uuid,integer,text,bigint);

drop function public.reserve(text,uuid,text,text,jsonb,text,text,text,text,integer,text,text,bigint,boolean,text,text,boolean,boolean);

-- Reserves a run. Answers {kind: 'accepted', replayed, run} or {kind: <refusal>, until, of_run_id, of_ref, reason, what}.
create or replace function public.reserve(
    p_key text, p_call_id uuid, p_request_hash text, p_user_id text, p_audience jsonb, p_language text,
    p_prompt text, p_prompt_hash text, p_model text, p_seconds integer, p_size text, p_create_body text,
    p_price_microusd bigint, p_bills_failed boolean, p_base_url text, p_key_fingerprint text,
    p_confirm boolean default false, p_again boolean default false, p_provider text default 'openai',
    p_input jsonb default '{}', p_callback_url text default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    u onetake.users;
    r onetake.runs;
    v_now timestamptz;
    v_answer jsonb;
begin
    insert into onetake.users (user_id) values (p_user_id)
        on conflict (user_id) do update set version = onetake.users.version + 1
        returning * into u;
    v_now := clock_timestamp();

    v_answer := onetake.replay(p_key, p_request_hash, p_call_id);
    if v_answer is not null then return v_answer; end if;

    v_answer := onetake.first_refusal(u, p_prompt_hash, p_again, v_now);
    if v_answer is null then
        v_answer := onetake.take_budget(p_price_microusd, v_now);
    end if;
    if v_answer is not null then
        perform onetake.note((v_answer ->> 'of_run_id')::uuid, p_user_id, 'check_limits', v_answer ->> 'kind', v_answer,
            p_saved_microusd => case v_answer ->> 'kind' when 'duplicate' then p_price_microusd else 0 end,
            p_call_id => p_call_id);
        return v_answer;
    end if;

    insert into onetake.runs (
        ref, request_key, request_hash, call_id, user_id, audience, language, prompt, prompt_hash,
        provider, model, seconds, size, create_body, input, callback_url, price_microusd, bills_failed, base_url, key_fingerprint,
        state_since, reserved_at, day, month, held_microusd, needs_confirmation
    ) values (
        onetake.new_ref(), p_key, p_request_hash, p_call_id, p_user_id, p_audience, p_language, p_prompt, p_prompt_hash,
        p_provider, p_model, p_seconds, p_size, p_create_body, p_input, p_callback_url, p_price_microusd, p_bills_failed, p_base_url, p_key_fingerprint,
        v_now, v_now, (v_now at time zone 'UTC')::date, to_char(v_now at time zone 'UTC', 'YYYY-MM'), p_price_microusd, p_confirm
    ) returning * into r;

    -- The database says no last: a lease that still holds is taken only by another take asked for on purpose.
    insert into onetake.leases as l (user_id, prompt_hash, run_id, expires_at)
        values (p_user_id, p_prompt_hash, r.run_id, v_now + make_interval(secs => onetake.limit_value('duplicate_window_seconds')))
        on conflict (user_id, prompt_hash) do update set run_id = excluded.run_id, expires_at = excluded.expires_at
        where p_again or l.expires_at <= v_now;
    if not found then
        raise exception 'the lease on this prompt is held' using errcode = 'LG002';
    end if;

    perform onetake.note(r.run_id, p_user_id, 'check_limits', 'accepted', p_call_id => p_call_id);
    return jsonb_build_object('kind', 'accepted', 'replayed', false, 'run', onetake.run_json(r));
exception when unique_violation then
    -- Two users raced for one key, or two refs met by chance: the whole attempt is undone; the caller learns why.
    v_answer := onetake.replay(p_key, p_request_hash, p_call_id);
    if v_answer is null then raise; end if;
    return v_answer;
end $$;

-- Whether the provider has shown that this job exists: at its own address, in its list, or by its clip.
create or replace function onetake.job_exists(p_base_url text, p_job_id text) returns boolean
language sql stable set search_path = '' as $$
    select exists (select from onetake.runs where base_url = p_base_url and job_id is not null
        and onetake.canonical_id(job_id) = onetake.canonical_id(p_job_id)
        and (job_seen_at is not null or progress is not null or file is not null or job_source in ('marker', 'list')));
$$;

-- The order to send. It comes from the run alone, never from today's settings.
create or replace function onetake.order_json(r onetake.runs) returns jsonb
language sql immutable set search_path = '' as $$
    select jsonb_build_object('run_id', r.run_id, 'prompt', r.improved_prompt, 'model', r.model, 'seconds', r.seconds,
                              'size', r.size, 'create_body', r.create_body, 'provider', r.provider, 'input', r.input,
                              'callback_url', r.callback_url);
$$;

-- Records that a job belongs to a run. p_source: 'answer' (the real answer to our POST, proved by the token), 'marker'
-- (the provider shows it with something that only this run's request had), 'list' (found by its prompt) or 'person'.
-- Proof beats a guess:
--   answer   from submitting, uncertain, failed, and from a rendering that was only adopted
--   marker, list
--            from uncertain and failed, if no other run owns the job and this run has not seen it fail
--   person   as list, and from a parked rendering that was only adopted, or whose job the provider never showed
-- A second id in a real answer, or beside one found by the marker, is kept as a difference: possibly two paid calls.
-- Answers {recorded, state, why}.
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

-- A provider called a run's callback address. The job that it names is a hint, kept until another one comes, the first
-- few on the timeline; a run that has a job, or waits, is looked at now. Answers the run's id, or null if no address
-- ends in this token.
create or replace function public.note_callback(p_token text, p_job_id text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    select * into r from onetake.runs where length(p_token) = 32 and right(callback_url, 32) = p_token;
    if not found then return null; end if;
    r := onetake.lock_run(r.run_id);
    if p_job_id is distinct from coalesce(r.callback_job_id, r.job_id) and p_job_id is not null and (
            select count(*) from onetake.events where run_id = r.run_id and outcome = 'called_back') < 10 then
        perform onetake.note(r.run_id, r.user_id, 'generate_video', 'called_back', jsonb_build_object('job_id', p_job_id));
    end if;
    update onetake.runs set callback_job_id = coalesce(p_job_id, callback_job_id),
            next_look_at = case when state in ('uncertain', 'rendering') then null else next_look_at end
        where run_id = r.run_id;
    return to_jsonb(r.run_id);
end $$;

-- Stores what the provider says that it charged, beside the price. A failed run that was charged because
-- its failure may be billed gets its money back if the provider says that it was not. Answers {recorded, released}.
create or replace function public.record_charge(p_run_id uuid, p_microusd bigint) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    r onetake.runs;
    v_back boolean;
begin
    r := onetake.lock_run(p_run_id);
    v_back := p_microusd = 0 and r.state = 'failed' and r.spent_microusd > 0 and r.file is null;
    if r.run_id is null or r.charged_microusd is not distinct from p_microusd and not v_back then
        return jsonb_build_object('recorded', false, 'released', false);
    end if;
    update onetake.runs set charged_microusd = p_microusd,
            spent_microusd = case when v_back then 0 else spent_microusd end,
            released_microusd = case when v_back then released_microusd + spent_microusd else released_microusd end
        where run_id = p_run_id;
    if v_back then
        perform onetake.move_budgets(r.day, r.month, 0, -r.spent_microusd);
    end if;
    perform onetake.note(p_run_id, r.user_id, 'generate_video', 'charged',
        jsonb_build_object('microusd', p_microusd, 'price_microusd', r.price_microusd, 'released', v_back));
    return jsonb_build_object('recorded', true, 'released', v_back);
end $$;

-- Changes length or size before the user's tap, with them what the model is asked for, and the money set aside. The hold grows only within the budgets.
-- Answers {amended, run} or {amended: false, refused: {...}}.
create or replace function public.amend(
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

-- Reserves a new request in place of a draft of the same user; the draft stays if the new one is refused.
create or replace function public.replace_draft(p_run_id uuid, p_request jsonb) returns jsonb
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

-- Notes that a gateway says it sent our one request several times: it may have bought as many videos.
create or replace function public.note_gateway(p_run_id uuid, p_attempts integer, p_model text) returns jsonb
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

-- Whether the ledger can explain a difference by now. p_listed: the job ids that the list shows.
create or replace function onetake.is_explained(d onetake.differences, p_listed jsonb) returns boolean
language sql stable set search_path = '' as $$
    select case d.kind
        when 'in_doubt' then r.state not in ('submitting', 'uncertain')
        when 'run_without_job' then p_listed ? onetake.canonical_id(d.job_id) or r.job_id is distinct from d.job_id
        when 'charged_without_clip' then r.file is not null or r.spent_microusd = 0
        when 'charged_but_failed' then r.spent_microusd = 0
        when 'released_but_made' then r.state in ('rendering', 'saved', 'delivered') or r.spent_microusd > 0
        when 'not_as_ordered' then false when 'charged_otherwise' then false
        else onetake.owner_of(d.base_url, d.job_id) is not null end
    from (select 1) as one left join onetake.runs r on r.ref = d.ref;
$$;

-- Sets one preference (null removes it) and answers all of them.
create or replace function public.set_preference(p_user_id text, p_key text, p_value jsonb) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare v_preferences jsonb;
begin
    if p_key not in ('language', 'seconds', 'size', 'confirm', 'model') then
        raise exception 'there is no preference %', p_key using errcode = 'LG003';
    end if;
    insert into onetake.users (user_id) values (p_user_id) on conflict (user_id) do nothing;
    update onetake.users set preferences = case when p_value is null then preferences - p_key
            else preferences || jsonb_build_object(p_key, p_value) end
        where user_id = p_user_id returning preferences into v_preferences;
    return v_preferences;
end $$;

select onetake.restrict(array['amend', 'record_charge', 'record_submission', 'replace_draft', 'reserve', 'note_callback', 'note_gateway']::text[]);

-- A run with a different job does not know that it was completed, or what it cost.
create or replace function onetake.forget_done() returns trigger
language plpgsql set search_path = '' as $$
begin
    if new.job_id is distinct from old.job_id then new.done_seen_at := null; new.charged_microusd := null; end if;
    return new;
end $$;

-- What proves that a run failed. Before the fence: nothing was sent. With a token: the winner's clear no, or nothing
-- was sent; it overrules a job that was found in a list, not one that shows the run's own marker. In doubt: looks that
-- counted. Neither holds if an answer or a callback named a job that is not called by the run's own id. Rendering: the job itself showed it twice,
-- p_apart_seconds apart; the job was not a guess, and no second job is unexplained.
create or replace function onetake.failure_is_proved(
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

select onetake.restrict(array['amend', 'record_charge', 'reserve', 'note_callback', 'note_gateway']);
