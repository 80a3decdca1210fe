-- What becomes of a run after it was audited is audited, too; a day's proof is of that day; and what a person says while a
-- worker is at the same run loses neither the clip nor the word.

-- Runs that may have bought something at this provider with this key since then, or whose end came since then: what was
-- open at the last audit is looked at again, and for a day more what failed without a job: lists lag. And whatever a late
-- job might be instead: failed runs that are not known to have none. Thirty days back, as far as any audit goes (SINCE_MAX in
-- pipeline/audit.py).
create or replace function public.audit_view(p_base_url text, p_key_fingerprint text, p_since timestamptz) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(onetake.run_json(r) order by r.submitting_at), '[]') from onetake.runs r
    where r.base_url = p_base_url and r.key_fingerprint = p_key_fingerprint
      and r.submitting_at >= least(p_since, clock_timestamp() - interval '30 days')
      and (greatest(r.submitting_at, r.saved_at, r.failed_at) >= p_since
           or r.state in ('submitting', 'uncertain', 'rendering')
           or (r.job_id is null and r.state = 'failed' and r.reason in ('not_made', 'not_charged')));
$$;

-- Whether a second paid call came in a day: {clean, why, until}. The day is the 24 hours before `until`, up to which complete
-- audits reach; `until` may be 25 hours ago (they come once a day). To each order of that day its own
-- provider's audits must reach, and whatever was found since it began speaks against it.
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
        when exists (select from onetake.events e join onetake.runs r using (run_id)
                where e.step = 'generate_video' and e.outcome = 'answer_ignored' and e.at > day.begins
                  and e.detail ->> 'source' = 'answer' and r.job_id is distinct from e.detail ->> 'job_id')
            then jsonb_build_object('clean', false, 'why', 'second_answer', 'until', null)
        when exists (select from onetake.audits a where a.at > day.begins
                and (a.result -> 'differences' @> '[{"kind": "two_paid_calls"}]'
                     or a.result -> 'differences' @> '[{"kind": "perhaps_two_paid_calls"}]'))
            then jsonb_build_object('clean', false, 'why', 'audit', 'until', null)
        when day.until > now() - interval '25 hours' and not exists (
                select from onetake.runs r left join onetake.audited a using (base_url, key_fingerprint)
                where r.submitting_at > day.begins and r.submitting_at <= day.until
                  and coalesce(a.until, '-infinity') < r.submitting_at)
            then jsonb_build_object('clean', true, 'why', null, 'until', day.until)
        else jsonb_build_object('clean', false, 'why', 'not_audited', 'until', null) end
    from day;
$$;

-- As before; a clip in hand also proves that a person was wrong who said "not charged" while it was fetched: then it is a
-- late adoption, and the money is taken again. The job may be one that was forgotten with that word (below).
create or replace function public.save_run(
    p_run_id uuid, p_file text, p_file_bytes bigint, p_file_sha256 text, p_job_id text, p_ms integer default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    perform pg_advisory_xact_lock(hashtextextended(base_url || ' ' || p_job_id, 0)) from onetake.runs
        where run_id = p_run_id and state = 'failed' and job_id is null;     -- as record_submission, before any row
    r := onetake.lock_run(p_run_id);
    if r.state = 'failed' and r.reason = 'not_charged' and (r.job_id = p_job_id or (
            r.job_id is null and onetake.owner_of(r.base_url, p_job_id) is null
            and p_job_id = (select detail ->> 'job' from onetake.events where run_id = p_run_id and step = 'settle'
                                and outcome = 'not_charged' order by event_id desc limit 1))) then
        update onetake.runs set reason = null, detail = null, job_id = p_job_id, job_source = coalesce(job_source, 'person')
            where run_id = p_run_id returning * into r;
        r := onetake.move(p_run_id, 'rendering', 'held');
        perform onetake.note(p_run_id, r.user_id, 'generate_video', 'adopted_late',
                             jsonb_build_object('job_id', p_job_id, 'source', r.job_source));
    end if;
    if r.state = 'rendering' and r.job_id is not distinct from p_job_id then
        update onetake.runs set file = p_file, file_bytes = p_file_bytes, file_sha256 = p_file_sha256, progress = 100
            where run_id = p_run_id;
        perform onetake.move(p_run_id, 'saved', 'spent');
        perform onetake.note(p_run_id, r.user_id, 'save_video', 'saved', jsonb_build_object('bytes', p_file_bytes), p_ms);
        perform onetake.tell_breaker(p_run_id, 'render', true);
    end if;
    return public.load_run(p_run_id);
end $$;

-- "Found it": record_submission by a person, with who that was and how they know. Of a run whose video is here already it
-- says nothing new, and nothing is kept.
create or replace function public.settle_found(p_run_id uuid, p_job_id text, p_who text, p_why text default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare v_answer jsonb := public.record_submission(p_run_id, p_job_id, 'person');
begin
    if (v_answer ->> 'recorded')::boolean and v_answer ->> 'state' not in ('saved', 'delivered') then
        perform onetake.note(p_run_id, (select user_id from onetake.runs where run_id = p_run_id), 'settle', 'found',
                             jsonb_build_object('by', p_who, 'why', p_why, 'job', p_job_id));
    end if;
    return v_answer;
end $$;

-- As before. A job id that a person gave and that the provider never showed is forgotten with it: a slip of the pen would
-- keep the run's own job from ever being found. The event keeps it.
create or replace function public.settle_not_charged(
    p_run_id uuid, p_who text, p_why text default null, p_shown jsonb default null
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
    v_slip := r.job_source = 'person' and r.progress is null and not exists (
        select from onetake.events where run_id = p_run_id and step = 'run' and outcome = 'parked'
            and detail ->> 'why' in ('content_unreadable', 'disk_full'));       -- those were there to be fetched
    update onetake.runs set reason = 'not_charged', detail = p_why,
            job_id = case when v_slip then null else job_id end, job_source = case when v_slip then null else job_source end
        where run_id = p_run_id;
    perform onetake.move(p_run_id, 'failed', 'released');
    perform onetake.note(p_run_id, r.user_id, 'settle', 'not_charged',
        jsonb_strip_nulls(jsonb_build_object('by', p_who, 'why', p_why, 'from', r.state, 'job', r.job_id)));
    return jsonb_build_object('settled', true, 'state', 'failed', 'why', null);
end $$;

-- As before, unless somebody is bringing it at this moment: what comes of that would be taken for the answer to this.
-- Answers {asked, state, why}.
create or replace function public.deliver_again(p_run_id uuid, p_who text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    if r.run_id is null or r.state <> 'saved' or r.audience ->> 'kind' = 'terminal' then
        return jsonb_build_object('asked', false, 'state', r.state, 'why', 'state');
    end if;
    if r.telling_until > clock_timestamp() and r.telling_state like 'saved %' and r.telling_state <> 'saved nobody' then
        return jsonb_build_object('asked', false, 'state', r.state, 'why', 'under_way');
    end if;
    update onetake.runs set told_state = null, telling_until = null, next_look_at = null, attempts = 0 where run_id = p_run_id;
    perform onetake.note(p_run_id, r.user_id, 'deliver', 'asked_again', jsonb_build_object('by', p_who));
    return jsonb_build_object('asked', true, 'state', r.state, 'why', null);
end $$;

-- As before, and the reason is kept with the change. p_shown, {paused_at}, is what whoever resumes was looking at: a pause
-- that somebody else made since then stays. Answers the controls, and `changed` if so.
drop function public.set_paused(boolean, text, text);
create function public.set_paused(p_paused boolean, p_reason text, p_who text, p_shown jsonb default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare v_before onetake.control;
begin
    select * into v_before from onetake.control for update;
    if p_shown is not null and (p_shown ->> 'paused_at')::timestamptz is distinct from v_before.paused_at then
        return public.controls() || '{"changed": true}';
    end if;
    update onetake.control set paused = p_paused, pause_reason = case when p_paused then p_reason end,
            paused_by = case when p_paused then p_who end, paused_at = case when p_paused then clock_timestamp() end,
            resumed_at = case when p_paused then resumed_at else clock_timestamp() end;
    perform onetake.record_change(p_who, 'paused',
        jsonb_strip_nulls(jsonb_build_object('paused', v_before.paused, 'reason', v_before.pause_reason)),
        jsonb_strip_nulls(jsonb_build_object('paused', p_paused, 'reason', case when p_paused then p_reason end)));
    if not p_paused then
        update onetake.runs set next_look_at = null, held_back_since = null, held_back_by = null
            where state = 'approved' and held_back_since is not null;   -- runs before breakers, as everywhere
        update onetake.breakers set open_until = null, cause = null, failed_answers = 0, failed_renders = 0,
                probe_run_id = null, probe_at = null;
    end if;
    return public.controls();
end $$;

-- As before, and the reason is kept with the change.
create or replace function public.set_user(p_user_id text, p_blocked boolean, p_invited boolean, p_reason text, p_who text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_before onetake.users;
    u onetake.users;
begin
    insert into onetake.users (user_id) values (p_user_id) on conflict (user_id) do update set version = onetake.users.version + 1
        returning * into v_before;
    update onetake.users set blocked = coalesce(p_blocked, blocked), invited = coalesce(p_invited, invited),
            blocked_reason = case when p_blocked then p_reason when p_blocked is null then blocked_reason end
        where user_id = p_user_id returning * into u;
    perform onetake.record_change(p_who, 'user:' || p_user_id,
        jsonb_strip_nulls(jsonb_build_object('blocked', v_before.blocked, 'invited', v_before.invited, 'reason', v_before.blocked_reason)),
        jsonb_strip_nulls(jsonb_build_object('blocked', u.blocked, 'invited', u.invited, 'reason', u.blocked_reason)));
    return to_jsonb(u);
end $$;

-- As before, and whether a video could not be brought because its user had blocked the bot: whoever writes has let it in again.
create or replace function public.customer(p_user_id text) returns jsonb
language sql stable security definer set search_path = '' as $$
    select jsonb_build_object(
        'preferences', coalesce((select u.preferences from onetake.users u where u.user_id = p_user_id), '{}'),
        'videos', (select count(*) from onetake.runs r where r.user_id = p_user_id and r.state in ('saved', 'delivered')),
        'unreached', exists (select from onetake.runs r where r.user_id = p_user_id and r.state = 'saved' and r.told_state = 'saved'
            and (select e.detail ->> 'why' from onetake.events e where e.run_id = r.run_id and e.step = 'tell'
                 order by e.event_id desc limit 1) = 'Unreachable'));
$$;

-- As before; busy with a run that waits for its user's own tap says so (`what`): waiting for it would be for nothing.
create or replace function onetake.refusal(
    p_kind text, p_until timestamptz default null, p_of onetake.runs default null, p_reason text default null, p_what text default null
) returns jsonb
language sql stable set search_path = '' as $$
    select jsonb_build_object('kind', p_kind, 'until', p_until, 'of_run_id', (p_of).run_id, 'of_ref', (p_of).ref,
        'reason', p_reason, 'what', case when p_kind = 'busy' and (p_of).state = 'approved' and (p_of).needs_confirmation
            and (p_of).confirmed_at is null then 'waits_for_tap' else p_what end);
$$;

-- As before, and no time is longer than a year: fifteen digits of seconds lead out of the calendar, and every request with it.
create or replace function public.set_limit(p_key text, p_value jsonb, p_who text, p_user_id text default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_limit onetake.limits;
    u onetake.users;
    v_most bigint := case when p_key = 'rollout_percent' then 100 when p_key like '%\_seconds' then 31536000
                          else 999999999999999 end;
begin
    select * into v_limit from onetake.limits where key = p_key for update;
    if not found then return jsonb_build_object('set', false, 'why', 'unknown_limit'); end if;
    if p_key = 'rollout' then
        if p_value is null or p_value not in ('"all"', '"percent"', '"allowlist"') then
            return jsonb_build_object('set', false, 'why', 'bad_value', 'allowed', 'all, percent or allowlist');
        end if;
    elsif p_value is null and p_user_id is null or p_value is not null and (case
            when p_value::text ~ '^[0-9]{1,15}$' then p_value::text::bigint > v_most else true end) then
        return jsonb_build_object('set', false, 'why', 'bad_value', 'allowed', case
            when p_key = 'rollout_percent' then 'a whole number from 0 to 100'
            when p_key like '%\_seconds' then 'a whole number of seconds, 31536000 (a year) at most'
            else 'a whole number, 0 or more' end);
    end if;
    if p_user_id is null then
        update onetake.limits set value = p_value where key = p_key;
        perform onetake.record_change(p_who, p_key, v_limit.value, p_value);
        return jsonb_build_object('set', true, 'before', v_limit.value, 'after', p_value);
    end if;
    if p_key not in ('active_runs_per_user', 'cooldown_seconds', 'videos_per_user_day', 'rejected_per_user_day') then
        return jsonb_build_object('set', false, 'why', 'not_per_user');
    end if;
    insert into onetake.users (user_id) values (p_user_id) on conflict (user_id) do update set version = onetake.users.version + 1
        returning * into u;
    update onetake.users set limits = case when p_value is null then limits - p_key
            else limits || jsonb_build_object(p_key, p_value) end where user_id = p_user_id;
    perform onetake.record_change(p_who, 'user:' || p_user_id || ':' || p_key, u.limits -> p_key, p_value);
    return jsonb_build_object('set', true, 'before', u.limits -> p_key, 'after', p_value);
end $$;

-- Those that were set before the bound came.
update onetake.limits set value = '31536000' where key like '%\_seconds' and value::text::bigint > 31536000;
update onetake.users set limits = limits || '{"cooldown_seconds": 31536000}' where (limits ->> 'cooldown_seconds')::bigint > 31536000;

select onetake.restrict(array['audit_view', 'customer', 'save_run', 'settle_found', 'settle_not_charged', 'deliver_again', 'set_paused', 'set_user',
                              'set_limit']);
