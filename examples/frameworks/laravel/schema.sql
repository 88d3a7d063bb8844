-- What Laravel's migrations create for a small game: ULID keys in char(26), morphs, pivots, nullable timestamps, soft
-- deletes, checks in place of enums; and rows of three campaigns.
create table "migrations" (
    "id" serial not null primary key, "migration" varchar(255) not null, "batch" integer not null
);
create table "users" (
    "id" bigserial not null primary key, "name" varchar(255) not null, "email" varchar(255) not null,
    "email_verified_at" timestamp(0) without time zone null, "password" varchar(255) not null,
    "remember_token" varchar(100) null, "created_at" timestamp(0) without time zone null,
    "updated_at" timestamp(0) without time zone null
);
alter table "users" add constraint "users_email_unique" unique ("email");
create table "campaigns" (
    "id" char(26) not null, "name" varchar(255) not null, "slug" varchar(255) not null,
    "share_token" varchar(64) null, "user_id" bigint null, "is_template" boolean not null default '0',
    "status" varchar(255) check ("status" in ('draft', 'published')) not null default 'draft',
    "settings" json null, "created_at" timestamp(0) without time zone null,
    "updated_at" timestamp(0) without time zone null, "deleted_at" timestamp(0) without time zone null
);
alter table "campaigns" add constraint "campaigns_user_id_foreign" foreign key ("user_id") references "users" ("id")
    on delete set null;
alter table "campaigns" add primary key ("id");
alter table "campaigns" add constraint "campaigns_slug_unique" unique ("slug");
create table "campaign_user" (
    "id" bigserial not null primary key, "campaign_id" char(26) not null, "user_id" bigint not null,
    "role" varchar(255) not null, "created_at" timestamp(0) without time zone null,
    "updated_at" timestamp(0) without time zone null
);
alter table "campaign_user" add constraint "campaign_user_campaign_id_foreign" foreign key ("campaign_id")
    references "campaigns" ("id") on delete cascade;
alter table "campaign_user" add constraint "campaign_user_user_id_foreign" foreign key ("user_id") references
    "users" ("id") on delete cascade;
alter table "campaign_user" add constraint "campaign_user_campaign_id_user_id_unique" unique ("campaign_id",
    "user_id");
create table "heroes" (
    "id" bigserial not null primary key, "uuid" uuid not null, "campaign_id" char(26) not null,
    "name" varchar(255) not null, "country" char(2) null, "position" smallint not null default '0',
    "leader_id" bigint null, "options" jsonb not null default '{}',
    "created_at" timestamp(0) without time zone null, "updated_at" timestamp(0) without time zone null,
    "deleted_at" timestamp(0) without time zone null
);
alter table "heroes" add constraint "heroes_campaign_id_foreign" foreign key ("campaign_id") references "campaigns"
    ("id") on delete cascade;
alter table "heroes" add constraint "heroes_leader_id_foreign" foreign key ("leader_id") references "heroes" ("id")
    on delete set null;
alter table "heroes" add constraint "heroes_uuid_unique" unique ("uuid");
create table "items" (
    "id" char(26) not null, "hero_id" bigint not null, "name" varchar(255) not null,
    "created_at" timestamp(0) without time zone null, "updated_at" timestamp(0) without time zone null
);
alter table "items" add constraint "items_hero_id_foreign" foreign key ("hero_id") references "heroes" ("id") on
    delete cascade;
alter table "items" add primary key ("id");
create table "images" (
    "id" bigserial not null primary key, "imageable_type" varchar(255) not null,
    "imageable_id" varchar(255) not null, "path" varchar(255) not null,
    "created_at" timestamp(0) without time zone null, "updated_at" timestamp(0) without time zone null
);
create index "images_imageable_type_imageable_id_index" on "images" ("imageable_type", "imageable_id");
create table "tags" ("id" bigserial not null primary key, "name" jsonb not null);
create table "taggables" (
    "tag_id" bigint not null, "taggable_type" varchar(255) not null, "taggable_id" bigint not null
);
alter table "taggables" add constraint "taggables_tag_id_foreign" foreign key ("tag_id") references "tags" ("id") on
    delete cascade;
alter table "taggables" add constraint "taggables_unique" unique ("tag_id", "taggable_id", "taggable_type");
create table "jobs" (
    "id" bigserial not null primary key, "queue" varchar(255) not null, "payload" text not null,
    "attempts" smallint not null, "reserved_at" integer null, "available_at" integer not null,
    "created_at" integer not null
);
create table "sessions" (
    "id" varchar(255) not null primary key, "user_id" bigint null, "ip_address" varchar(45) null,
    "payload" text not null, "last_activity" integer not null
);
create table "notifications" (
    "id" uuid not null primary key, "type" varchar(255) not null, "notifiable_type" varchar(255) not null,
    "notifiable_id" bigint not null, "data" text not null, "read_at" timestamp(0) without time zone null
);
create table "activity_log" (
    "id" bigserial not null primary key, "log_name" varchar(255) null, "description" text not null,
    "subject_type" varchar(255) null, "subject_id" bigint null, "causer_type" varchar(255) null,
    "causer_id" bigint null, "properties" json null, "created_at" timestamp(0) without time zone null
);
insert into users (name, email, password) select 'u' || n, n || '@example.org', 'x' from generate_series(1, 4) n;
insert into campaigns select '01J5Z3NDEKTSV4RRFFQ69G5FA' || n, 'Campaign ' || n, 'campaign-' || n, md5(n::text), n,
    n = 1, 'published', '{"theme": "dark"}', now(), now() from generate_series(1, 3) n;
insert into campaign_user (campaign_id, user_id, role) select id, user_id, 'gm' from campaigns;
insert into heroes (uuid, campaign_id, name, country, position) select gen_random_uuid(), c.id, 'h' || n, 'DE', n
    from campaigns c, generate_series(1, 5) n;
update heroes h set leader_id = (select min(id) from heroes o where o.campaign_id = h.campaign_id) where position > 1;
insert into items select '01J5Z3NDEKTSV4RRFFQ69G' || lpad((id * 2 + n)::text, 4, '0'), id, 'i' || n from heroes,
    generate_series(0, 1) n;
insert into images (imageable_type, imageable_id, path) select 'App\Models\Hero', id::text, 'p' || id from heroes
    union all select 'App\Models\Campaign', id, 'c' from campaigns union all select 'App\Models\User', id::text, 'u'
    from users;
insert into tags (name) values ('{"en": "fire"}'), ('{"en": "ice"}');
insert into taggables select t.id, 'hero', h.id from heroes h, tags t;
insert into activity_log (description, subject_type, subject_id) select 'created', 'App\Models\Hero', id from heroes;
