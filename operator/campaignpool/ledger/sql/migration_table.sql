-- Which migrations this database has seen. A release reads it under an advisory lock and applies what it lacks.
CREATE TABLE campaign_pool.migration (
    version     integer PRIMARY KEY,
    name        text NOT NULL,
    checksum    text NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now(),
    applied_by  text NOT NULL DEFAULT current_user
);
