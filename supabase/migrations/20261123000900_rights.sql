-- Nobody but the service role may call or see anything. Supabase's roles are absent on a plain PostgreSQL,
-- where the owner is the only caller; revoking from `public` is then all there is to do.
-- Later migrations that add a function call onetake.restrict with its name, too; a test reads the catalogue.

-- p_callable: functions of ours in `public`, by name. Functions of the same name with other arguments that are
-- not ours (not security definer) are left alone.
create function onetake.restrict(p_callable text[]) returns void
language plpgsql set search_path = '' as $$
declare
    v_function record;
    v_role text;
begin
    for v_function in
        select p.oid::regprocedure as signature, n.nspname = 'public' as callable
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname = 'onetake' or (n.nspname = 'public' and p.proname = any (p_callable) and p.prosecdef)
    loop
        execute format('revoke all on function %s from public', v_function.signature);
        foreach v_role in array array['anon', 'authenticated', 'service_role'] loop
            continue when not exists (select from pg_roles where rolname = v_role);
            if v_function.callable and v_role = 'service_role' then
                execute format('grant execute on function %s to %I', v_function.signature, v_role);
            else
                execute format('revoke all on function %s from %I', v_function.signature, v_role);
            end if;
        end loop;
    end loop;
end $$;

select onetake.restrict(array[
    'reserve', 'begin_submission', 'record_submission', 'mark_uncertain', 'fail_run', 'doubts_at', 'record_look',
    'load_run', 'find_run', 'find_key', 'start_attempt', 'attend', 'wait_until', 'park', 'approve', 'reject', 'confirm',
    'amend', 'cancel_run', 'record_caption', 'save_run', 'told', 'record_event', 'due_runs', 'render_history',
    'set_paused', 'controls', 'show_limits', 'set_limit', 'limit_history', 'set_user', 'list_users', 'list_runs',
    'run_events', 'settle_not_charged', 'stats']);

do $$
declare v_table regclass;
begin
    for v_table in select c.oid::regclass from pg_class c where c.relnamespace = 'onetake'::regnamespace and c.relkind = 'r' loop
        execute format('alter table %s enable row level security', v_table);
    end loop;
end $$;
