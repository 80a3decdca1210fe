-- Lost answers: what the provider's job list proves about a run in doubt. The rules: docs/design.md, "Evidence";
-- `pipeline/purchase/evidence.py` holds the pure half of them.

-- Notes when each job of a list was first and last seen.
create function onetake.note_listed(p_base_url text, p_key_fingerprint text, p_job_ids jsonb) returns void
language sql volatile set search_path = '' as $$
    insert into onetake.listed_jobs (base_url, key_fingerprint, job_key)
        select distinct p_base_url, p_key_fingerprint, value from jsonb_array_elements_text(p_job_ids)
        on conflict (base_url, key_fingerprint, job_key) do update set last_seen_at = clock_timestamp()
            where listed_jobs.last_seen_at < clock_timestamp() - interval '1 hour';
    delete from onetake.listed_jobs where last_seen_at < clock_timestamp() - interval '60 days';
$$;

-- Everything that matching a job list needs: the runs in doubt here, the owners of the listed jobs, `elsewhere` (orders under
-- other keys and addresses that may own a job of this list), and `explained` (jobs a person explained).
create function public.doubts_at(p_base_url text, p_key_fingerprint text, p_job_ids jsonb) returns jsonb
language sql volatile security definer set search_path = '' as $$
    select onetake.note_listed(p_base_url, p_key_fingerprint, p_job_ids);
    select jsonb_build_object(
        'first_seen', coalesce((select jsonb_object_agg(l.job_key, l.first_seen_at) from onetake.listed_jobs l
            where l.base_url = p_base_url and l.key_fingerprint = p_key_fingerprint
              and l.job_key in (select value from jsonb_array_elements_text(p_job_ids))), '{}'),
        'runs', coalesce((select jsonb_agg(onetake.run_json(r) order by r.submitting_at) from (
            (select * from onetake.runs where base_url = p_base_url and key_fingerprint = p_key_fingerprint
                and job_id is null and state in ('submitting', 'uncertain'))
            union all
            (select * from onetake.runs where base_url = p_base_url and key_fingerprint = p_key_fingerprint
                and job_id is null and state in ('saved', 'delivered')        -- proof took the job whose clip it has
                and submitting_at > clock_timestamp() - interval '30 days')
            union all
            (select * from onetake.runs where base_url = p_base_url and key_fingerprint = p_key_fingerprint
                and job_id is null and state = 'failed' and reason not in ('never_sent', 'never_connected')
                and submitting_at > clock_timestamp() - interval '30 days'
                order by submitting_at desc limit 1000)) as r), '[]'),
        'elsewhere', coalesce((select jsonb_agg(onetake.run_json(r)) from (
            select * from onetake.runs where (base_url, key_fingerprint) <> (p_base_url, p_key_fingerprint) and job_id is null
                and (state in ('submitting', 'uncertain')
                     or state = 'failed' and reason not in ('never_sent', 'never_connected'))
                and submitting_at > clock_timestamp() - interval '30 days'
                order by submitting_at desc limit 1000) as r), '[]'),
        'owned', coalesce((select jsonb_object_agg(k.key, onetake.owner_json(r))
            from jsonb_array_elements_text(p_job_ids) as k (key) join onetake.runs r
                on r.base_url = p_base_url and r.job_id is not null and onetake.canonical_id(r.job_id) = k.key), '{}'),
        'explained', coalesce((select jsonb_agg(d.job_id) from (
            select job_id from onetake.differences                              -- a person says that it is nobody's here
                where base_url = p_base_url and closed_by like 'person:%'
            union all
            select job_id from onetake.runs where base_url <> p_base_url and job_id is not null) as d   -- another name of this server
            where onetake.canonical_id(d.job_id) in (select value from jsonb_array_elements_text(p_job_ids))), '[]'),
        'trusted', false,                             -- for an older version of the program: nothing is proven to it
        'running_shown', exists (select from onetake.providers where base_url = p_base_url
            and key_fingerprint = p_key_fingerprint and running_shown_at > clock_timestamp() - interval '30 days'),
        'running_shown_at', (select running_shown_at from onetake.providers where base_url = p_base_url and key_fingerprint = p_key_fingerprint),
        'ours_since', (select min(submitting_at) from onetake.runs where base_url = p_base_url));
$$;

-- Our answered orders around a run in doubt: a list that shows them was read that far. `rivals` counts the orders in doubt
-- that look the same, under every key and address.
create function public.witnesses_near(p_run_id uuid, p_near_seconds double precision, p_rival_seconds double precision) returns jsonb
language sql security definer set search_path = '' as $$
    with me as (
        select * from onetake.runs where run_id = p_run_id
    ), others as (
        select o.* from onetake.runs o, me where o.base_url = me.base_url and o.key_fingerprint = me.key_fingerprint
            and o.run_id <> me.run_id and o.submitting_at is not null
    ), answered as (
        select o.* from others o where o.job_source = 'answer' and o.job_id is not null
    ), sides as (
        select a.run_id, a.model, a.submitting_at, a.submitting_at > me.submitting_at as after from answered a, me
            where a.submitting_at > me.submitting_at
               or a.submitting_at < me.submitting_at and coalesce(a.answered_at, a.rendering_at) <= me.submitting_at
    ), found as (
        select a.run_id from answered a, me
            where a.submitting_at between me.submitting_at - make_interval(secs => p_near_seconds)
                                      and me.submitting_at + make_interval(secs => p_near_seconds)
        union all (select run_id from sides where not after order by submitting_at desc limit 1)
        union all (select run_id from sides where after order by submitting_at limit 1)
        union all (select s.run_id from sides s, me where not s.after and s.model = me.model order by s.submitting_at desc limit 1)
        union all (select s.run_id from sides s, me where s.after and s.model = me.model order by s.submitting_at limit 1)
    )
    select jsonb_build_object(
        'began', clock_timestamp(),
        'witnesses', coalesce((select jsonb_object_agg(o.job_id, onetake.owner_json(o)) from onetake.runs o
            where o.run_id in (select run_id from found)), '{}'),
        'rivals', (select count(*) from onetake.runs o, me where o.run_id <> me.run_id and o.submitting_at
            between me.submitting_at - make_interval(secs => p_rival_seconds)
                and me.submitting_at + make_interval(secs => p_rival_seconds)));
$$;

-- The last job of ours, by a real answer, from before p_at: a list that shows it was read that far. Null: none.
create function public.known_before(p_base_url text, p_key_fingerprint text, p_at timestamptz) returns jsonb
language sql stable security definer set search_path = '' as $$
    select to_jsonb((select job_id from onetake.runs where base_url = p_base_url and key_fingerprint = p_key_fingerprint
        and job_source = 'answer' and job_id is not null and submitting_at < p_at
        and coalesce(answered_at, rendering_at) <= p_at order by submitting_at desc limit 1));
$$;

-- Records one scan of the provider's list for a run in doubt. Only a scan that shows its absence (p_counts) counts towards
-- "never made"; anything that could be the run's job restarts the count. p_look_id: the same scan reported again, because
-- the answer was lost, changes nothing.
create function public.record_look(
    p_run_id uuid, p_counts boolean, p_candidates integer, p_running_shown boolean, p_says text, p_next_look_at timestamptz,
    p_detail jsonb default '{}', p_look_id uuid default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    r onetake.runs;
    v_now timestamptz := clock_timestamp();
begin
    r := onetake.lock_run(p_run_id);
    if r.state is distinct from 'uncertain' or exists (select from onetake.events
            where run_id = p_run_id and step = 'reconcile' and detail ->> 'look_id' = p_look_id::text) then
        return onetake.run_json(r);
    end if;
    if p_running_shown then
        insert into onetake.providers (base_url, key_fingerprint, running_shown_at) values (r.base_url, r.key_fingerprint, v_now)
            on conflict (base_url, key_fingerprint) do update set running_shown_at = v_now;
    end if;
    update onetake.runs set
        looks_complete = case when p_candidates > 0 then 0 when p_counts then looks_complete + 1 else looks_complete end,
        first_look_at = case when p_candidates > 0 then null when p_counts then coalesce(first_look_at, v_now) else first_look_at end,
        last_look_at = case when p_counts then v_now else last_look_at end,
        look_says = p_says, next_look_at = coalesce(p_next_look_at, 'infinity'), attempts = 0
        where run_id = p_run_id returning * into r;
    perform onetake.note(p_run_id, r.user_id, 'reconcile', case when p_counts then 'looked' else 'look_incomplete' end,
                         p_detail || jsonb_build_object('candidates', p_candidates, 'says', p_says)
                             || jsonb_strip_nulls(jsonb_build_object('look_id', p_look_id)));
    return onetake.run_json(r);
end $$;

-- The ref of another run at the same provider and key with exactly this prompt (NFC, single blanks); null: none.
create function public.prompt_of_another(p_run_id uuid, p_words text) returns jsonb
language sql stable security definer set search_path = '' as $$
    select to_jsonb((select o.ref from onetake.runs o, onetake.runs r
        where r.run_id = p_run_id and o.run_id <> r.run_id and o.base_url = r.base_url and o.key_fingerprint = r.key_fingerprint
          and o.submitting_at > r.submitting_at - interval '30 days'
          and btrim(regexp_replace(normalize(o.improved_prompt), '\s+', ' ', 'g')) = p_words
        order by o.submitting_at desc limit 1));
$$;

-- Continues a failed run with its own job, or with the one that "not charged" dropped. Null if the job is not its own.
create function onetake.reopen(p_run_id uuid, p_job_id text) returns onetake.runs
language plpgsql volatile set search_path = '' as $$
declare r onetake.runs;
begin
    perform pg_advisory_xact_lock(hashtextextended(base_url || ' ' || p_job_id, 0)) from onetake.runs
        where run_id = p_run_id and state = 'failed' and job_id is null;     -- as record_submission, before any row
    r := onetake.lock_run(p_run_id);
    if r.state is distinct from 'failed' or r.submitting_at is null or not coalesce(r.job_id = p_job_id or (
            r.job_id is null and onetake.owner_of(r.base_url, p_job_id) is null
            and p_job_id = (select detail ->> 'job' from onetake.events where run_id = p_run_id and step = 'settle'
                                and outcome = 'not_charged' order by event_id desc limit 1)), false) then
        return null;
    end if;
    update onetake.runs set reason = null, detail = null, job_id = p_job_id, job_source = coalesce(job_source, 'person'),
            failing_since = null, failing_words = null
        where run_id = p_run_id returning * into r;
    r := onetake.move(p_run_id, 'rendering', 'held');
    perform onetake.note(p_run_id, r.user_id, 'generate_video', 'adopted_late',
                         jsonb_build_object('job_id', p_job_id, 'source', r.job_source, 'by', 'clip'));
    return r;
end $$;

-- Continues a failed run whose complete clip is on a machine: that clip will be saved. Answers the run.
create function public.reopen_run(p_run_id uuid, p_job_id text) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
    perform onetake.reopen(p_run_id, p_job_id);
    return public.load_run(p_run_id);
end $$;

-- A provider called a run's callback address. The job that it names is a hint, kept until another one comes, the first
-- few on the timeline; a run that has a job, or waits, is looked at now. Answers the run's id, or null if no address
-- ends in this token.
create function public.note_callback(p_token text, p_job_id text) returns jsonb
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
create function public.record_charge(p_run_id uuid, p_microusd bigint) returns jsonb
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
