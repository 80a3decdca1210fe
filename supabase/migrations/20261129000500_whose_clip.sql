-- Nobody gets another's clip: the same bytes for two orders of different words are one of the two's alone.

create index if not exists runs_file_sha256 on onetake.runs (file_sha256) where file_sha256 is not null;

-- The ref of a run of another request that already has this very file; null if there is none, or if a person has said
-- that the job is this run's.
create function public.same_clip_as(p_run_id uuid, p_sha256 text) returns jsonb
language sql stable security definer set search_path = '' as $$
    select to_jsonb((select o.ref from onetake.runs o, onetake.runs r
        where r.run_id = p_run_id and o.run_id <> r.run_id and o.file_sha256 = p_sha256 and r.job_source is distinct from 'person'
          and (o.improved_prompt, o.model, o.seconds, o.size) is distinct from (r.improved_prompt, r.model, r.seconds, r.size)
        order by o.saved_at limit 1));
$$;

-- As before; and a person who names the job that a parked run has says with it that the job is this run's.
create or replace function public.settle_found(
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

-- The ref of another run at the same provider and key that ordered these very words (NFC, single blanks); null: none did.
create function public.prompt_of_another(p_run_id uuid, p_words text) returns jsonb
language sql stable security definer set search_path = '' as $$
    select to_jsonb((select o.ref from onetake.runs o, onetake.runs r
        where r.run_id = p_run_id and o.run_id <> r.run_id and o.base_url = r.base_url and o.key_fingerprint = r.key_fingerprint
          and o.submitting_at > r.submitting_at - interval '30 days'
          and btrim(regexp_replace(normalize(o.improved_prompt), '\s+', ' ', 'g')) = p_words
        order by o.submitting_at desc limit 1));
$$;

-- As before; and of two runs of different requests that come with one file at the same moment, the first one has it.
create or replace function public.save_run(
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
        perform onetake.tell_breaker(p_run_id, 'render', true);
    end if;
    return public.load_run(p_run_id);
end $$;

select onetake.restrict(array['same_clip_as', 'settle_found', 'prompt_of_another', 'save_run']);
