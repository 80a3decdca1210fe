-- Audits: the provider's jobs against the ledger, and up to when it is proved that nothing was bought twice.

-- Whether the ledger can explain a difference by now. p_listed: the job ids that the list shows.
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

-- Whether a day saw a second paid call: {clean, why, until}. The day is the 24 hours before `until`, up to which complete
-- audits reach; `until` may be 25 hours old (audits run once a day). Audits of each order's own provider must reach it. An
-- unexplained second job, or a job without a run that could be one of our orders, makes the day unclean.
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
