-- The rest of a run's life: verdict, confirmation, attempts, waiting, result, telling. Every function compares
-- the state it expects with the state there is, and the first stored result wins.

create function public.load_run(p_run_id uuid) returns jsonb
language sql security definer set search_path = '' as $$
    select onetake.run_json(r) from onetake.runs r where r.run_id = p_run_id;
$$;

create function public.find_run(p_ref text) returns jsonb
language sql security definer set search_path = '' as $$
    select onetake.run_json(r) from onetake.runs r where r.ref = upper(p_ref) or r.run_id::text = lower(p_ref);
$$;

create function public.find_key(p_key text) returns jsonb
language sql security definer set search_path = '' as $$
    select onetake.run_json(r) from onetake.runs r where r.request_key = p_key;
$$;

-- One attempt begins: counted before the work, so that work which kills its process is counted too; only of a run
-- that is due, so that company at a run somebody works on does not count. The run is not due for others for
-- p_attend_seconds; whoever works on it says so again and again (`attend`). Past p_attempts_max
-- without progress a run that cannot have paid fails, and a later one is parked. Answers the run.
create function public.start_attempt(p_run_id uuid, p_attempts_max integer, p_attend_seconds double precision) returns jsonb
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
            next_look_at = clock_timestamp() + make_interval(secs => p_attend_seconds)
        where run_id = p_run_id returning * into r;
    return onetake.run_json(r);
end $$;

-- "Somebody is working on it": moves the next look on, and keeps the provider's progress for whoever watches.
-- A look at a render that came back is progress; before the purchase only a move is.
create function public.attend(p_run_id uuid, p_attend_seconds double precision, p_progress integer default null) returns jsonb
language sql security definer set search_path = '' as $$
    update onetake.runs r set next_look_at = clock_timestamp() + make_interval(secs => p_attend_seconds),
            progress = coalesce(p_progress, progress), attempts = case r.state when 'rendering' then 1 else attempts end
        where r.run_id = p_run_id and r.state in ('reserved', 'approved', 'submitting', 'rendering')
        returning onetake.run_json(r);
$$;

-- Nothing to do for a while: the attempt did its work and ends here. Null p_at: not by itself any more.
create function public.wait_until(p_run_id uuid, p_at timestamptz) returns jsonb
language sql security definer set search_path = '' as $$
    update onetake.runs r set next_look_at = coalesce(p_at, 'infinity'), attempts = 0
        where r.run_id = p_run_id returning onetake.run_json(r);
$$;

-- Money held, lease kept, the user no longer busy, the operator told.
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
            next_look_at = coalesce(p_next_look_at, 'infinity')
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

-- The user's tap. Idempotent; too late after confirm_until.
create function public.confirm(p_run_id uuid) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    if r.state = 'approved' and r.needs_confirmation and r.confirmed_at is null and r.confirm_until > clock_timestamp() then
        update onetake.runs set confirmed_at = clock_timestamp(), next_look_at = null, attempts = 0 where run_id = p_run_id;
        perform onetake.note(p_run_id, r.user_id, 'confirm', 'confirmed');
    end if;
    return public.load_run(p_run_id);
end $$;

-- Another length or size before the user's tap, with the money set aside changed to match. The hold grows only
-- within the budgets. Answers {amended, run} or {amended: false, refused: {...}}.
create function public.amend(p_run_id uuid, p_seconds integer, p_size text, p_price_microusd bigint) returns jsonb
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
    update onetake.runs set seconds = p_seconds, size = p_size, price_microusd = p_price_microusd,
            held_microusd = p_price_microusd where run_id = p_run_id;
    perform onetake.move_budgets(r.day, r.month, v_more, 0);
    perform onetake.note(p_run_id, r.user_id, 'amend', 'amended',
        jsonb_build_object('seconds', p_seconds, 'size', p_size, 'price_microusd', p_price_microusd));
    return jsonb_build_object('amended', true, 'run', public.load_run(p_run_id));
end $$;

-- Which budget of a run's own day and month has no room for p_more, seen under their locks; null: there is room.
create function onetake.room_in_budgets(p_day date, p_month text, p_more bigint) returns jsonb
language plpgsql set search_path = '' as $$
declare b onetake.budgets;
begin
    select * into b from onetake.budgets where period = p_day::text for update;
    if b.held_microusd + b.spent_microusd + p_more > onetake.limit_value('budget_day_microusd') then
        return onetake.refusal('budget_exhausted', (p_day + 1)::timestamp at time zone 'UTC', p_what => 'day');
    end if;
    select * into b from onetake.budgets where period = p_month for update;
    if b.held_microusd + b.spent_microusd + p_more > onetake.limit_value('budget_month_microusd') then
        return onetake.refusal('budget_exhausted',
            (date_trunc('month', p_day::timestamp) + interval '1 month') at time zone 'UTC', p_what => 'month');
    end if;
    return null;
end $$;

-- Ends a run before any request: by its user or an operator, or because nobody confirmed it in time.
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

-- rendering -> saved: the file is complete and synced before this is called. The money is spent. A clip of another
-- job than the run now has (proof has overruled an adoption meanwhile) is not its clip.
create function public.save_run(
    p_run_id uuid, p_file text, p_file_bytes bigint, p_file_sha256 text, p_job_id text, p_ms integer default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    if r.state = 'rendering' and r.job_id is not distinct from p_job_id then
        update onetake.runs set file = p_file, file_bytes = p_file_bytes, file_sha256 = p_file_sha256, progress = 100
            where run_id = p_run_id;
        perform onetake.move(p_run_id, 'saved', 'spent');
        perform onetake.note(p_run_id, r.user_id, 'save_video', 'saved', jsonb_build_object('bytes', p_file_bytes), p_ms);
        perform onetake.tell_breaker(p_run_id, 'render', true);
    end if;
    return public.load_run(p_run_id);
end $$;

-- The user has heard of p_state; with p_state 'saved' and p_delivered, the user has the video.
create function public.told(p_run_id uuid, p_state text, p_delivered boolean default false, p_detail jsonb default '{}') returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    if p_delivered and r.state = 'saved' then
        perform onetake.move(p_run_id, 'delivered', 'spent');
        update onetake.runs set told_state = 'delivered' where run_id = p_run_id;
        perform onetake.note(p_run_id, r.user_id, 'deliver', 'delivered', p_detail);
    elsif r.state = p_state and r.told_state is distinct from p_state then
        update onetake.runs set told_state = p_state where run_id = p_run_id;
        perform onetake.note(p_run_id, r.user_id, 'tell', p_state, p_detail);
    end if;
    return public.load_run(p_run_id);
end $$;

-- One step's outcome, for the timeline and the metrics.
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

-- The runs a worker should look at now: unfinished and due. A terminal hears of its end when it asks.
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
    ) as due;
$$;

-- How long renders of a model took lately, in seconds: the median and the count behind it.
create function public.render_history(p_base_url text, p_model text, p_seconds integer) returns jsonb
language sql security definer set search_path = '' as $$
    select jsonb_build_object('count', count(*), 'median_seconds', percentile_cont(0.5) within group (order by took)) from (
        select extract(epoch from saved_at - rendering_at) as took from onetake.runs
            where base_url = p_base_url and model = p_model and seconds = p_seconds and saved_at is not null
            order by reserved_at desc limit 20
    ) as lately;
$$;
