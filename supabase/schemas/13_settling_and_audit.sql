-- Settling a run in doubt by a person; and audits, which compare the provider's jobs with the ledger and prove up to
-- when nothing was bought twice.

-- "Found", by a person. p_seen: what the provider showed of that job, {status, word, ...}; null if it showed nothing
-- and the person insists: then the user's slot is free at once, and one look decides. Naming the job that a parked run
-- already has confirms it.
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

-- Audits.

-- Whether the ledger can explain a difference by now. p_listed: the job ids that the list shows.
create function onetake.is_explained(d onetake.differences, p_listed jsonb) returns boolean
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

-- Extends the proved time by an audit that saw every job made before it began to read. The first one must reach back a
-- day; later ones to the end of the last, or thirty days (SINCE_MAX in pipeline/purchase/audit.py).
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

-- The runs an audit compares: those that may have bought something at this provider with this key since p_since or ended
-- since, those still open, and for thirty days each run that failed after its request was sent.
create function public.audit_view(p_base_url text, p_key_fingerprint text, p_since timestamptz) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(onetake.run_json(r) order by r.submitting_at), '[]') from onetake.runs r
    where r.base_url = p_base_url and r.key_fingerprint = p_key_fingerprint
      and r.submitting_at >= least(p_since, clock_timestamp() - interval '30 days')
      and (greatest(r.submitting_at, r.saved_at, r.failed_at) >= p_since
           or r.state in ('submitting', 'uncertain', 'rendering')
           or (r.state = 'failed' and r.reason not in ('never_sent', 'never_connected')));
$$;

-- Stores an audit. Closes the differences that the ledger explains by now, then opens the ones found; `differences` of the
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

-- The newest audits.
create function public.list_audits(p_at_most integer) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(a) order by a.id desc), '[]')
    from (select * from onetake.audits order by id desc limit p_at_most) a;
$$;

-- When an audit that continues from the last complete one was last tried, up to when complete ones reach without a gap
-- (null: never), and the database's time.
create function public.last_audit_at(p_base_url text, p_key_fingerprint text) returns jsonb
language sql security definer set search_path = '' as $$
    select jsonb_build_object('at', max(tried_at), 'until', max(until), 'now', clock_timestamp())
    from onetake.audited where base_url = p_base_url and key_fingerprint = p_key_fingerprint;
$$;

-- Closes every open difference of this job id or ref for good, with a person's words. Answers {explained}.
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

-- The open differences.
create function public.open_differences() returns jsonb
language sql stable security definer set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(d) order by d.first_at, d.subject), '[]') from onetake.differences d where d.closed_at is null;
$$;

-- Whether a day had a second paid call: {clean, why, until}. The day is the 24 hours before `until`, up to which
-- complete audits reach; `until` may be 25 hours old (audits run once a day). Audits of each order's own provider must
-- reach it. An unexplained second job, or a job without a run that could be one of our orders, makes the day unclean.
create function onetake.clean_day() returns jsonb
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
