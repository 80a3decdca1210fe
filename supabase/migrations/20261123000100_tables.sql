-- The ledger's tables. Nothing outside the functions of these migrations writes them.
--
-- They live in a schema that no API exposes; callers reach them through the functions in `public`.
-- Money is integer micro-dollars (1 USD = 1,000,000). Days and months are UTC.
-- Constraints on money say only "not negative": limits are decided in `reserve`, and no index or CHECK
-- may ever refuse a clip that was paid for.

create schema if not exists onetake;

create table onetake.users (
    user_id        text primary key,                  -- 'tg:<id>' or 'cli:<name>'
    version        bigint not null default 0,         -- written by every reservation: the user's mutex
    blocked        boolean not null default false,
    blocked_reason text,
    invited        boolean not null default false,
    limits         jsonb not null default '{}',       -- per-user overrides of onetake.limits
    created_at     timestamptz not null default clock_timestamp()
);

-- The moves of DESIGN's table of states, as rows: the trigger below reads them, and so does a test.
create table onetake.moves (
    from_state text not null,
    to_state   text not null,
    why        text not null,
    primary key (from_state, to_state)
);

insert into onetake.moves (from_state, to_state, why) values
    ('reserved',   'approved',   'the prompt passed'),
    ('reserved',   'rejected',   'the prompt was refused'),
    ('reserved',   'canceled',   'its user took it back'),
    ('reserved',   'failed',     'the text model could not be asked, or five attempts came to nothing'),
    ('approved',   'submitting', 'the fence: from here we may have paid'),
    ('approved',   'canceled',   'its user took it back, or never confirmed'),
    ('approved',   'failed',     'held back too long, or five attempts came to nothing'),
    ('submitting', 'rendering',  'the provider answered with a job'),
    ('submitting', 'failed',     'a clear no, or never sent'),
    ('submitting', 'uncertain',  'the answer was lost'),
    ('uncertain',  'rendering',  'found: by a late answer, in the provider''s list, or by a person'),
    ('uncertain',  'failed',     'proved never made, or settled by a person'),
    ('rendering',  'saved',      'the clip is ours'),
    ('rendering',  'failed',     'the provider says it failed, or settled by a person'),
    ('rendering',  'uncertain',  'its adopted job turned out to belong to another run'),
    ('saved',      'delivered',  'the user has it'),
    ('failed',     'rendering',  'late adoption: the job turned up after all');

create table onetake.runs (
    run_id         uuid primary key default gen_random_uuid(),
    ref            text not null unique check (ref ~ '^[A-Z2-7]{6}$'),
    request_key    text not null unique,
    request_hash   text not null,                     -- what was asked for under that key
    call_id        uuid not null,                     -- the reserve call that made it; tells our own repeat from a second tap
    user_id        text not null references onetake.users,
    audience       jsonb not null,                    -- who is told, and where
    language       text not null,
    prompt         text not null,
    prompt_hash    text not null,

    -- What exactly will be bought, fixed when the money was set aside.
    model           text not null,
    seconds         integer not null check (seconds > 0),
    size            text not null,
    create_body     text not null,
    price_microusd  bigint not null check (price_microusd >= 0),
    bills_failed    boolean not null default false,   -- the provider charges for renders that fail
    base_url        text not null,
    key_fingerprint text not null,

    state          text not null default 'reserved',
    state_since    timestamptz not null,
    told_state     text,                              -- the last state its user has heard of
    reason         text,                              -- why it ended, a stable word
    detail         text,                              -- the same for a person

    day            date not null,
    month          text not null,                     -- 'YYYY-MM'
    held_microusd     bigint not null default 0 check (held_microusd >= 0),
    spent_microusd    bigint not null default 0 check (spent_microusd >= 0),
    released_microusd bigint not null default 0 check (released_microusd >= 0),
    text_microusd     bigint not null default 0 check (text_microusd >= 0),

    -- The verdict.
    improved_prompt text, title text, category text,
    reasons        jsonb, safe_rewrite text,
    needs_confirmation boolean not null default false,
    confirm_until  timestamptz, confirmed_at timestamptz,
    held_back_since timestamptz, held_back_by text,   -- refused at the fence: paused, breaker_open, no_place

    -- The purchase.
    token          text,                              -- the winner's, never handed out
    job_id         text,
    job_source     text check (job_source in ('answer', 'list', 'person')),
    progress       integer,
    provider_error text,
    doubt          text,                              -- why the answer is not known
    looks_complete integer not null default 0,
    first_look_at  timestamptz, last_look_at timestamptz,
    parked_at      timestamptz,
    next_look_at   timestamptz,                       -- not due before; null = due now
    attempts       integer not null default 0,        -- since the last progress

    -- The result.
    caption        text, hashtags jsonb, caption_by text check (caption_by in ('model', 'plain')),
    file           text, file_bytes bigint, file_sha256 text,
    templates      jsonb not null default '{}',       -- template id -> sha256

    reserved_at timestamptz not null, approved_at timestamptz, submitting_at timestamptz, uncertain_at timestamptz,
    rendering_at timestamptz, saved_at timestamptz, delivered_at timestamptz,
    rejected_at timestamptz, canceled_at timestamptz, failed_at timestamptz
);

-- A job belongs to one run. The functions make room before they write, so this never refuses an adoption.
create unique index runs_job on onetake.runs (base_url, job_id) where job_id is not null;
create index runs_of_user on onetake.runs (user_id, reserved_at desc);
create index runs_of_user_day on onetake.runs (user_id, day);
create index runs_submitted on onetake.runs (submitting_at) where submitting_at is not null;
create index runs_unfinished on onetake.runs (next_look_at nulls first)
    where state in ('reserved', 'approved', 'submitting', 'uncertain', 'rendering');
create index runs_untold on onetake.runs (next_look_at nulls first)
    where state in ('saved', 'delivered', 'rejected', 'canceled', 'failed') and told_state is distinct from state;
create index runs_reserved on onetake.runs (reserved_at desc);

create function onetake.guard_moves() returns trigger
language plpgsql set search_path = '' as $$
begin
    if tg_op = 'INSERT' then
        if new.state <> 'reserved' then
            raise exception 'a run begins as reserved, not as %', new.state using errcode = 'LG001';
        end if;
    elsif new.state <> old.state and not exists (
        select from onetake.moves m where m.from_state = old.state and m.to_state = new.state
    ) then
        raise exception 'run % cannot go from % to %', old.ref, old.state, new.state using errcode = 'LG001';
    end if;
    return new;
end $$;

create trigger guard_moves before insert or update on onetake.runs
    for each row execute function onetake.guard_moves();

-- One lease per user and prompt: while it holds, the same wish is the same run.
create table onetake.leases (
    user_id     text not null,
    prompt_hash text not null,
    run_id      uuid not null,
    expires_at  timestamptz not null,
    primary key (user_id, prompt_hash)
);

-- One row a day ('2026-11-23') and one a month ('2026-11').
create table onetake.budgets (
    period         text primary key,
    held_microusd  bigint not null default 0 check (held_microusd >= 0),
    spent_microusd bigint not null default 0 check (spent_microusd >= 0)
);

create table onetake.events (
    event_id       bigint generated always as identity primary key,
    at             timestamptz not null default clock_timestamp(),
    run_id         uuid,
    user_id        text,
    step           text not null,
    outcome        text not null,
    ms             integer,
    cost_microusd  bigint not null default 0,         -- text model calls; counted as spent
    saved_microusd bigint not null default 0,         -- what a blocked duplicate would have cost
    call_id        uuid unique,
    detail         jsonb not null default '{}'
);
create index events_of_run on onetake.events (run_id, event_id);
create index events_by_step on onetake.events (step, outcome, at);

create table onetake.limits (
    key   text primary key,
    value jsonb not null,
    about text not null
);

insert into onetake.limits (key, value, about) values
    ('active_runs_per_user',     '1',         'runs one user may have unfinished'),
    ('cooldown_seconds',         '10',        'pause between two requests of one user'),
    ('videos_per_user_day',      '10',        'videos a user may buy a day (UTC)'),
    ('rejected_per_user_day',    '30',        'rejected prompts a user may send a day (UTC)'),
    ('duplicate_window_seconds', '300',       'how long the same prompt of one user stays the same run'),
    ('budget_day_microusd',      '10000000',  'what all users together may spend a day (UTC)'),
    ('budget_month_microusd',    '100000000', 'what all users together may spend a month (UTC)'),
    ('breaker_window_seconds',   '60',        'over which the breaker counts submissions'),
    ('breaker_user_submissions', '3',         'submissions of one user in that window; one more opens the breaker'),
    ('breaker_all_submissions',  '60',        'submissions of all users in that window; one more opens the breaker'),
    ('breaker_failures',         '5',         'provider failures in a row that open the breaker'),
    ('breaker_open_seconds',     '300',       'how long an open breaker refuses'),
    ('rollout',                  '"all"',     'who may ask: "allowlist", "percent" or "all"'),
    ('rollout_percent',          '100',       'with rollout "percent": how many of a hundred users');

create table onetake.limit_changes (
    change_id bigint generated always as identity primary key,
    at        timestamptz not null default clock_timestamp(),
    who       text not null,
    key       text not null,                          -- a limit, 'paused', or 'user:<id>:<what>'
    before    jsonb,
    after     jsonb
);

create table onetake.control (
    only_row     boolean primary key default true check (only_row),
    paused       boolean not null default false,
    pause_reason text,
    paused_by    text,
    paused_at    timestamptz,
    resumed_at   timestamptz                          -- the breaker counts submissions from here
);
insert into onetake.control default values;

-- scope 'all', or 'user:<user_id>' for a burst of one user: it stops that user, not the service.
create table onetake.breakers (
    scope          text primary key,
    open_until     timestamptz,                       -- null = closed; past = half open
    cause          text,
    failed_answers integer not null default 0,        -- in a row
    failed_renders integer not null default 0,        -- in a row
    probe_run_id   uuid,                              -- the one let through while half open
    probe_at       timestamptz
);
insert into onetake.breakers (scope) values ('all');

-- A provider's list is trusted to prove absence once it echoed prompts and showed a job that an answer gave us.
create table onetake.providers (
    base_url        text not null,
    key_fingerprint text not null,
    list_trusted_at timestamptz,
    primary key (base_url, key_fingerprint)
);
