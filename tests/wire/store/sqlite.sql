-- A SQLite database as the program of migration 4 filled it; see tests/it/upgrade_store.rs.
CREATE TABLE _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
);
INSERT INTO "_sqlx_migrations" VALUES(1,'trackings, events, partitions, dead letters, carrier state','2026-11-27 18:38:03',1,X'475E6679BBD7FD3C53891D7C90B0A61CD9E4693E86E4E9513109045212D7CD7F89E552FB706372E724510382B65E870D',1415842);
INSERT INTO "_sqlx_migrations" VALUES(2,'the claim''s order to the last','2026-11-27 18:38:03',1,X'821610D19A27C25FB3013B511EAA98873D9B422FFCB123F0A276BAF5DC642DFD2CDA9C4042B57B2AB2FC64913019546F',493251);
INSERT INTO "_sqlx_migrations" VALUES(3,'what is learned, prices, calls by minute','2026-11-27 18:38:03',1,X'E9238A32F668693E15331504E6CF4668A6D93350A79E3BECEFB03167F67EDE6AD8B09EC77858C8B158054A9EF5BB7F73',4929980);
INSERT INTO "_sqlx_migrations" VALUES(4,'no time that cannot be read','2026-11-27 18:38:03',1,X'BC9BD2F1ED076AF89FCED61953DFDF1FC0E761B64A64B8E6AD0AB0A19C5BF78CBBB12ABBAE94C7A95D2351E1CCBDBB74',421577);
CREATE TABLE carrier_state (
    budget       TEXT    NOT NULL PRIMARY KEY,
    paused_until INTEGER,
    pause_reason TEXT    NOT NULL DEFAULT '',
    -- Calls that failed for all their numbers, in a row.
    fails        INTEGER NOT NULL DEFAULT 0,
    -- The calendar day (UTC, days since 1970) that day_used counts the calls of.
    day          INTEGER NOT NULL DEFAULT 0,
    day_used     INTEGER NOT NULL DEFAULT 0,
    updated_at   INTEGER NOT NULL
, tokens       REAL    NOT NULL DEFAULT 0, tokens_at    INTEGER, minute       INTEGER NOT NULL DEFAULT 0, minute_calls INTEGER NOT NULL DEFAULT 0, before_calls INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO "carrier_state" VALUES('CDEK',1795179600000000,'the carrier answered 429: too many calls',2,20777,30,1795176000000000,0.0,1795176000000000,29919600,7,0);
CREATE TABLE consumer_members (
    group_name TEXT    NOT NULL,
    member     TEXT    NOT NULL,
    live_until INTEGER NOT NULL,
    PRIMARY KEY (group_name, member)
) STRICT;
INSERT INTO "consumer_members" VALUES('trackbox','00000000-0000-0000-0000-000000000005',1795176010000000);
CREATE TABLE consumer_partitions (
    group_name     TEXT    NOT NULL,
    topic          TEXT    NOT NULL,
    partition      INTEGER NOT NULL,
    next_offset    INTEGER NOT NULL,
    -- Grows with every change of owner: the token that shuts out an owner who does not know that it lost its lease.
    epoch          INTEGER NOT NULL DEFAULT 0,
    owner          TEXT,
    lease_until    INTEGER,
    high_watermark INTEGER,
    updated_at     INTEGER NOT NULL,
    PRIMARY KEY (group_name, topic, partition)
) STRICT;
INSERT INTO "consumer_partitions" VALUES('trackbox','test',0,5,1,'00000000-0000-0000-0000-000000000005',NULL,NULL,1795176500000000);
CREATE TABLE dead_letters (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    topic         TEXT    NOT NULL,
    partition     INTEGER NOT NULL,
    record_offset INTEGER NOT NULL,
    record_key    BLOB,
    -- At most the first 64 KiB.
    value         BLOB    NOT NULL,
    size_bytes    INTEGER NOT NULL,
    error         TEXT    NOT NULL,
    at            INTEGER NOT NULL,
    UNIQUE (topic, partition, record_offset)
) STRICT;
INSERT INTO "dead_letters" VALUES(1,'test',0,3,X'31',X'FF206E6F204A534F4E',9,'the value is no update',1795176010000000);
CREATE TABLE hazard_cells (
    section     TEXT    NOT NULL,
    code        TEXT    NOT NULL,
    age         INTEGER NOT NULL,
    slot        INTEGER NOT NULL,
    events      REAL    NOT NULL,
    hours       REAL    NOT NULL,
    fast_events REAL    NOT NULL,
    fast_hours  REAL    NOT NULL,
    PRIMARY KEY (section, code, age, slot)
) STRICT, WITHOUT ROWID;
INSERT INTO "hazard_cells" VALUES('*','RETURNING_REFUSED',0,12,0.0,4.93055555562023073434e-01,0.0,4.93055555562023073434e-01);
INSERT INTO "hazard_cells" VALUES('*','RETURNING_REFUSED',1,12,0.0,0.5,0.0,0.5);
INSERT INTO "hazard_cells" VALUES('*','RETURNING_REFUSED',2,12,0.0,5.52126223919913172721e-03,0.0,5.52126223919913172721e-03);
INSERT INTO "hazard_cells" VALUES('*','RETURNING_REFUSED',2,13,0.0,9.94478737760800868272e-01,0.0,9.94478737760800868272e-01);
INSERT INTO "hazard_cells" VALUES('*','RETURNING_REFUSED',3,13,0.0,5.52126223919913172721e-03,0.0,5.52126223919913172721e-03);
CREATE TABLE hazard_leaves (
    section TEXT    NOT NULL,
    code    TEXT    NOT NULL,
    events  REAL    NOT NULL,
    weights REAL    NOT NULL,
    ended   REAL    NOT NULL,
    PRIMARY KEY (section, code)
) STRICT, WITHOUT ROWID;
CREATE TABLE prices (
    budget      TEXT    NOT NULL PRIMARY KEY,
    -- In weighted hours of unseen events.
    whole       REAL    NOT NULL,
    -- Factors of the 24 hours and of the 3 kinds of days, as JSON.
    by_hour     TEXT    NOT NULL,
    by_day      TEXT    NOT NULL,
    -- How long looking at every parcel once took when the price was last set anew, in hours.
    round       REAL    NOT NULL,
    -- How the day's calls are spread over its hours: 24 shares, as JSON; of this day (UTC, days since 1970).
    shares      TEXT    NOT NULL,
    shares_day  INTEGER NOT NULL,
    parcels     INTEGER NOT NULL,
    counted_at  INTEGER NOT NULL,
    adjusted_at INTEGER NOT NULL,
    refitted_at INTEGER NOT NULL,
    owner       TEXT    NOT NULL,
    lease_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "prices" VALUES('CDEK',2.5,'[1.0,1.0,1.0,1.0,1.0,1.0,1.0,3.25,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0]','[1.0,0.5,0.25]',3.0,'[0.018180593949775167,0.018180593949775167,0.018180593949775167,0.018180593949775167,0.018180593949775167,0.018180593949775167,0.018180593949775167,0.05844243289301774,0.05844243289301774,0.05844243289301774,0.05844243289301774,0.05844243289301774,0.05844243289301774,0.05844243289301774,0.05844243289301774,0.05844243289301774,0.05844243289301774,0.05844243289301774,0.05844243289301774,0.05844243289301774,0.05844243289301774,0.018180593949775167,0.018180593949775167,0.018180593949775167]',0,7,1795176000000000,1795176000000000,1795176000000000,'00000000-0000-0000-0000-000000000005',1795176000000000);
CREATE TABLE trackings (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    carrier_code      TEXT    NOT NULL,
    track_number      TEXT    NOT NULL,
    status            TEXT    NOT NULL DEFAULT 'UNKNOWN',
    sub_status        TEXT,
    direction         TEXT    NOT NULL DEFAULT 'FORWARD',
    status_raw        TEXT    NOT NULL DEFAULT 'UNKNOWN',
    status_at         INTEGER,
    -- What the status rests on: 0 nothing heard, 1 not found yet, 2 seen by the carrier.
    heard             INTEGER NOT NULL DEFAULT 0,
    status_checked_at INTEGER,
    status_check_id   TEXT,
    last_event_code   TEXT,
    last_event_at     INTEGER,
    last_ok_at        INTEGER,
    last_checked_at   INTEGER,
    last_check_id     TEXT,
    next_check_at     INTEGER NOT NULL,
    check_fail_count  INTEGER NOT NULL DEFAULT 0,
    last_error        TEXT    NOT NULL DEFAULT '',
    -- 1: refreshed and not checked since.
    priority          INTEGER NOT NULL DEFAULT 0,
    refreshed_at      INTEGER,
    active            INTEGER NOT NULL DEFAULT 1,
    lease_until       INTEGER,
    lease_id          TEXT,
    journey           INTEGER NOT NULL DEFAULT 1,
    version           INTEGER NOT NULL DEFAULT 1,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    UNIQUE (carrier_code, track_number)
) STRICT;
INSERT INTO "trackings" VALUES(1,'CDEK','N0','RETURNING','RETURNING_REFUSED','RETURN','Возврат',1795175970123456,2,1795183200000000,'00000000-0000-0000-0000-000000000009','RETURNING_REFUSED',1795175980123456,1795183200000000,1795183200000000,'00000000-0000-0000-0000-000000000009',1795176900123456,0,'',0,NULL,1,NULL,NULL,1,3,1795176000000000,1795176500000000);
INSERT INTO "trackings" VALUES(2,'CDEK','N1','PENDING','PENDING_NOT_FOUND','FORWARD','PENDING',NULL,1,1795176005123456,'01934a5b-6c7d-7e8f-9a0b-1c2d3e4f5061',NULL,NULL,1795176005123456,1795176005123456,'01934a5b-6c7d-7e8f-9a0b-1c2d3e4f5061',1795176600000000,0,'',1,1795176600000000,1,1795177120000000,'00000000-0000-0000-0000-000000000007',1,3,1795176000000000,1795176600000000);
INSERT INTO "trackings" VALUES(3,'CDEK','N2','UNKNOWN',NULL,'FORWARD','UNKNOWN',NULL,0,NULL,NULL,NULL,NULL,NULL,1795176005123456,'01934a5b-6c7d-7e8f-9a0b-1c2d3e4f5061',1795176900123456,3,'the carrier answered 502',0,NULL,1,NULL,NULL,1,2,1795176000000000,1795176500000000);
CREATE TABLE tracking_events (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    tracking_id     INTEGER NOT NULL REFERENCES trackings (id) ON DELETE CASCADE,
    status          TEXT    NOT NULL,
    sub_status      TEXT,
    status_raw      TEXT    NOT NULL,
    event_time      INTEGER NOT NULL,
    location        TEXT    NOT NULL,
    message         TEXT    NOT NULL,
    payload_json    TEXT    NOT NULL,
    journey         INTEGER NOT NULL,
    -- SHA-256 over status_raw, event_time, location, message and journey: what makes two reports one event.
    digest          BLOB    NOT NULL,
    mapping_version INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    UNIQUE (tracking_id, digest)
) STRICT;
INSERT INTO "tracking_events" VALUES(1,1,'UNKNOWN',NULL,'Прочее',1795172400000000,'','','',1,X'79E3874563388007762B01275DA398B9E92990E3D256F7F0A864A322CC9DCCB5',3,1795176500000000);
INSERT INTO "tracking_events" VALUES(2,1,'IN_TRANSIT','IN_TRANSIT_SORTED','Сортировка',1795175940123456,'Омск','644000, Омск Почтамт','{"id":7,"operation":"sorted"}',1,X'3637E2434AFC6A1B611FA218ACF10DFEFBE6219D8DE248B53B9BDC8BB38FA2AC',3,1795176500000000);
CREATE INDEX tracking_events_list ON tracking_events (tracking_id, event_time DESC, id DESC);
CREATE INDEX tracking_events_unmapped ON tracking_events (id) WHERE status = 'UNKNOWN';
CREATE INDEX dead_letters_at ON dead_letters (at);
CREATE INDEX trackings_claim_order ON trackings (carrier_code, priority DESC, next_check_at, id) WHERE active;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('trackings',3);
INSERT INTO "sqlite_sequence" VALUES('tracking_events',4);
INSERT INTO "sqlite_sequence" VALUES('dead_letters',1);
