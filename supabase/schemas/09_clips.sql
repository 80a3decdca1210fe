-- Rendering and the clip: what the job's own address showed, whether a clip is this run's, and where it lies. A clip
-- belongs to a job, not to a run, so what is noted about it names its sha256.

-- How long renders of a model took lately, in seconds: the median and the count behind it.
create function public.render_history(p_base_url text, p_model text, p_seconds integer) returns jsonb
language sql security definer set search_path = '' as $$
    select jsonb_build_object('count', count(*), 'median_seconds', percentile_cont(0.5) within group (order by took)) from (
        select extract(epoch from saved_at - rendering_at) as took from onetake.runs
            where base_url = p_base_url and model = p_model and seconds = p_seconds and saved_at is not null
            order by reserved_at desc limit 20
    ) as lately;
$$;

-- A look at the job itself: p_words if the job says it failed or expired, else null. The first failing look is kept; a
-- contradiction withdraws it. p_seen: the job was seen at its own address; neither the create answer nor "not found" shows
-- that. Answers the run.
create function public.note_failing(
    p_run_id uuid, p_job_id text, p_words text, p_provider_word text default null, p_seen boolean default false
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    r onetake.runs;
    v_now timestamptz;
begin
    r := onetake.lock_run(p_run_id);
    v_now := clock_timestamp();                       -- not before the lock: whoever held it may have looked since
    if r.state is distinct from 'rendering' or r.job_id is distinct from p_job_id then return onetake.run_json(r); end if;
    if p_words is not null and r.failing_since is null then
        perform onetake.note(p_run_id, r.user_id, 'generate_video', 'failing', jsonb_build_object('words', p_words));
    end if;
    update onetake.runs set failing_words = p_words, provider_word = coalesce(p_provider_word, provider_word),
            failing_since = case when p_words is not null then coalesce(failing_since, v_now) end,
            job_seen_at = case when p_seen then v_now else job_seen_at end
        where run_id = p_run_id returning * into r;
    return onetake.run_json(r);
end $$;

-- Notes that the job's own address called it completed: whatever it says later, the clip was made.
create function public.note_done(p_run_id uuid, p_job_id text) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
    update onetake.runs set done_seen_at = coalesce(done_seen_at, clock_timestamp())
        where run_id = p_run_id and job_id = p_job_id and state = 'rendering';
    return public.load_run(p_run_id);
end $$;

-- rendering -> uncertain: an adopted job failed. A guess may save a run, never fail it. Two looks, as for a failure.
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
            failed_jobs = failed_jobs || to_jsonb(onetake.canonical_id(p_job_id)), doubt = 'adopted_job_failed',
            looks_complete = 0, first_look_at = null, last_look_at = null
        where run_id = p_run_id;
    r := onetake.move(p_run_id, 'uncertain', 'held');
    perform onetake.note(p_run_id, r.user_id, 'reconcile', 'adopted_job_failed', jsonb_build_object('job_id', p_job_id, 'words', p_words));
    return onetake.run_json(r);
end $$;

-- rendering -> saved. If two runs with different requests save the same file at the same moment, the first one gets it.
create function public.save_run(
    p_run_id uuid, p_file text, p_file_bytes bigint, p_file_sha256 text, p_job_id text, p_ms integer default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    perform pg_advisory_xact_lock(hashtextextended(p_file_sha256, 1));
    if public.same_clip_as(p_run_id, p_file_sha256) is not null then return public.load_run(p_run_id); end if;
    r := onetake.reopen(p_run_id, p_job_id);
    if r.run_id is null then r := onetake.lock_run(p_run_id); end if;
    if r.state = 'rendering' and r.job_id is not distinct from p_job_id then
        update onetake.runs set file = p_file, file_bytes = p_file_bytes, file_sha256 = p_file_sha256, progress = 100,
                failing_since = null, failing_words = null
            where run_id = p_run_id;
        perform onetake.move(p_run_id, 'saved', 'spent');
        perform onetake.note(p_run_id, r.user_id, 'save_video', 'saved', jsonb_build_object('bytes', p_file_bytes), p_ms);
        perform onetake.feed_breaker(p_run_id, 'render', true);
    end if;
    return public.load_run(p_run_id);
end $$;

-- The ref of a run with another request that already has this file; null if there is none, or if a person said that the
-- job is this run's.
create function public.same_clip_as(p_run_id uuid, p_sha256 text) returns jsonb
language sql stable security definer set search_path = '' as $$
    select to_jsonb((select o.ref from onetake.runs o, onetake.runs r
        where r.run_id = p_run_id and o.run_id <> r.run_id and o.file_sha256 = p_sha256 and r.job_source is distinct from 'person'
          and (o.improved_prompt, o.model, o.seconds, o.size) is distinct from (r.improved_prompt, r.model, r.seconds, r.size)
        order by o.saved_at limit 1));
$$;

-- Notes the facts of the clip with this sha256: {kind, width, height, seconds}. Any other clip is ignored.
create function public.note_clip(p_run_id uuid, p_sha256 text, p_facts jsonb) returns jsonb
language sql security definer set search_path = '' as $$
    update onetake.runs set
            clip_kind = p_facts ->> 'kind',
            clip_width = (p_facts ->> 'width')::integer,
            clip_height = (p_facts ->> 'height')::integer,
            clip_seconds = (p_facts ->> 'seconds')::double precision
        where run_id = p_run_id and file_sha256 = p_sha256 and state in ('saved', 'delivered');
    select public.load_run(p_run_id);
$$;

-- Notes why a clip could not be downloaded, {status, words} of the provider: each once, p_at_most in all.
create function public.note_not_fetched(p_run_id uuid, p_detail jsonb, p_at_most integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    r onetake.runs := onetake.lock_run(p_run_id);
    v_known bigint;
    v_same bigint;
begin
    select count(*), count(*) filter (where detail = p_detail) into v_known, v_same from onetake.events
        where run_id = p_run_id and step = 'save_video' and outcome = 'not_fetched';
    if r.state = 'rendering' and v_same = 0 and v_known < p_at_most then
        perform onetake.note(p_run_id, r.user_id, 'save_video', 'not_fetched', p_detail);
        return jsonb_build_object('recorded', true);
    end if;
    return jsonb_build_object('recorded', false);
end $$;

-- Notes that a paid clip cannot be stored on this machine: once per run; operators are alerted once a day.
create function public.note_not_stored(p_run_id uuid, p_words text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs := onetake.lock_run(p_run_id);
begin
    if r.state is distinct from 'rendering' or exists (select from onetake.events where run_id = p_run_id
            and step = 'save_video' and outcome = 'not_stored' and detail ->> 'words' = p_words) then
        return jsonb_build_object('recorded', false);
    end if;
    perform onetake.note(p_run_id, r.user_id, 'save_video', 'not_stored', jsonb_build_object('words', p_words));
    perform onetake.raise_alert('not_stored:' || (clock_timestamp() at time zone 'UTC')::date, 'not_stored',
                                jsonb_build_object('ref', r.ref, 'words', p_words));
    return jsonb_build_object('recorded', true);
end $$;

-- Notes where the clip of this sha256 lies in Storage ('bucket/name'). Any other clip is ignored.
create function public.note_stored(p_run_id uuid, p_stored text, p_sha256 text default null) returns jsonb
language sql security definer set search_path = '' as $$
    update onetake.runs set stored = p_stored
        where run_id = p_run_id and dropped_at is null and state in ('saved', 'delivered')
          and file_sha256 = coalesce(p_sha256, file_sha256);
    select public.load_run(p_run_id);
$$;

-- Of these runs: {wanted: saved and not in Storage yet; settled: nothing left to do}.
create function public.not_stored(p_run_ids jsonb) returns jsonb
language sql stable security definer set search_path = '' as $$
    select jsonb_build_object(
        'wanted', coalesce(jsonb_agg(run_id) filter (where stored is null and dropped_at is null), '[]'),
        'settled', coalesce(jsonb_agg(run_id) filter (where stored is not null or dropped_at is not null), '[]'))
        from onetake.runs
        where run_id in (select value::uuid from jsonb_array_elements_text(p_run_ids)) and state in ('saved', 'delivered');
$$;

-- Of these runs, those that ended: [{run_id, sha256, stored, dropped, state, job_id, ended_seconds_ago}]. Without a sha256
-- a run has no clip.
create function public.clips_of(p_run_ids jsonb) returns jsonb
language sql stable security definer set search_path = '' as $$
    select coalesce(jsonb_agg(jsonb_build_object(
            'run_id', run_id, 'sha256', file_sha256, 'stored', stored, 'dropped', dropped_at is not null, 'state', state,
            'job_id', job_id, 'ended_seconds_ago', extract(epoch from clock_timestamp() - state_since))), '[]')
        from onetake.runs
        where run_id in (select value::uuid from jsonb_array_elements_text(p_run_ids))
          and state in ('saved', 'delivered', 'failed', 'canceled', 'rejected');
$$;

-- Delivered runs whose clip was kept for p_days: [{run_id, stored}]. Those in Storage, and those among p_run_ids (the clips
-- of one machine). An undelivered video is never too old.
create function public.clips_to_drop(p_days double precision, p_run_ids jsonb, p_at_most integer) returns jsonb
language sql stable security definer set search_path = '' as $$
    select coalesce(jsonb_agg(jsonb_build_object('run_id', run_id, 'stored', case when dropped_at is null then stored end)), '[]') from (
        (select run_id, stored, dropped_at from onetake.runs
            where stored is not null and dropped_at is null and state = 'delivered'
              and saved_at < clock_timestamp() - make_interval(secs => p_days * 86400)
            order by saved_at limit p_at_most)
        union
        (select run_id, stored, dropped_at from onetake.runs
            where run_id in (select value::uuid from jsonb_array_elements_text(p_run_ids)) and state = 'delivered'
              and saved_at < clock_timestamp() - make_interval(secs => p_days * 86400))) r;
$$;

-- Notes that a run's files were removed.
create function public.note_dropped(p_run_id uuid) returns void
language sql security definer set search_path = '' as $$
    update onetake.runs set dropped_at = coalesce(dropped_at, clock_timestamp()) where run_id = p_run_id and state = 'delivered';
$$;

-- Alerts operators that Storage accepts no clips, once a day for each reason.
create function public.storage_broken(p_words text) returns jsonb
language sql security definer set search_path = '' as $$
    select onetake.raise_alert('storage:' || (clock_timestamp() at time zone 'UTC')::date || ':' || md5(p_words), 'storage',
        jsonb_build_object('words', p_words));
    select 'true'::jsonb;
$$;
