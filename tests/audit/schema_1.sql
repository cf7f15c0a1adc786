-- A log as schema 1 had it: a settled intent, and one that is owed its outcome.
BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'seks-audit','0001_initial','2026-11-21 22:12:47.903702+00:00');
CREATE TABLE pending (seq INTEGER PRIMARY KEY REFERENCES records (seq), run TEXT NOT NULL) STRICT;
INSERT INTO "pending" VALUES(3,'run_000000000000');
CREATE TABLE records (
        seq INTEGER PRIMARY KEY,
        time TEXT NOT NULL,
        event TEXT NOT NULL,
        outcome TEXT NOT NULL,
        request_id TEXT,
        reason TEXT,
        client TEXT,
        agent TEXT,
        secret TEXT,
        provider TEXT,
        token_id TEXT,
        source_ip TEXT,
        method TEXT,
        scheme TEXT,
        host TEXT,
        port INTEGER,
        path TEXT,
        status INTEGER,
        request_bytes INTEGER,
        response_bytes INTEGER,
        scrubbed INTEGER,
        duration_ms INTEGER,
        prev_hash TEXT NOT NULL,
        hash TEXT NOT NULL
    ) STRICT;
INSERT INTO "records" VALUES(1,'2026-01-01T00:00:00.000000Z','intent','allowed','req_1',NULL,'default','default','api',NULL,'tok_000000000001',NULL,NULL,NULL,'api.example.com',443,'/v1',NULL,NULL,NULL,NULL,NULL,'0000000000000000000000000000000000000000000000000000000000000000','db2cef55b9cbf938fa05561dde726d31531d8e67eb1be91c0bea2348c5994eef');
INSERT INTO "records" VALUES(2,'2026-01-01T00:00:00.000000Z','outcome','allowed','req_1',NULL,'default','default','api',NULL,'tok_000000000001',NULL,NULL,NULL,'api.example.com',443,'/v1',NULL,NULL,NULL,NULL,NULL,'db2cef55b9cbf938fa05561dde726d31531d8e67eb1be91c0bea2348c5994eef','4f6fdba69c1524ec4a28f80d52de550cd2032f9a82bd8f4ab13103c1e54baffb');
INSERT INTO "records" VALUES(3,'2026-01-02T00:00:00.000000Z','intent','allowed','req_2',NULL,'default','default','api',NULL,'tok_000000000001',NULL,NULL,NULL,'api.example.com',443,'/v1',NULL,NULL,NULL,NULL,NULL,'4f6fdba69c1524ec4a28f80d52de550cd2032f9a82bd8f4ab13103c1e54baffb','a18579aa83d0ae2479ea85ce46b4a9db8acfe49afba81b0f3e400ed6952abf59');
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX records_time ON records (time);
CREATE TRIGGER records_no_update BEFORE UPDATE ON records
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER records_no_delete BEFORE DELETE ON records
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
COMMIT;
