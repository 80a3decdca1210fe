-- A person decides about a run in doubt, and may take the decision back.

-- "Found it", by a person. p_seen: what the provider showed of that job, {status, word, ...}; null if it showed nothing and
-- the person insists: then the user's slot is free at once, and one look decides. Naming the job that a parked run already
-- has confirms it.
create function public.settle_found(
    p_run_id uuid, p_job_id text, p_who text, p_why text default null, p_seen jsonb default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare v_answer jsonb := public.record_submission(p_run_id, p_job_id, 'person');
begin
    if (v_answer ->> 'recorded')::boolean and v_answer ->> 'state' not in ('saved', 'delivered') then
        if p_seen is null then
            update onetake.runs set parked_at = coalesce(parked_at, clock_timestamp()) where run_id = p_run_id;
        else
            update onetake.runs set job_source = 'person' where run_id = p_run_id and state = 'rendering' and parked_at is not null;
        end if;
        perform onetake.note(p_run_id, (select user_id from onetake.runs where run_id = p_run_id), 'settle', 'found',
                             jsonb_strip_nulls(jsonb_build_object('by', p_who, 'why', p_why, 'job', p_job_id, 'seen', p_seen)));
    end if;
    return v_answer;
end $$;

-- "Not charged", by a person. p_shown: what that person saw, {state, job_id}; a decision about something that has changed
-- since is refused. Before p_wait_seconds after the order the job may still turn up: that needs p_early, the person's
-- explicit word. A job id that a person gave and the provider never showed is dropped. Answers {settled, state, why}.
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

-- Takes back a person's last decision: "not charged" while nothing was bought instead, "found" while nothing was
-- downloaded. The run is in doubt again, or rendering if it had a job. Answers {settled, state, why}.
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
