-- Tables for limits, operators, audits, rate limits and numbers.

create table onetake.limits (
    key      text primary key,
    value    jsonb not null,
    about    text not null,
    section  text not null check (section in ('rollout', 'budgets', 'users', 'breaker')),   -- of the operators' page
    per_user boolean not null default false           -- whether one user may have another value
);

insert into onetake.limits (key, value, section, per_user, about) values
    ('active_runs_per_user',     '1',         'users',   true,  'runs one user may have unfinished'),
    ('cooldown_seconds',         '10',        'users',   true,  'pause between two requests of one user'),
    ('videos_per_user_day',      '10',        'users',   true,  'videos a user may buy a day (UTC)'),
    ('rejected_per_user_day',    '30',        'users',   true,  'rejected prompts a user may send a day (UTC)'),
    ('canceled_per_user_day',    '30',        'users',   true,  'drafts a user may cancel or let expire a day (UTC)'),
    ('duplicate_window_seconds', '300',       'users',   false, 'how long the same prompt of one user stays the same run'),
    ('budget_day_microusd',      '10000000',  'budgets', false, 'what all users together may spend a day (UTC)'),
    ('budget_month_microusd',    '100000000', 'budgets', false, 'what all users together may spend a month (UTC)'),
    ('breaker_window_seconds',   '60',        'breaker', false, 'over which the breaker counts submissions'),
    ('breaker_user_submissions', '3',         'breaker', false, 'submissions of one user in that window; one more opens the breaker'),
    ('breaker_all_submissions',  '60',        'breaker', false, 'submissions of all users in that window; one more opens the breaker'),
    ('breaker_failures',         '5',         'breaker', false, 'provider failures in a row that open the breaker'),
    ('breaker_open_seconds',     '300',       'breaker', false, 'how long an open breaker refuses'),
    ('rollout',                  '"all"',     'rollout', false, 'who may ask: "allowlist", "percent" or "all"'),
    ('rollout_percent',          '100',       'rollout', false, 'with rollout "percent": how many of a hundred users');

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

-- scope 'all', or 'user:<user_id>' for one user's burst or failures: that stops this user only.
create table onetake.breakers (
    scope             text primary key,
    open_until        timestamptz,                    -- null = closed; past = half open
    cause             text,
    failed_answers    integer not null default 0,     -- in a row
    failed_renders    integer not null default 0,     -- in a row
    answers_failed_of text,                           -- the one user who had all of them; null: several users,
    renders_failed_of text,                           --   or a kind of failure that no prompt causes
    probe_run_id      uuid,                           -- the one let through while half open
    probe_at          timestamptz
);
insert into onetake.breakers (scope) values ('all');

-- What is known about a provider's job list. Only a list that shows running jobs can prove that a job is absent.
create table onetake.providers (
    base_url         text not null,
    key_fingerprint  text not null,
    running_shown_at timestamptz,
    primary key (base_url, key_fingerprint)
);

-- When each job was first seen in the provider's list. A job seen before an order was sent is older than that order,
-- even if a wrong clock at the provider says otherwise.
create table onetake.listed_jobs (
    base_url        text not null,
    key_fingerprint text not null,
    job_key         text not null,
    first_seen_at   timestamptz not null default clock_timestamp(),
    last_seen_at    timestamptz not null default clock_timestamp(),
    primary key (base_url, key_fingerprint, job_key)
);
create index listed_jobs_last on onetake.listed_jobs (last_seen_at);

-- Answers that fit no run: a wrong token, or a run whose state accepts none. Kept for operators.
create table onetake.stray_answers (
    id      bigint generated always as identity primary key,
    at      timestamptz not null default clock_timestamp(),
    run_id  uuid,
    why     text not null,
    status  integer,
    body    text not null check (length(body) <= 2000),
    unique nulls not distinct (run_id, why, status, body)
);

-- Audits: each comparison of the provider's jobs with the ledger.
create table onetake.audits (
    id              bigint generated always as identity primary key,
    at              timestamptz not null default clock_timestamp(),
    base_url        text not null,
    key_fingerprint text not null,
    since           timestamptz not null,
    result          jsonb not null,                   -- complete, why_incomplete, jobs, runs, found
    differences     integer not null check (differences >= 0)
);
create index audits_of_provider on onetake.audits (base_url, key_fingerprint, at desc);

-- How far complete audits of a provider reach without a gap. An audit that begins after the last one ended proves
-- nothing about the time in between.
create table onetake.audited (
    base_url        text not null,
    key_fingerprint text not null,
    tried_at        timestamptz not null,             -- the last audit that would have continued, complete or not
    until           timestamptz,                      -- null: none was complete yet
    primary key (base_url, key_fingerprint)
);

-- What audits found, each once. Open until the ledger or a person explains it, even if it drops out of the list.
-- `subject`: the job without a run, or the run's ref.
create table onetake.differences (
    base_url        text not null,
    key_fingerprint text not null,
    kind            text not null,
    subject         text not null,
    ref             text,
    job_id          text,
    words           text not null,
    microusd        bigint not null default 0,
    could_be_ours   boolean not null default false,   -- a job without a run that could be one of our orders
    first_at        timestamptz not null default clock_timestamp(),
    last_at         timestamptz not null default clock_timestamp(),
    closed_at       timestamptz,
    closed_by       text,                             -- 'ledger', or the person who explained it
    closed_why      text,
    primary key (base_url, key_fingerprint, kind, subject)
);
create index differences_open on onetake.differences (ref) where closed_at is null;

-- Alerts for operators. The same news always has the same `key`, so it is sent once.
create table onetake.alerts (
    key           text primary key,
    kind          text not null,
    at            timestamptz not null default clock_timestamp(),
    detail        jsonb not null default '{}',
    notifying_until timestamptz,
    told_at       timestamptz
);
create index alerts_not_notified on onetake.alerts (at) where told_at is null;

-- Telegram's rate limits, shared by all processes: the last calls of each bucket (a chat, or the whole bot), oldest first.
create table onetake.rate_buckets (
    bucket       text primary key,
    calls        timestamptz[] not null default '{}',
    silent_until timestamptz,
    used_at      timestamptz not null default clock_timestamp()
);
create index rate_buckets_used on onetake.rate_buckets (used_at);

-- The one machine that may work, where the queue is not shared; it renews its lease while it runs.
create table onetake.hosts (
    only_one   boolean primary key default true check (only_one),
    host       text not null,
    expires_at timestamptz not null
);

-- The exact text of every version of every prompt template, so that a run can show what the model was asked.
create table onetake.templates (
    sha256        text primary key check (encode(sha256(convert_to(body, 'UTF8')), 'hex') = sha256),
    id            text not null,
    body          text not null,
    first_used_at timestamptz not null default clock_timestamp()
);

-- Events of past days, counted once. `buckets`: how many took up to each of onetake.bounds_ms(), and longer.
create table onetake.event_days (
    day            date not null,
    step           text not null,
    outcome        text not null,
    n              bigint not null,
    cost_microusd  numeric not null,
    saved_microusd numeric not null,
    timed          bigint not null,                   -- of n, those with a known duration
    ms             numeric not null,
    buckets        bigint[] not null,
    primary key (day, step, outcome)
);

-- Text model calls of past days, by the day of the call and the template's version.
create table onetake.prompt_days (
    day           date not null,
    id            text not null,
    sha256        text not null,
    calls         bigint not null,
    reasks        bigint not null,
    cost_microusd numeric not null,
    primary key (day, id, sha256)
);

-- Requests of past days that a run had already answered, by the step that was skipped.
create table onetake.cached_days (
    day  date not null,
    step text not null,
    n    bigint not null,
    primary key (day, step)
);

create table onetake.counted (
    only_row boolean primary key default true check (only_row),
    before   date not null                            -- earlier days are in event_days, prompt_days and cached_days
);
insert into onetake.counted (before) values ('-infinity');
