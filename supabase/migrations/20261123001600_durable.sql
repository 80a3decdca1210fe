-- A run's state is on disk before anybody acts on it. With synchronous_commit off, a server that crashes after the fence
-- was passed could forget that it was, and another worker would buy again: whatever the session, role or database says,
-- these commits wait. (`remote_apply` and the like are more than `on`, and stay.)

create function onetake.durable() returns trigger
language plpgsql set search_path = '' as $$
begin
    if current_setting('synchronous_commit') in ('off', 'local') then
        perform set_config('synchronous_commit', 'on', true);
    end if;
    return null;
end $$;

create trigger runs_are_durable before insert or update of state on onetake.runs
    for each statement execute function onetake.durable();

select onetake.restrict('{}');
