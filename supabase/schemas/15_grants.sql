-- Only the service role may call anything, and nobody may read a table. Supabase's roles are absent on a plain PostgreSQL,
-- where the owner is the only caller. A migration that adds a function to `public` calls onetake.restrict with its name;
-- a test reads the catalogue.

-- p_callable: functions of ours in `public`, by name. Functions of the same name that are not ours (not security definer)
-- are left alone.
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
    'acquire_turn', 'allowance', 'amend', 'applied_migrations', 'approve', 'audit_view', 'back_to_doubt',
    'begin_notification', 'begin_submission', 'cancel_run', 'clips_of', 'clips_to_drop', 'confirm',
    'controls', 'customer', 'deliver_again', 'doubts_at', 'due_runs', 'explain_difference', 'fail_run',
    'find_key', 'find_run', 'heartbeat', 'is_winner', 'keep_stray_answer', 'keep_template', 'known_before',
    'last_audit_at', 'limit_history', 'list_audits', 'list_runs', 'list_stray_answers', 'list_users',
    'load_run', 'load_runs', 'mark_alert_notified', 'mark_notified', 'mark_uncertain', 'not_stored',
    'note_audience', 'note_callback', 'note_clip', 'note_done', 'note_dropped', 'note_failing', 'note_first_notice',
    'note_gateway', 'note_not_fetched', 'note_not_stored', 'note_shown_otherwise', 'note_stored', 'note_undelivered',
    'note_unreadable_update', 'notify_again', 'notify_later', 'open_differences', 'page_metrics',
    'page_overview', 'page_runs', 'park', 'preview_reserve', 'prompt_of_another', 'raise_alerts',
    'record_caption', 'record_charge', 'record_event', 'record_look', 'record_submission', 'reject', 'render_history',
    'reopen_run', 'replace_draft', 'reserve', 'run_events', 'same_clip_as', 'save_run', 'set_limit',
    'set_paused', 'set_preference', 'set_user', 'settle_found', 'settle_not_charged', 'settle_taken_back',
    'show_limits', 'silence_bucket', 'start_attempt', 'stats', 'storage_broken', 'store_audit', 'take_alerts',
    'take_host', 'template_broken', 'template_impact', 'template_text', 'user_videos', 'wait_until',
    'witnesses_near'
]);

do $$
declare v_table regclass;
begin
    for v_table in select c.oid::regclass from pg_class c where c.relnamespace = 'onetake'::regnamespace and c.relkind = 'r' loop
        execute format('alter table %s enable row level security', v_table);
    end loop;
end $$;
