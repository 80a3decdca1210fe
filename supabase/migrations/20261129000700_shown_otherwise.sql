-- What the provider's answer to an order already showed otherwise than ordered, such as the model's real name and size:
-- that a later page shows the same is no sign of another order's job.

alter table onetake.runs add column shown_otherwise text[] not null default '{}';

create function public.note_shown_otherwise(p_run_id uuid, p_job_id text, p_parts jsonb) returns jsonb
language sql volatile security definer set search_path = '' as $$
    update onetake.runs set shown_otherwise = array(select jsonb_array_elements_text(p_parts))
        where run_id = p_run_id and job_id = p_job_id and job_source = 'answer';
    select null::jsonb;
$$;

select onetake.restrict(array['note_shown_otherwise']);
