-- An update of Telegram's that cannot be read is skipped; operators hear of the first of each day.

create function public.note_unreadable_update(p_words text) returns jsonb
language sql volatile security definer set search_path = '' as $$
    select onetake.raise_alert('unreadable_update:' || (clock_timestamp() at time zone 'UTC')::date, 'unreadable_update',
                               jsonb_build_object('words', p_words));
    select null::jsonb;
$$;

select onetake.restrict(array['note_unreadable_update']);
