-- A video that could not be brought to its user: operators hear of it once per run.

create function public.note_undelivered(p_run_id uuid, p_why text) returns jsonb
language sql volatile security definer set search_path = '' as $$
    select onetake.raise_alert('undelivered:' || r.ref, 'undelivered', jsonb_build_object('ref', r.ref, 'why', p_why))
        from onetake.runs r where r.run_id = p_run_id;
    select null::jsonb;
$$;

-- A new request in place of a draft of the same user, which stays if the new one is refused.
create function public.replace_draft(p_run_id uuid, p_request jsonb) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare v_answer jsonb;
begin
    begin
        perform public.cancel_run(run_id, user_id, 'edited') from onetake.runs
            where run_id = p_run_id and user_id = p_request ->> 'user_id';
        v_answer := public.reserve(
            p_request ->> 'key', (p_request ->> 'call_id')::uuid, p_request ->> 'request_hash', p_request ->> 'user_id',
            p_request -> 'audience', p_request ->> 'language', p_request ->> 'prompt', p_request ->> 'prompt_hash',
            p_request ->> 'model', (p_request ->> 'seconds')::integer, p_request ->> 'size', p_request ->> 'create_body',
            (p_request ->> 'price_microusd')::bigint, (p_request ->> 'bills_failed')::boolean, p_request ->> 'base_url',
            p_request ->> 'key_fingerprint', (p_request ->> 'confirm')::boolean, (p_request ->> 'again')::boolean);
        if v_answer ->> 'kind' <> 'accepted' then
            raise exception 'the new request is refused' using errcode = 'LG009';
        end if;
    exception when sqlstate 'LG009' then              -- the withdrawal is undone; the answer says why
        null;
    end;
    return v_answer;
end $$;

-- The user was told that later orders will not be asked about. What they chose themselves stands.
create function public.note_told_first(p_user_id text) returns jsonb
language sql volatile security definer set search_path = '' as $$
    update onetake.users set preferences = preferences || '{"confirm": "first"}'
        where user_id = p_user_id and not preferences ? 'confirm';
    select null::jsonb;
$$;

select onetake.restrict(array['note_undelivered', 'replace_draft', 'note_told_first']);
