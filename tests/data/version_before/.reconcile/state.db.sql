BEGIN TRANSACTION;
CREATE TABLE agreed (key TEXT PRIMARY KEY, size INTEGER, crc32c TEXT, generation INTEGER) WITHOUT ROWID;
INSERT INTO "agreed" VALUES('characters/ai_hoshino.png',482,'vNzhDw==',1795866423832622);
INSERT INTO "agreed" VALUES('remixes/ai_hoshino_x/result/[kpop]_x.mp4',40,'915PZA==',1795866423834146);
CREATE TABLE facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
INSERT INTO "facts" VALUES('held files: output',1);
CREATE TABLE hashes (path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER,
                                   inode INTEGER, crc32c TEXT) WITHOUT ROWID;
CREATE TABLE sessions (key TEXT, crc32c TEXT, size INTEGER, uri TEXT, created INTEGER,
                                     PRIMARY KEY (key, crc32c, size)) WITHOUT ROWID;
COMMIT;
PRAGMA user_version = 1;
PRAGMA application_id = 1382376303;
